//! What several parts of a run tell of it, reduced to what stands.

use std::borrow::Cow;

use crate::event::{EndStatus, Json, RunObserved, Timestamp};

/// The fields, as `merge_observed`, `insert_runs.sql` and `patch_runs.sql` name them.
const FIELDS: [&str; 8] = [
    "session_id",
    "agent_id",
    "agent_type",
    "name",
    "input",
    "metadata",
    "output",
    "outcome",
];
/// The fields of which the latest stands, and not the earliest.
const LATEST: [&str; 2] = ["output", "outcome"];

/// A value with what ranks it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told<'a> {
    rank: i32,
    at: Timestamp,
    value: Cow<'a, str>,
}

impl Told<'_> {
    /// Whether it stands over another value of the field; `merge_observed` of
    /// the migrations has the same rule.
    fn stands_over(&self, other: &Self, field: &str) -> bool {
        let latest = (other.at, &other.value).cmp(&(self.at, &self.value));
        let order = if LATEST.contains(&field) {
            latest
        } else {
            latest.reverse()
        };
        self.rank.cmp(&other.rank).then(order).is_lt()
    }
}

/// What a batch tells of one run by its parts.
#[derive(Debug, Default)]
pub struct Observed<'a> {
    told: [Option<Told<'a>>; FIELDS.len()],
    /// Positions of the events.
    pub events: Vec<usize>,
}

impl<'a> Observed<'a> {
    /// Takes in one event.
    pub fn add(&mut self, index: usize, at: Timestamp, event: &'a RunObserved) {
        self.events.push(index);
        let values = [
            event.session_id.map(|id| Cow::Owned(id.to_string())),
            event.agent_id.as_deref().map(Cow::Borrowed),
            event.agent_type.as_deref().map(Cow::Borrowed),
            event.name.as_deref().map(Cow::Borrowed),
            event.input.as_deref().map(Cow::Borrowed),
            event.metadata.as_ref().map(Json::as_str).map(Cow::Borrowed),
            event.output.as_deref().map(Cow::Borrowed),
            outcome(event).map(Cow::Owned),
        ];
        for ((field, told), value) in FIELDS.into_iter().zip(&mut self.told).zip(values) {
            let Some(value) = value else { continue };
            let rank = event.rank;
            let new = Told { rank, at, value };
            if told.as_ref().is_none_or(|old| new.stands_over(old, field)) {
                *told = Some(new);
            }
        }
    }

    /// As `agent_runs.observed` holds it: by field, rank, microseconds and
    /// value. `None` where nothing was told.
    #[must_use]
    pub fn to_json(&self) -> Option<String> {
        let fields = FIELDS.into_iter().zip(&self.told);
        let object: serde_json::Map<_, _> = fields
            .filter_map(|(field, told)| {
                let told = told.as_ref()?;
                let at = told.at.postgres_micros();
                Some((
                    field.to_owned(),
                    serde_json::json!([told.rank, at, told.value]),
                ))
            })
            .collect();
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }
}

/// `completed`, `failed`, or `failed: ` and the error.
fn outcome(event: &RunObserved) -> Option<String> {
    let outcome = event.outcome?.as_str();
    match (event.outcome, &event.error) {
        (Some(EndStatus::Failed), Some(error)) => Some(format!("{outcome}: {error}")),
        _ => Some(outcome.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_postgres_micros(micros).expect("in range")
    }

    fn told(rank: i32, name: Option<&str>, output: Option<&str>) -> RunObserved {
        RunObserved {
            run_id: Uuid::nil(),
            rank,
            session_id: None,
            agent_id: None,
            agent_type: None,
            name: name.map(str::to_owned),
            input: None,
            output: output.map(str::to_owned),
            metadata: None,
            outcome: None,
            error: None,
        }
    }

    #[test]
    fn whatever_the_order_the_same_is_left() {
        let events = [
            (at(5), told(1, Some("late"), Some("late"))),
            (at(2), told(1, Some("early"), Some("early"))),
            (at(2), told(1, Some("earlx"), None)),
            (at(5), told(1, None, Some("latf"))),
            (at(1), told(2, Some("far"), Some("far"))),
            (at(9), told(2, None, Some("further"))),
        ];
        let want = r#"{"name":[1,2,"earlx"],"output":[1,5,"latf"]}"#;
        for first in 0..events.len() {
            for forwards in [true, false] {
                let mut observed = Observed::default();
                for step in 0..events.len() {
                    let step = if forwards { step } else { events.len() - step };
                    let index = (first + step) % events.len();
                    observed.add(index, events[index].0, &events[index].1);
                }
                assert_eq!(
                    observed.to_json().as_deref(),
                    Some(want),
                    "{first} {forwards}"
                );
                assert_eq!(observed.events.len(), events.len());
            }
        }
    }

    #[test]
    fn who_tells_nothing_leaves_nothing() {
        let event = told(0, None, None);
        let mut observed = Observed::default();
        observed.add(3, at(1), &event);
        assert_eq!((observed.to_json(), observed.events), (None, vec![3]));
    }
}
