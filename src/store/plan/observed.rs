//! Reduces several observations of one run to the winning value of each field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::service::service_of;
use crate::event::{EndStatus, Json, RunObserved, Timestamp};

/// The observed fields, named as in `merge_observed`, `insert_runs.sql` and
/// `patch_runs.sql`.
const FIELDS: [&str; 11] = [
    "session_id",
    "agent_id",
    "agent_type",
    "name",
    "input",
    "metadata",
    "output",
    "outcome",
    "customer",
    "user",
    "tags",
];
/// The field that is kept once per service.
const METADATA: &str = "metadata";
/// The most services of a run, the first by name. The function `merge_services` in the migrations
/// has the same limits.
const MAX_SERVICES: usize = 32;
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
    /// The best metadata of each service, if the batch has more than one metadata.
    services: BTreeMap<String, RankedValue<'a>>,
    /// The batch has more than one metadata.
    several_metadata: bool,
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
            event.customer.as_deref().map(Cow::Borrowed),
            event.user.as_deref().map(Cow::Borrowed),
            event.tags.as_ref().map(Json::as_str).map(Cow::Borrowed),
        ];
        for ((field, winner), value) in FIELDS.into_iter().zip(&mut self.values).zip(observed) {
            let Some(value) = value else { continue };
            let rank = event.rank;
            let new = RankedValue { rank, at, value };
            if field == METADATA {
                // Each metadata is parsed at most once: it may be long, and there may be many.
                if let Some(old) = winner.as_ref().filter(|old| old.value != new.value)
                    && !self.several_metadata
                {
                    self.several_metadata = true;
                    add_service(&mut self.services, old);
                }
                if self.several_metadata {
                    add_service(&mut self.services, &new);
                }
            }
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
        let mut object: serde_json::Map<_, _> = fields
            .filter_map(|(field, winner)| {
                let winner = winner.as_ref()?;
                let at = winner.at.postgres_micros();
                Some((
                    field.to_owned(),
                    serde_json::json!([winner.rank, at, winner.value]),
                ))
            })
            .collect();
        if let Some(services) = self.all_services() {
            object.insert("services".into(), services);
        }
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }

    /// The metadata of each service, if there is another one than the one that the run's own
    /// metadata describes.
    fn all_services(&self) -> Option<serde_json::Value> {
        if self.services.is_empty() {
            return None;
        }
        let mut fields = FIELDS.iter().zip(&self.values);
        let metadata = fields.find(|(field, _)| **field == METADATA);
        let shown = metadata.and_then(|(_, value)| service_of(&value.as_ref()?.value));
        let first = || self.services.iter().take(MAX_SERVICES);
        if !first().any(|(service, _)| shown.as_ref() != Some(service)) {
            return None;
        }
        let ranked = |value: &RankedValue<'_>| {
            serde_json::json!([value.rank, value.at.postgres_micros(), value.value])
        };
        let services = first().map(|(service, value)| (service.clone(), ranked(value)));
        Some(serde_json::Value::Object(services.collect()))
    }
}

/// Keeps the best metadata of a service, as `merge_observed` does.
fn add_service<'a>(services: &mut BTreeMap<String, RankedValue<'a>>, new: &RankedValue<'a>) {
    let Some(service) = service_of(&new.value) else {
        return;
    };
    match services.get_mut(&service) {
        Some(old) if new.wins_over(old, METADATA) => *old = new.clone(),
        Some(_) => {}
        None => _ = services.insert(service, new.clone()),
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
            customer: None,
            user: None,
            tags: None,
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
    fn the_metadata_of_each_service_are_kept() {
        let metadata = |service: &str, scope: &str| {
            format!(r#"{{"resource":{{"service.name":"{service}"}},"scope":"{scope}"}}"#)
        };
        let events = [
            (at(5), metadata("b", "x")),
            (at(2), metadata("a", "y")),
            (at(2), metadata("a", "x")),
            (at(3), metadata("b", "y")),
            (at(1), metadata("c", "x")),
        ];
        let observations = events.map(|(at, metadata)| {
            let json = Json::new(metadata, &mut crate::event::Repairs::default()).expect("JSON");
            let event = RunObserved {
                metadata: Some(json),
                ..observation(0, None, None)
            };
            (at, event)
        });
        let want = serde_json::json!({
            "metadata": [0, 1, metadata("c", "x")],
            "services": {
                "a": [0, 2, metadata("a", "x")],
                "b": [0, 3, metadata("b", "y")],
                "c": [0, 1, metadata("c", "x")],
            },
        });
        for first in 0..observations.len() {
            let mut observed = ObservedFields::default();
            for step in 0..observations.len() {
                let index = (first + step) % observations.len();
                observed.add(index, observations[index].0, &observations[index].1);
            }
            let json: serde_json::Value =
                serde_json::from_str(&observed.to_json().expect("fields")).expect("JSON");
            assert_eq!(json, want, "{first}");
        }
    }

    #[test]
    fn the_metadata_of_many_observations_are_parsed_once() {
        // The first one stays the winner. Parsed for each of the others, it takes minutes.
        let members: Vec<String> = (0..8_000).map(|n| format!("\"{n}\":0")).collect();
        let metadata = |text: String| {
            let json = Json::new(text, &mut crate::event::Repairs::default()).expect("JSON");
            RunObserved {
                metadata: Some(json),
                ..observation(0, None, None)
            }
        };
        let mut events = vec![metadata(format!("{{{}}}", members.join(",")))];
        events.extend((0..32_767).map(|n| metadata(format!("{{\"a\":{n}}}"))));
        let started = std::time::Instant::now();
        let mut observed = ObservedFields::default();
        for (index, event) in events.iter().enumerate() {
            observed.add(index, at(index as i64), event);
        }
        assert!(observed.to_json().is_some());
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }

    #[test]
    fn the_database_keeps_as_many_services() {
        let merge = include_str!("../../../migrations/0029_metadata_of_services.up.sql");
        assert!(merge.contains(&format!("LIMIT {MAX_SERVICES}\n")));
    }

    #[test]
    fn an_empty_observation_gives_no_json() {
        let event = observation(0, None, None);
        let mut observed = ObservedFields::default();
        observed.add(3, at(1), &event);
        assert_eq!((observed.to_json(), observed.events), (None, vec![3]));
    }
}
