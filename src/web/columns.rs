//! The rows of a run by columns: ten thousand steps in a few hundred kilobytes.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use crate::query::{RunHead, SkeletonRow, StepTokens};

/// Kinds of rows, in the order of their numbers.
const ITEMS: [&str; 4] = ["step", "message", "approval", "score"];
/// States of rows, in the order of their numbers.
const STATUSES: [&str; 7] = [
    "running",
    "completed",
    "failed",
    "pending",
    "approved",
    "rejected",
    "expired",
];

/// The index of a row, and its tokens.
type TokensOfRow = (
    usize,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<f64>,
);

/// The rows of a run, by columns.
#[derive(Serialize)]
struct Columns<'a> {
    count: usize,
    ids: String,
    item: Vec<i32>,
    parent: Vec<i32>,
    offset: Vec<Option<i64>>,
    duration: Vec<Option<i64>>,
    kind: Vec<i32>,
    name: Vec<i32>,
    model: Vec<i32>,
    status: Vec<i32>,
    #[serde(rename = "in")]
    input: Vec<i64>,
    #[serde(rename = "out")]
    output: Vec<i64>,
    tokens: Vec<TokensOfRow>,
    errors: Vec<(usize, &'a str)>,
    flags: Vec<(usize, &'a [String])>,
    items: [&'static str; 4],
    statuses: [&'static str; 7],
    strings: Vec<&'a str>,
}

/// Texts that occur again and again, each once.
#[derive(Default)]
struct Strings<'a> {
    numbers: HashMap<&'a str, i32>,
    all: Vec<&'a str>,
}

impl<'a> Strings<'a> {
    /// The number of a text; -1: none.
    fn number(&mut self, text: Option<&'a String>) -> i32 {
        let Some(text) = text.map(String::as_str) else {
            return -1;
        };
        *self.numbers.entry(text).or_insert_with(|| {
            self.all.push(text);
            number(self.all.len() - 1)
        })
    }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(-1)
}

fn place(of: &str, all: &[&str]) -> i32 {
    all.iter().position(|one| *one == of).map_or(-1, number)
}

/// The rows as JSON.
pub(super) fn columns_json(rows: &[SkeletonRow]) -> String {
    let steps: HashMap<Uuid, i32> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.item == ITEMS[0])
        .map(|(index, row)| (row.id, number(index)))
        .collect();
    let mut strings = Strings::default();
    let mut columns = Columns {
        count: rows.len(),
        ids: String::with_capacity(22 * rows.len()),
        item: Vec::new(),
        parent: Vec::new(),
        offset: Vec::new(),
        duration: Vec::new(),
        kind: Vec::new(),
        name: Vec::new(),
        model: Vec::new(),
        status: Vec::new(),
        input: Vec::new(),
        output: Vec::new(),
        tokens: Vec::new(),
        errors: Vec::new(),
        flags: Vec::new(),
        items: ITEMS,
        statuses: STATUSES,
        strings: Vec::new(),
    };
    for (index, row) in rows.iter().enumerate() {
        URL_SAFE_NO_PAD.encode_string(row.id.as_bytes(), &mut columns.ids);
        columns.item.push(place(&row.item, &ITEMS));
        let parent = row.parent_id.and_then(|parent| steps.get(&parent));
        columns.parent.push(parent.copied().unwrap_or(-1));
        columns.offset.push(row.offset);
        columns.duration.push(row.duration);
        columns.kind.push(strings.number(row.kind.as_ref()));
        columns.name.push(strings.number(row.name.as_ref()));
        columns.model.push(strings.number(row.model.as_ref()));
        let status = row.status.as_deref();
        columns
            .status
            .push(status.map_or(-1, |status| place(status, &STATUSES)));
        columns.input.push(row.input_bytes);
        columns.output.push(row.output_bytes);
        if let Some(StepTokens(input, output, cached, reasoning, cost)) = row.tokens {
            columns
                .tokens
                .push((index, input, output, cached, reasoning, cost));
        }
        if let Some(error) = &row.error {
            columns.errors.push((index, error));
        }
        if !row.flags.is_empty() {
            columns.flags.push((index, &row.flags));
        }
    }
    columns.strings = strings.all;
    // Numbers and texts always have a JSON form.
    serde_json::to_string(&columns).unwrap_or_default()
}

/// A skeleton as the members of a JSON object.
pub(super) fn skeleton_members(head: &RunHead, rows: &[SkeletonRow]) -> String {
    let none = || "null".to_owned();
    format!(
        "\"run\":{},\"session\":{},\"parent\":{},\"children\":[{}],\"siblings\":[{}],\"rows\":{}",
        head.run,
        head.session.clone().unwrap_or_else(none),
        head.parent.clone().unwrap_or_else(none),
        head.children.join(","),
        head.siblings.join(","),
        columns_json(rows)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn step(index: u128) -> SkeletonRow {
        SkeletonRow {
            item: "step".to_owned(),
            id: Uuid::from_u128(0x0194_bb0a_0000_7000_8000_0000_0000_0000 + index),
            parent_id: (index > 0)
                .then(|| Uuid::from_u128(0x0194_bb0a_0000_7000_8000_0000_0000_0000)),
            offset: i64::try_from(index * 731).ok(),
            duration: Some(1_234),
            kind: Some("llm_call".to_owned()),
            name: Some(format!("tool {}", index % 40)),
            model: Some("claude-sonnet-4-5".to_owned()),
            status: Some("completed".to_owned()),
            input_bytes: 812,
            output_bytes: 90,
            error: None,
            flags: Vec::new(),
            tokens: index.is_multiple_of(2).then_some(StepTokens(
                Some(1_200),
                Some(80),
                Some(900),
                None,
                Some(0.01234),
            )),
        }
    }

    #[test]
    fn ten_thousand_steps_take_less_than_600_kb() {
        let rows: Vec<SkeletonRow> = (0..10_000).map(step).collect();
        let json = columns_json(&rows);
        assert!(json.len() < 600_000, "{}", json.len());
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["count"], 10_000);
        let ids = value["ids"].as_str().unwrap();
        let third = URL_SAFE_NO_PAD.decode(&ids[44..66]).unwrap();
        assert_eq!(Uuid::from_slice(&third).unwrap(), rows[2].id);
        assert_eq!(
            (&value["parent"][0], &value["parent"][2]),
            (&Value::from(-1), &Value::from(0))
        );
        let name = value["name"][41].as_u64().unwrap();
        assert_eq!(value["strings"][usize::try_from(name).unwrap()], "tool 1");
        assert_eq!(value["tokens"][1][0], 2);
    }

    #[test]
    fn what_a_row_lacks_is_no_row() {
        let row = SkeletonRow {
            item: "message".to_owned(),
            parent_id: Some(Uuid::from_u128(9)),
            kind: None,
            status: None,
            error: Some("</script>\u{202e}".to_owned()),
            ..step(1)
        };
        let value: Value = serde_json::from_str(&columns_json(&[row])).unwrap();
        assert_eq!(value["item"][0], 1);
        assert_eq!(value["parent"][0], -1, "a step that is not known");
        assert_eq!(
            (&value["kind"][0], &value["status"][0]),
            (&Value::from(-1), &Value::from(-1))
        );
        assert_eq!(value["errors"][0][1], "</script>\u{202e}");
    }
}
