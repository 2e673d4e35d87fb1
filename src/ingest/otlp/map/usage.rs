//! Tokens, in one meaning: `input` and `output` are all of them, what was read
//! from or written to a cache is part of `input`, reasoning part of `output`.

use serde_json::Value as JsonValue;

use super::facts::Facts;
use super::python;
use super::slots::Slot;
use super::value;

/// Tokens that a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Usage {
    pub input: Option<i64>,
    pub output: Option<i64>,
    pub cache_read: Option<i64>,
    pub cache_write: Option<i64>,
    pub reasoning: Option<i64>,
}

impl Usage {
    /// Reads them from a span; `None` where it says nothing of tokens.
    pub fn read(facts: &Facts<'_>) -> Option<Self> {
        let object = facts
            .value(Slot::UsageJson)
            .map(|told| match value::parsed(told) {
                // litellm prints a Python object.
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
            usage.fill(object, &mut total);
        }
        if usage == Self::default() {
            return None;
        }
        usage.contain_cached(total);
        usage.contain_reasoning(total);
        Some(usage)
    }

    /// What an object like OpenAI's, Anthropic's or Langfuse's says of what is
    /// not known yet.
    fn fill(&mut self, object: &JsonValue, total: &mut Option<i64>) {
        let first = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| object.pointer(key));
            found.and_then(JsonValue::as_i64)
        };
        let or = |held: &mut Option<i64>, keys: &[&str]| *held = held.or_else(|| first(keys));
        or(
            &mut self.input,
            &[
                "/input_tokens",
                "/prompt_tokens",
                "/input",
                "/promptTokens",
                "/inputTokens",
            ],
        );
        or(
            &mut self.output,
            &[
                "/output_tokens",
                "/completion_tokens",
                "/output",
                "/completionTokens",
                "/outputTokens",
            ],
        );
        or(total, &["/total_tokens", "/total", "/totalTokens"]);
        or(
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
        or(
            &mut self.cache_write,
            &[
                "/cache_creation_input_tokens",
                "/cache_write_input_tokens",
                "/input_cache_creation",
            ],
        );
        or(
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

    /// Some count cached input beside `input` (Anthropic's API, Langfuse's
    /// buckets). The total tells; without one, a part cannot exceed the whole.
    fn contain_cached(&mut self, total: Option<i64>) {
        let (Some(input), cached) = (
            self.input,
            self.cache_read
                .unwrap_or(0)
                .saturating_add(self.cache_write.unwrap_or(0)),
        ) else {
            return;
        };
        let sum = input.saturating_add(self.output.unwrap_or(0));
        let beside = match total {
            Some(total) if total == sum => false,
            Some(total) if total == sum.saturating_add(cached) => cached > 0,
            _ => cached > input,
        };
        if beside {
            self.input = Some(input.saturating_add(cached));
        }
    }

    /// The same for reasoning beside `output` (Gemini's API).
    fn contain_reasoning(&mut self, total: Option<i64>) {
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
        let mut usage = Usage {
            input: Some(input),
            output: Some(output),
            cache_read: Some(cache_read),
            ..Usage::default()
        };
        usage.contain_cached(total);
        usage.input
    }

    #[test]
    fn cached_input_is_part_of_the_input() {
        assert_eq!(cached(205, 128, 33, Some(238)), Some(205));
        assert_eq!(cached(77, 128, 33, Some(238)), Some(205));
        assert_eq!(cached(77, 128, 33, None), Some(205));
        assert_eq!(cached(205, 128, 33, None), Some(205));
    }

    #[test]
    fn reasoning_is_part_of_the_output() {
        let mut usage = Usage {
            input: Some(28),
            output: Some(20),
            reasoning: Some(48),
            ..Usage::default()
        };
        usage.contain_reasoning(None);
        assert_eq!(usage.output, Some(68));
        usage.contain_reasoning(Some(96));
        assert_eq!(usage.output, Some(68));
    }

    #[test]
    fn objects_of_several_makers_are_read() {
        for text in [
            r#"{"prompt_tokens":205,"completion_tokens":33,"prompt_tokens_details":{"cached_tokens":128}}"#,
            r#"{"input_tokens":205,"output_tokens":33,"cache_read_input_tokens":128}"#,
            r#"{"input":205,"output":33,"cache_read_input_tokens":128}"#,
        ] {
            let mut usage = Usage::default();
            usage.fill(&serde_json::from_str(text).unwrap(), &mut None);
            let read = (usage.input, usage.output, usage.cache_read);
            assert_eq!(read, (Some(205), Some(33), Some(128)), "{text}");
        }
    }
}
