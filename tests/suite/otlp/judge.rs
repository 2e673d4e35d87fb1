//! Compares the rows of one capture with its truth.

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

/// The verdict on each fact of a scenario.
pub type Verdicts = BTreeMap<Fact, Verdict>;

/// The data that the checks compare.
struct Case<'a> {
    truth: Truth,
    payload: &'a Payload,
    sent: Sent,
    rows: &'a Rows,
}

/// Compares the rows with the truth. The rows must be all rows in the database.
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
    /// Whether a text was sent completely.
    fn was_sent(&self, text: &str) -> bool {
        let summary = self.payload.texts.get(text);
        summary.is_some_and(|text| text.found) || self.sent.has_text(text)
    }
}

/// Whether both are equal, apart from white space at both ends.
fn same(text: &str, wanted: &str) -> bool {
    text.trim() == wanted.trim()
}

/// Whether JSON, or JSON in a text of it, has a text as one of its values.
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

/// The sorted items, to compare them regardless of order.
fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}
