//! What a live topic shows, as it was at one time, and what differs from an earlier time.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::columns::skeleton_members;
use super::error::WebError;
use super::live::LiveOf;
use crate::query::{
    ReadAs, ReadPools, RunHead, RunPage, Skeleton, SkeletonRow, run_head, skeleton_rows,
};

/// Fields of a run that change while nothing happens.
const CLOCKS: [&str; 2] = ["running_ms", "waiting_ms"];

/// One look.
#[derive(Clone, Debug)]
pub(super) enum LiveSource {
    List(RunPage),
    Run(Box<(RunHead, Skeleton)>),
}

/// What differs between two looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// A JSON object.
    Some(String),
}

impl LiveSource {
    /// Looks at the database.
    ///
    /// # Errors
    /// If there is no such run, or the database cannot be read.
    pub(super) async fn read(
        pools: &ReadPools,
        of: &LiveOf,
        reader: &ReadAs,
    ) -> Result<Self, WebError> {
        match of {
            LiveOf::List(search) => Ok(Self::List(search.page_of_all(pools, reader).await?)),
            LiveOf::Run(run) => {
                let mut tx = pools.one_of(*run).begin_shared(reader).await?;
                let head = run_head(&mut tx, *run).await?;
                let head = head.ok_or(WebError::NotFound("there is no such run"))?;
                let rows = skeleton_rows(&mut tx, *run).await?;
                drop(tx);
                let head = head.with_relatives(pools, reader).await?;
                Ok(Self::Run(Box::new((head, rows))))
            }
        }
    }

    /// Whether nothing more is expected.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::List(_) => false,
            Self::Run(run) => parsed(&run.0.run)["status"] != "running",
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::List(page) => {
                page.rows
                    .iter()
                    .map(|(_, row)| row.len() + 64)
                    .sum::<usize>()
                    + 1
            }
            Self::Run(run) => run.1.bytes() + run.0.bytes(),
        }
    }

    /// All there is, as a JSON object.
    pub(super) fn snapshot(&self) -> String {
        match self {
            Self::List(page) => {
                let rows: Vec<&str> = page.rows.iter().map(|(_, row)| row.as_str()).collect();
                format!("{{\"rows\":[{}]}}", rows.join(","))
            }
            Self::Run(run) => format!("{{{}}}", skeleton_members(&run.0, &run.1)),
        }
    }

    /// What differs from an earlier look at the same.
    pub(super) fn change_since(&self, before: &Self) -> Change {
        match (self, before) {
            (Self::List(now), Self::List(before)) => list_change(&now.rows, &before.rows),
            (Self::Run(now), Self::Run(before)) => run_change(now, before),
            _ => Change::None,
        }
    }

    /// An empty list.
    #[cfg(test)]
    pub(super) fn empty() -> Self {
        Self::List(RunPage::default())
    }
}

fn parsed(row: &str) -> Value {
    serde_json::from_str(row).unwrap_or_default()
}

/// A row without what its clock alone changes.
fn without_clocks(row: &str) -> Value {
    let mut row = parsed(row);
    if let Some(row) = row.as_object_mut() {
        for clock in CLOCKS {
            row.remove(clock);
        }
    }
    row
}

fn list_change(now: &[(Uuid, String)], before: &[(Uuid, String)]) -> Change {
    let earlier: HashMap<Uuid, &String> = before.iter().map(|(id, row)| (*id, row)).collect();
    let changed: Vec<&str> = now
        .iter()
        .filter(|(id, row)| {
            let same = earlier.get(id).is_some_and(|earlier| {
                *earlier == row || without_clocks(earlier) == without_clocks(row)
            });
            !same
        })
        .map(|(_, row)| row.as_str())
        .collect();
    let there: HashSet<Uuid> = now.iter().map(|(id, _)| *id).collect();
    let gone: Vec<Uuid> = before
        .iter()
        .map(|(id, _)| *id)
        .filter(|id| !there.contains(id))
        .collect();
    if changed.is_empty() && gone.is_empty() {
        return Change::None;
    }
    Change::Some(format!(
        "{{\"rows\":[{}],\"gone\":{}}}",
        changed.join(","),
        json!(gone)
    ))
}

fn run_change(now: &(RunHead, Skeleton), before: &(RunHead, Skeleton)) -> Change {
    let name = |row: &SkeletonRow| (row.item.clone(), row.id);
    let earlier: HashMap<_, _> = before.1.rows.iter().map(|row| (name(row), row)).collect();
    let there: HashSet<_> = now.1.rows.iter().map(name).collect();
    let is_new = |row: &&SkeletonRow| earlier.get(&name(row)).is_none_or(|old| *old != *row);
    let rows: Vec<&SkeletonRow> = now.1.rows.iter().filter(is_new).collect();
    let gone: Vec<Value> = earlier
        .keys()
        .filter(|name| !there.contains(name))
        .map(|(item, id)| json!({ "item": item, "id": id }))
        .collect();
    let around = around_change(&now.0, &before.0);
    let same_head = without_clocks(&now.0.run) == without_clocks(&before.0.run);
    if rows.is_empty() && gone.is_empty() && around.is_empty() && same_head {
        return Change::None;
    }
    Change::Some(format!(
        "{{\"run\":{},\"rows\":{},\"gone\":{}{around}}}",
        now.0.run,
        // Numbers and texts always have a JSON form.
        serde_json::to_string(&rows).unwrap_or_default(),
        Value::from(gone)
    ))
}

/// What is different around a run, as further members of an object: its children, say.
fn around_change(now: &RunHead, before: &RunHead) -> String {
    let mut members = String::new();
    for (name, now, before) in [
        ("session", &now.session, &before.session),
        ("parent", &now.parent, &before.parent),
    ] {
        if now != before {
            let json = now.as_deref().unwrap_or("null");
            members.push_str(&format!(",\"{name}\":{json}"));
        }
    }
    for (name, now, before) in [
        ("children", &now.children, &before.children),
        ("siblings", &now.siblings, &before.siblings),
    ] {
        if now != before {
            members.push_str(&format!(",\"{name}\":[{}]", now.join(",")));
        }
    }
    if now.away != before.away {
        members.push_str(&format!(",\"servers_away\":{}", json!(now.away)));
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_tells_new_changed_and_gone_rows_and_no_clocks() {
        let row = |id: u128, status: &str, running: u32| {
            let json = format!("{{\"status\":\"{status}\",\"running_ms\":{running}}}");
            (Uuid::from_u128(id), json)
        };
        let before = [row(1, "running", 5), row(2, "running", 5)];
        let clock = [row(1, "running", 6), row(2, "running", 7)];
        assert_eq!(list_change(&clock, &before), Change::None);
        let after = [row(3, "running", 1), row(1, "failed", 6)];
        let Change::Some(change) = list_change(&after, &before) else {
            panic!("it has changed");
        };
        let change = parsed(&change);
        assert_eq!(change["rows"].as_array().map(Vec::len), Some(2));
        assert_eq!(change["gone"], json!([Uuid::from_u128(2)]));
    }

    #[test]
    fn a_run_tells_that_it_has_a_child() {
        let head = |children: &[&str]| RunHead {
            run: "{\"status\":\"running\"}".to_owned(),
            children: children.iter().map(|child| (*child).to_owned()).collect(),
            ..RunHead::default()
        };
        let run = |children| (head(children), Skeleton::default());
        let (before, after) = (run(&[]), run(&["{\"run_id\":7}"]));
        assert_eq!(run_change(&before, &before), Change::None);
        let Change::Some(change) = run_change(&after, &before) else {
            panic!("it has a child");
        };
        assert_eq!(parsed(&change)["children"], json!([{ "run_id": 7 }]));
        assert_eq!(parsed(&change)["siblings"], Value::Null, "as before");
    }
}
