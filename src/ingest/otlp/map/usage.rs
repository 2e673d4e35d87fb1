//! Reads token counts and normalizes them: `input` includes the tokens that were
//! read from or written to a cache, and `output` includes reasoning.

use serde_json::Value as JsonValue;

use super::facts::SpanFacts;
use super::python;
use super::slots::Slot;
use super::value;

/// The tokens that a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TokenUsage {
    pub input: Option<i64>,
    pub output: Option<i64>,
    pub cache_read: Option<i64>,
    pub cache_write: Option<i64>,
    pub reasoning: Option<i64>,
}

impl TokenUsage {
    /// Reads the token counts of a span. `None` if it has none.
    pub fn read(facts: &SpanFacts<'_>) -> Option<Self> {
        let object = facts
            .value(Slot::UsageJson)
            .map(|usage| match value::parsed(usage) {
                // litellm writes a Python literal.
                JsonValue::String(text) => python::literal(&text).unwrap_or(JsonValue::Null),
                other => other,
            });
        let mut usage = Self {
            input: facts.count(Slot::UsageInput),
            output: facts.count(Slot::UsageOutput),
            cache_read: facts.count(Slot::UsageCacheRead),
            cache_write: facts.count(Slot::UsageCacheWrite),
            reasoning: facts.count(Slot::UsageReasoning),
        };
        let mut total = facts.count(Slot::UsageTotal);
        if let Some(object) = &object {
            usage.fill_from_object(object, &mut total);
        }
        if usage == Self::default() {
            return None;
        }
        usage.include_cached(total);
        usage.include_reasoning(total);
        Some(usage)
    }

    /// Fills missing counts from a usage object of OpenAI, Anthropic, Langfuse or
    /// others.
    fn fill_from_object(&mut self, object: &JsonValue, total: &mut Option<i64>) {
        let first = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| object.pointer(key));
            found.and_then(JsonValue::as_i64)
        };
        let fill = |count: &mut Option<i64>, keys: &[&str]| *count = count.or_else(|| first(keys));
        fill(
            &mut self.input,
            &[
                "/input_tokens",
                "/prompt_tokens",
                "/input",
                "/promptTokens",
                "/inputTokens",
            ],
        );
        fill(
            &mut self.output,
            &[
                "/output_tokens",
                "/completion_tokens",
                "/output",
                "/completionTokens",
                "/outputTokens",
            ],
        );
        fill(total, &["/total_tokens", "/total", "/totalTokens"]);
        fill(
            &mut self.cache_read,
            &[
                "/cache_read_input_tokens",
                "/input_tokens_details/cached_tokens",
                "/prompt_tokens_details/cached_tokens",
                "/input_cached_tokens",
                "/input_cache_read",
                "/cached_input_tokens",
            ],
        );
        fill(
            &mut self.cache_write,
            &[
                "/cache_creation_input_tokens",
                "/cache_write_input_tokens",
                "/input_cache_creation",
            ],
        );
        fill(
            &mut self.reasoning,
            &[
                "/output_tokens_details/reasoning_tokens",
                "/completion_tokens_details/reasoning_tokens",
                "/output_reasoning_tokens",
                "/output_reasoning",
                "/reasoning_tokens",
            ],
        );
    }

    /// Includes cached tokens in `input`. Some sources count them separately
    /// (Anthropic's API, Langfuse's buckets). The total shows which way was used;
    /// without a total, they are separate if they exceed `input`.
    fn include_cached(&mut self, total: Option<i64>) {
        let (Some(input), cached) = (
            self.input,
            self.cache_read
                .unwrap_or(0)
                .saturating_add(self.cache_write.unwrap_or(0)),
        ) else {
            return;
        };
        let sum = input.saturating_add(self.output.unwrap_or(0));
        let separate = match total {
            Some(total) if total == sum => false,
            Some(total) if total == sum.saturating_add(cached) => cached > 0,
            _ => cached > input,
        };
        if separate {
            self.input = Some(input.saturating_add(cached));
        }
    }

    /// Includes reasoning tokens in `output`. Gemini's API counts them separately.
    fn include_reasoning(&mut self, total: Option<i64>) {
        let (Some(output), Some(reasoning)) = (self.output, self.reasoning) else {
            return;
        };
        let sum = self.input.unwrap_or(0).saturating_add(output);
        if reasoning > output || total == Some(sum.saturating_add(reasoning)) && reasoning > 0 {
            self.output = Some(output.saturating_add(reasoning));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(input: i64, cache_read: i64, output: i64, total: Option<i64>) -> Option<i64> {
        let mut usage = TokenUsage {
            input: Some(input),
            output: Some(output),
            cache_read: Some(cache_read),
            ..TokenUsage::default()
        };
        usage.include_cached(total);
        usage.input
    }

    #[test]
    fn input_includes_cached_tokens() {
        assert_eq!(cached(205, 128, 33, Some(238)), Some(205));
        assert_eq!(cached(77, 128, 33, Some(238)), Some(205));
        assert_eq!(cached(77, 128, 33, None), Some(205));
        assert_eq!(cached(205, 128, 33, None), Some(205));
    }

    #[test]
    fn output_includes_reasoning_tokens() {
        let mut usage = TokenUsage {
            input: Some(28),
            output: Some(20),
            reasoning: Some(48),
            ..TokenUsage::default()
        };
        usage.include_reasoning(None);
        assert_eq!(usage.output, Some(68));
        usage.include_reasoning(Some(96));
        assert_eq!(usage.output, Some(68));
    }

    #[test]
    fn usage_objects_of_several_vendors_are_read() {
        for text in [
            r#"{"prompt_tokens":205,"completion_tokens":33,"prompt_tokens_details":{"cached_tokens":128}}"#,
            r#"{"input_tokens":205,"output_tokens":33,"cache_read_input_tokens":128}"#,
            r#"{"input":205,"output":33,"cache_read_input_tokens":128}"#,
        ] {
            let mut usage = TokenUsage::default();
            usage.fill_from_object(&serde_json::from_str(text).unwrap(), &mut None);
            let read = (usage.input, usage.output, usage.cache_read);
            assert_eq!(read, (Some(205), Some(33), Some(128)), "{text}");
        }
    }
}
