//! The rows of a run by columns: ten thousand steps in a few hundred kilobytes.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::json;
use uuid::Uuid;

use crate::query::{RunHead, Skeleton, StepTokens};

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

/// Numbers, with commas between them. One that is as the one before is left empty, and `-` is none.
#[derive(Default)]
struct NumberColumn {
    text: String,
    last: String,
}

impl NumberColumn {
    fn push(&mut self, value: Option<impl ToString>) {
        let value = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        // No value is empty, so the first one is always written.
        if !self.last.is_empty() {
            self.text.push(',');
        }
        if value != self.last {
            self.text.push_str(&value);
            self.last = value;
        }
    }
}

impl Serialize for NumberColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// The rows of a run, by columns.
#[derive(Default, Serialize)]
struct Columns<'a> {
    count: usize,
    /// Whether the run has more rows.
    more: bool,
    ids: String,
    item: NumberColumn,
    parent: NumberColumn,
    /// What each offset adds to the one before.
    offset: NumberColumn,
    duration: NumberColumn,
    kind: NumberColumn,
    name: NumberColumn,
    model: NumberColumn,
    status: NumberColumn,
    #[serde(rename = "in")]
    input: NumberColumn,
    #[serde(rename = "out")]
    output: NumberColumn,
    tokens: TokenColumns,
    errors: Vec<(usize, &'a str)>,
    flags: Vec<(usize, &'a [String])>,
    items: [&'static str; 4],
    statuses: [&'static str; 7],
    strings: Vec<&'a str>,
}

/// The tokens of the rows that have some.
#[derive(Default, Serialize)]
struct TokenColumns {
    /// What each index of a row adds to the one before.
    row: NumberColumn,
    #[serde(rename = "in")]
    input: NumberColumn,
    #[serde(rename = "out")]
    output: NumberColumn,
    cached: NumberColumn,
    reasoning: NumberColumn,
    cost: NumberColumn,
}

/// Texts that occur again and again, each once.
#[derive(Default)]
struct Strings<'a> {
    numbers: HashMap<&'a str, usize>,
    all: Vec<&'a str>,
}

impl<'a> Strings<'a> {
    /// The number of a text.
    fn number(&mut self, text: Option<&'a String>) -> Option<usize> {
        let text = text?.as_str();
        Some(*self.numbers.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        }))
    }
}

fn place(of: &str, all: &[&str]) -> Option<usize> {
    all.iter().position(|one| *one == of)
}

/// The rows as JSON.
pub(super) fn columns_json(Skeleton { rows, more }: &Skeleton) -> String {
    let steps: HashMap<Uuid, usize> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.item == ITEMS[0])
        .map(|(index, row)| (row.id, index))
        .collect();
    let mut strings = Strings::default();
    let mut columns = Columns {
        count: rows.len(),
        more: *more,
        ids: String::with_capacity(22 * rows.len()),
        items: ITEMS,
        statuses: STATUSES,
        ..Columns::default()
    };
    let (mut last_offset, mut last_counted) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        URL_SAFE_NO_PAD.encode_string(row.id.as_bytes(), &mut columns.ids);
        columns.item.push(place(&row.item, &ITEMS));
        let parent = row.parent_id.and_then(|parent| steps.get(&parent));
        columns.parent.push(parent);
        // Sums of any two times that Postgres has fit.
        columns
            .offset
            .push(row.offset.map(|offset| offset.wrapping_sub(last_offset)));
        last_offset = row.offset.unwrap_or(last_offset);
        columns.duration.push(row.duration);
        columns.kind.push(strings.number(row.kind.as_ref()));
        columns.name.push(strings.number(row.name.as_ref()));
        columns.model.push(strings.number(row.model.as_ref()));
        let status = row.status.as_deref();
        columns
            .status
            .push(status.and_then(|status| place(status, &STATUSES)));
        columns.input.push(Some(row.input_bytes));
        columns.output.push(Some(row.output_bytes));
        if let Some(StepTokens(input, output, cached, reasoning, cost)) = row.tokens {
            let tokens = &mut columns.tokens;
            tokens.row.push(Some(index - last_counted));
            last_counted = index;
            tokens.input.push(input);
            tokens.output.push(output);
            tokens.cached.push(cached);
            tokens.reasoning.push(reasoning);
            tokens.cost.push(cost);
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
pub(super) fn skeleton_members(head: &RunHead, rows: &Skeleton) -> String {
    let none = || "null".to_owned();
    // With one server, no other one can be away.
    let away = match head.away.as_slice() {
        [] => String::new(),
        away => format!(",\"servers_away\":{}", json!(away)),
    };
    format!(
        "\"run\":{},\"session\":{},\"parent\":{},\"children\":[{}],\"siblings\":[{}],\"rows\":{}{away}",
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
    use crate::query::SkeletonRow;

    /// The numbers of a column, as the page reads them.
    fn read(column: &str) -> Vec<Option<f64>> {
        let mut last = None;
        column
            .split(',')
            .map(|number| {
                if !number.is_empty() {
                    last = number.parse().ok();
                }
                last
            })
            .collect()
    }

    fn step(index: u128) -> SkeletonRow {
        SkeletonRow {
            item: "step".to_owned(),
            id: Uuid::from_u128(0x0194_bb0a_0000_7000_8000_0000_0000_0000 + index),
            parent_id: (index > 0)
                .then(|| Uuid::from_u128(0x0194_bb0a_0000_7000_8000_0000_0000_0000)),
            offset: i64::try_from(index * 731 + index % 7).ok(),
            duration: i64::try_from(1_000 + index * 37 % 9_000).ok(),
            kind: Some(["llm_call", "tool_call"][usize::from(index.is_multiple_of(2))].to_owned()),
            name: Some(format!("tool {}", index % 40)),
            model: Some("claude-sonnet-4-5".to_owned()),
            status: Some("completed".to_owned()),
            input_bytes: 800 + (index % 97) as i64,
            output_bytes: 90 + (index % 9) as i64,
            error: None,
            flags: Vec::new(),
            tokens: index.is_multiple_of(2).then_some(StepTokens(
                Some(1_200 + (index % 89) as i64),
                Some(80 + (index % 13) as i64),
                Some(900),
                None,
                Some(0.01234 + (index % 50) as f64 / 10_000.0),
            )),
        }
    }

    #[test]
    fn ten_thousand_steps_take_less_than_600_kb() {
        let skeleton = Skeleton {
            rows: (0..10_000).map(step).collect(),
            more: false,
        };
        let (json, rows) = (columns_json(&skeleton), &skeleton.rows);
        assert!(json.len() < 600_000, "{}", json.len());
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["count"], 10_000);
        let ids = value["ids"].as_str().unwrap();
        let third = URL_SAFE_NO_PAD.decode(&ids[44..66]).unwrap();
        assert_eq!(Uuid::from_slice(&third).unwrap(), rows[2].id);
        let column = |column: &Value| read(column.as_str().unwrap());
        let parent = column(&value["parent"]);
        assert_eq!((parent[0], parent[2]), (None, Some(0.0)));
        let name = column(&value["name"])[41].unwrap() as usize;
        assert_eq!(value["strings"][name], "tool 1");
        let offset: f64 = column(&value["offset"])[..=41].iter().flatten().sum();
        assert_eq!(offset as i64, rows[41].offset.unwrap());
        let duration = column(&value["duration"]);
        assert_eq!(duration.len(), 10_000);
        assert_eq!(
            duration[4_711].unwrap() as i64,
            rows[4_711].duration.unwrap()
        );
        let counted = column(&value["tokens"]["row"]);
        assert_eq!(
            (counted.len(), counted[0], counted[1]),
            (5_000, Some(0.0), Some(2.0))
        );
        let costs = column(&value["tokens"]["cost"]);
        assert_eq!(costs[3], rows[6].tokens.as_ref().unwrap().4);
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
        let skeleton = Skeleton {
            rows: vec![row],
            more: true,
        };
        let value: Value = serde_json::from_str(&columns_json(&skeleton)).unwrap();
        assert_eq!(value["more"], true);
        assert_eq!(value["item"], "1");
        assert_eq!(value["parent"], "-", "a step that is not known");
        assert_eq!(
            (&value["kind"], &value["status"]),
            (&"-".into(), &"-".into())
        );
        assert_eq!(value["errors"][0][1], "</script>\u{202e}");
    }
}
