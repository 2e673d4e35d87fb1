//! Reads token counts and normalizes them: `input` includes the tokens that were
//! read from or written to a cache, and `output` includes reasoning.

use serde_json::Value as JsonValue;

use super::dialects::{Containing, CountingRules, Dialects, UsagePart};
use super::facts::SpanFacts;
use super::lenient::{self, Purpose};
use super::slots::Slot;
use super::value;

/// The largest float that is read as a count, just below 2^53: every integer up
/// to it is exact.
const MAX_EXACT_COUNT: f64 = 9e15;

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
    ///
    /// The provider's own object decides over the figures of the SDK, if it is about
    /// the same call: only it is certain to say what contains what. The span around
    /// several calls may have that of the last one.
    pub fn read(facts: &SpanFacts<'_>) -> Option<Self> {
        let mut usage = Self::of_attributes(facts);
        if let Some(object) = object(facts, Slot::ProviderUsage) {
            let (as_it_is, ..) = Self::parts(&object, facts.dialects, true);
            let of_provider = Self::of_provider(&object, facts.dialects).unwrap_or_default();
            let of_sdk = facts.count(Slot::UsageInput).or(usage.input);
            if of_sdk.is_none() || [as_it_is.input, of_provider.input].contains(&of_sdk) {
                usage = of_provider.or(usage);
            }
        }
        (usage != Self::default()).then_some(usage)
    }

    /// The counts in attributes, and those that only the SDK's usage object has.
    fn of_attributes(facts: &SpanFacts<'_>) -> Self {
        let mut usage = Self {
            input: facts.count(Slot::UsageInput),
            output: facts.count(Slot::UsageOutput),
            cache_read: facts.count(Slot::UsageCacheRead),
            cache_write: facts.count(Slot::UsageCacheWrite),
            reasoning: facts.count(Slot::UsageReasoning),
        };
        let mut total = facts.count(Slot::UsageTotal);
        // The dialect of a count says what it contains.
        let counting = |slot| {
            let filled = facts.filled(slot);
            filled.map_or(CountingRules::default(), |filled| {
                facts.dialects.get(filled.dialect).counting
            })
        };
        let mut rules = CountingRules {
            cached: counting(Slot::UsageInput).cached,
            reasoned: counting(Slot::UsageOutput).reasoned,
        };
        if let Some(object) = object(facts, Slot::UsageJson) {
            if usage.input.is_none() && usage.output.is_none() {
                rules = counting(Slot::UsageJson);
            }
            let (of_object, of_object_rules, object_total) =
                Self::parts(&object, facts.dialects, false);
            if usage.input.is_none() && of_object_rules.cached != Containing::ByTotal {
                rules.cached = of_object_rules.cached;
            }
            if usage.output.is_none() && of_object_rules.reasoned != Containing::ByTotal {
                rules.reasoned = of_object_rules.reasoned;
            }
            usage = usage.or(of_object);
            total = total.or(object_total);
        }
        usage.include_cached(facts.ruled.cached.unwrap_or(rules.cached), total);
        usage.include_reasoning(rules.reasoned, total);
        usage
    }

    /// The normalized counts of a provider's usage object.
    fn of_provider(object: &JsonValue, dialects: &Dialects) -> Option<Self> {
        let (mut usage, rules, total) = Self::parts(object, dialects, true);
        usage.include_cached(rules.cached, total);
        usage.include_reasoning(rules.reasoned, total);
        (usage != Self::default()).then_some(usage)
    }

    /// The counts of a usage object as it has them, how it counts, and its total.
    fn parts(
        object: &JsonValue,
        dialects: &Dialects,
        of_provider: bool,
    ) -> (Self, CountingRules, Option<i64>) {
        let mut usage = Self::default();
        let mut rules = CountingRules::default();
        let mut total = None;
        let shapes = dialects.usage_objects.iter();
        for shape in shapes.filter(|shape| shape.is(object, of_provider)) {
            let count = |part| shape.part(part, object).and_then(count);
            let of_shape = Self {
                input: count(UsagePart::Input),
                output: count(UsagePart::Output),
                cache_read: count(UsagePart::CacheRead),
                cache_write: count(UsagePart::CacheWrite),
                reasoning: count(UsagePart::Reasoning),
            };
            usage = usage.or(of_shape);
            total = total.or_else(|| count(UsagePart::Total));
            if rules.cached == Containing::ByTotal {
                rules.cached = shape.counting.cached;
            }
            if rules.reasoned == Containing::ByTotal {
                rules.reasoned = shape.counting.reasoned;
            }
        }
        (usage, rules, total)
    }

    /// These counts, and those of `other` where there are none.
    fn or(self, other: Self) -> Self {
        Self {
            input: self.input.or(other.input),
            output: self.output.or(other.output),
            cache_read: self.cache_read.or(other.cache_read),
            cache_write: self.cache_write.or(other.cache_write),
            reasoning: self.reasoning.or(other.reasoning),
        }
    }

    /// Includes cached tokens in `input`. Without a rule, the total shows whether
    /// they are included. A part is never greater than its whole.
    fn include_cached(&mut self, rule: Containing, total: Option<i64>) {
        let read = self.cache_read.unwrap_or(0);
        let cached = read.saturating_add(self.cache_write.unwrap_or(0));
        let input = self.input.unwrap_or(0);
        let sum = input.saturating_add(self.output.unwrap_or(0));
        let separate = match rule {
            Containing::Separate => true,
            Containing::Included => cached > input,
            Containing::ByTotal => cached > input || total == Some(sum.saturating_add(cached)),
        };
        if separate && cached > 0 {
            self.input = Some(input.saturating_add(cached));
        }
    }

    /// Includes reasoning tokens in `output`. Gemini's API counts them separately.
    fn include_reasoning(&mut self, rule: Containing, total: Option<i64>) {
        let Some(reasoning) = self.reasoning.filter(|count| *count > 0) else {
            return;
        };
        let output = self.output.unwrap_or(0);
        let sum = self.input.unwrap_or(0).saturating_add(output);
        let separate = match rule {
            Containing::Separate => true,
            Containing::Included => reasoning > output,
            Containing::ByTotal => {
                reasoning > output || total == Some(sum.saturating_add(reasoning))
            }
        };
        if separate {
            self.output = Some(output.saturating_add(reasoning));
        }
    }
}

/// The JSON object of a slot.
fn object(facts: &SpanFacts<'_>, slot: Slot) -> Option<JsonValue> {
    Some(match value::parsed(facts.value(slot)?) {
        // litellm writes a Python literal.
        JsonValue::String(text) => lenient::read(&text, Purpose::Values)?,
        other => other,
    })
}

/// A count in JSON. Some sources write numbers as text or as floats.
fn count(value: &JsonValue) -> Option<i64> {
    match value {
        JsonValue::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.abs() < MAX_EXACT_COUNT).then_some(float as i64)
        }),
        JsonValue::String(text) => text.trim().parse().ok(),
        _ => None,
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
        usage.include_cached(Containing::ByTotal, total);
        usage.input
    }

    #[test]
    fn input_includes_cached_tokens() {
        assert_eq!(cached(205, 128, 33, Some(238)), Some(205));
        assert_eq!(cached(77, 128, 33, Some(238)), Some(205));
        assert_eq!(cached(77, 128, 33, None), Some(205));
        assert_eq!(cached(205, 128, 33, None), Some(205));
        // A total of the counts as they are does not make a part fit into its whole.
        assert_eq!(cached(77, 128, 33, Some(110)), Some(205));
    }

    #[test]
    fn the_dialect_may_know_whether_cached_tokens_are_included() {
        let of = |rule| {
            let mut usage = TokenUsage {
                input: Some(100),
                cache_read: Some(60),
                ..TokenUsage::default()
            };
            usage.include_cached(rule, None);
            usage.input
        };
        assert_eq!(of(Containing::Separate), Some(160));
        assert_eq!(of(Containing::Included), Some(100));
    }

    #[test]
    fn output_includes_reasoning_tokens() {
        let mut usage = TokenUsage {
            input: Some(28),
            output: Some(20),
            reasoning: Some(48),
            ..TokenUsage::default()
        };
        usage.include_reasoning(Containing::ByTotal, None);
        assert_eq!(usage.output, Some(68));
        usage.include_reasoning(Containing::ByTotal, Some(96));
        assert_eq!(usage.output, Some(68));
    }

    #[test]
    fn usage_objects_of_several_vendors_are_read() {
        for text in [
            r#"{"prompt_tokens":205,"completion_tokens":33,"prompt_tokens_details":{"cached_tokens":128}}"#,
            r#"{"input_tokens":77,"output_tokens":33,"cache_read_input_tokens":128}"#,
            r#"{"input":205.0,"output":"33","cache_read_input_tokens":128}"#,
            r#"{"input":77,"output":33,"input_cached_tokens":128}"#,
            r#"{"inputTokens":77,"outputTokens":33,"cacheReadInputTokens":128}"#,
            r#"{"promptTokenCount":205,"candidatesTokenCount":30,"thoughtsTokenCount":3,"cachedContentTokenCount":128}"#,
            r#"{"input_tokens":205,"output_tokens":33,"input_token_details":{"cache_read":128}}"#,
        ] {
            let object = serde_json::from_str(text).unwrap();
            let dialects = Dialects::built_in();
            let usage = TokenUsage::of_provider(&object, &dialects).unwrap();
            let read = (usage.input, usage.output, usage.cache_read);
            assert_eq!(read, (Some(205), Some(33), Some(128)), "{text}");
        }
    }
}
