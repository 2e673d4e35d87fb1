//! Reduces several observations of one run to the winning value of each field.

use std::borrow::Cow;

use crate::event::{EndStatus, Json, RunObserved, Timestamp};

/// The observed fields, named as in `merge_observed`, `insert_runs.sql` and
/// `patch_runs.sql`.
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
/// Fields whose latest value wins. For all others the earliest wins.
const LATEST_WINS: [&str; 2] = ["output", "outcome"];

/// A value of a field, with its rank (the least wins) and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RankedValue<'a> {
    rank: i32,
    at: Timestamp,
    value: Cow<'a, str>,
}

impl RankedValue<'_> {
    /// Whether this value wins over another one of the same field. The function
    /// `merge_observed` in the migrations has the same rule.
    fn wins_over(&self, other: &Self, field: &str) -> bool {
        let latest = (other.at, &other.value).cmp(&(self.at, &self.value));
        let order = if LATEST_WINS.contains(&field) {
            latest
        } else {
            latest.reverse()
        };
        self.rank.cmp(&other.rank).then(order).is_lt()
    }
}

/// The observations of one run in a batch, reduced to one value per field.
#[derive(Debug, Default)]
pub struct ObservedFields<'a> {
    values: [Option<RankedValue<'a>>; FIELDS.len()],
    /// Positions of the observations in the batch.
    pub events: Vec<usize>,
}

impl<'a> ObservedFields<'a> {
    /// Adds an observation.
    pub fn add(&mut self, index: usize, at: Timestamp, event: &'a RunObserved) {
        self.events.push(index);
        let observed = [
            event.session_id.map(|id| Cow::Owned(id.to_string())),
            event.agent_id.as_deref().map(Cow::Borrowed),
            event.agent_type.as_deref().map(Cow::Borrowed),
            event.name.as_deref().map(Cow::Borrowed),
            event.input.as_deref().map(Cow::Borrowed),
            event.metadata.as_ref().map(Json::as_str).map(Cow::Borrowed),
            event.output.as_deref().map(Cow::Borrowed),
            outcome(event).map(Cow::Owned),
        ];
        for ((field, winner), value) in FIELDS.into_iter().zip(&mut self.values).zip(observed) {
            let Some(value) = value else { continue };
            let rank = event.rank;
            let new = RankedValue { rank, at, value };
            if winner.as_ref().is_none_or(|old| new.wins_over(old, field)) {
                *winner = Some(new);
            }
        }
    }

    /// The JSON of `agent_runs.observed`: per field its rank, its time in microseconds
    /// since 2000, and its value. `None` if no field has a value.
    #[must_use]
    pub fn to_json(&self) -> Option<String> {
        let fields = FIELDS.into_iter().zip(&self.values);
        let object: serde_json::Map<_, _> = fields
            .filter_map(|(field, winner)| {
                let winner = winner.as_ref()?;
                let at = winner.at.postgres_micros();
                Some((
                    field.to_owned(),
                    serde_json::json!([winner.rank, at, winner.value]),
                ))
            })
            .collect();
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }
}

/// `completed`, `failed`, or `failed: ` followed by the error.
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

    fn observation(rank: i32, name: Option<&str>, output: Option<&str>) -> RunObserved {
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
    fn the_result_does_not_depend_on_the_order() {
        let events = [
            (at(5), observation(1, Some("late"), Some("late"))),
            (at(2), observation(1, Some("early"), Some("early"))),
            (at(2), observation(1, Some("earlx"), None)),
            (at(5), observation(1, None, Some("latf"))),
            (at(1), observation(2, Some("far"), Some("far"))),
            (at(9), observation(2, None, Some("further"))),
        ];
        let want = r#"{"name":[1,2,"earlx"],"output":[1,5,"latf"]}"#;
        for first in 0..events.len() {
            for forwards in [true, false] {
                let mut observed = ObservedFields::default();
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
    fn an_empty_observation_gives_no_json() {
        let event = observation(0, None, None);
        let mut observed = ObservedFields::default();
        observed.add(3, at(1), &event);
        assert_eq!((observed.to_json(), observed.events), (None, vec![3]));
    }
}
