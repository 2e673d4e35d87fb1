//! The fields of a span, and the meaning of those that have one.

use std::fmt::Debug;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use uuid::Uuid;

use crate::proto::StepType;

/// Fields that a run reports when it ends.
const OF_THE_END: [&str; 5] = [
    "run.output",
    "error",
    "otel.status_code",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
];

/// The fields of a span or event. Fields that are not taken out are its metadata.
#[derive(Debug, Default)]
pub(super) struct SpanFields(Map<String, Value>);

impl SpanFields {
    /// Takes a field out, as text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        })
    }

    /// Takes a field out, as JSON text.
    pub(super) fn json(&mut self, name: &str) -> Option<String> {
        let value = self.0.remove(name)?;
        let is_json = |text: &str| {
            text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok()
        };
        match value {
            Value::String(text) if is_json(&text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// Takes out a token count that the daemon accepts; others stay in the metadata.
    pub(super) fn tokens(&mut self, name: &str) -> Option<i64> {
        let count = self.0.get(name)?.as_i64();
        let count = count.filter(|count| (0..=i64::from(i32::MAX)).contains(count))?;
        self.0.remove(name);
        Some(count)
    }

    /// Takes out the fields that say that the span failed.
    pub(super) fn error(&mut self) -> Option<String> {
        let status = self.text("otel.status_code");
        let failed = status.is_some_and(|status| status.eq_ignore_ascii_case("error"));
        match self.text("error") {
            Some(error) if error != "true" && error != "false" => Some(error),
            flag => (failed || flag.is_some_and(|flag| flag == "true")).then(|| "failed".into()),
        }
    }

    /// Takes out the type of a step, and its kind if that is more precise.
    pub(super) fn step_type(&mut self, has_model: bool) -> (StepType, Option<String>) {
        let Some(named) = self.text("step.type") else {
            let guess = [StepType::Other, StepType::LlmCall];
            return (guess[usize::from(has_model)], None);
        };
        match StepType::from_str_name(&format!("STEP_TYPE_{}", named.to_uppercase())) {
            Some(known) if known != StepType::Unspecified => (known, None),
            _ => (StepType::Other, Some(named)),
        }
    }

    /// Takes out the session's id. An id that is not a UUID stays in the metadata.
    pub(super) fn session(&mut self) -> Option<Uuid> {
        let session = self.0.get("run.session")?.as_str()?.parse().ok()?;
        self.0.remove("run.session");
        Some(session)
    }

    /// Everything that was not taken out, as a JSON object.
    pub(super) fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.0);
        (!rest.is_empty()).then(|| Value::Object(rest).to_string())
    }

    /// Takes out the fields that a run reports when it ends.
    pub(super) fn of_the_end(&mut self) -> Self {
        let taken = OF_THE_END.map(|name| self.0.remove_entry(name));
        Self(taken.into_iter().flatten().collect())
    }

    /// Adds later values, which replace earlier ones.
    pub(super) fn update(&mut self, mut later: Self) {
        self.0.append(&mut later.0);
    }

    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for SpanFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.insert(field, format!("{value:?}"));
    }
}
