//! The rows of one capture beside its truth.

mod agents;
mod calls;
mod ends;
mod texts;
mod tokens;
mod tools;

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    corpus::{Capture, Payload, Truth},
    fact::{Fact, Verdict},
    rows::Rows,
    sent::Sent,
};

/// What became of each fact that a scenario has.
pub type Verdicts = BTreeMap<Fact, Verdict>;

/// What the judges look at.
struct Case<'a> {
    truth: Truth,
    payload: &'a Payload,
    sent: Sent,
    rows: &'a Rows,
}

/// Compares the rows, which must be all that is in the database, with what is true.
pub fn judge(capture: &Capture, rows: &Rows) -> Verdicts {
    let case = Case {
        truth: capture.visible_truth(),
        payload: &capture.payload,
        sent: Sent::of(capture),
        rows,
    };
    let mut verdicts = Verdicts::new();
    agents::judge(&case, &mut verdicts);
    calls::judge(&case, &mut verdicts);
    tools::judge(&case, &mut verdicts);
    tokens::judge(&case, &mut verdicts);
    texts::judge(&case, &mut verdicts);
    ends::judge(&case, &mut verdicts);
    verdicts
}

impl Case<'_> {
    /// Whether a text was sent whole.
    fn was_sent(&self, text: &str) -> bool {
        let told = self.payload.texts.get(text);
        told.is_some_and(|text| text.found) || self.sent.has_text(text)
    }
}

/// The same but for white space around it.
fn same(text: &str, wanted: &str) -> bool {
    text.trim() == wanted.trim()
}

/// Whether a text is a value of its own somewhere in JSON, or in JSON in a text.
fn says(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => {
            same(text, wanted)
                || text.starts_with(['{', '[', '"'])
                    && serde_json::from_str(text).is_ok_and(|value| says(&value, wanted))
        }
        Value::Array(values) => values.iter().any(|value| says(value, wanted)),
        Value::Object(fields) => fields.values().any(|value| says(value, wanted)),
        _ => false,
    }
}

/// Sorted, to compare regardless of order.
fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}
