//! Collects what the spans of one request tell about their runs and sessions.
//!
//! So a request makes a few such events per run, instead of a few per span.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::origin::OriginMetadata;
use crate::event::{EndStatus, Event, EventBody, Json, RunObserved, SessionUpsert, Timestamp};

/// The rank of a source for a field of a run. The lowest number wins.
pub mod rank {
    /// Stated by the span that the field is about.
    pub const DIRECT: i32 = 0;
    /// Stated by an agent within the run, or by a name that is possibly an agent's.
    pub const AGENT: i32 = 1;
    /// Stated by a model call.
    pub const CALL: i32 = 2;
    /// Stated by any other step.
    pub const STEP: i32 = 3;
    /// Taken from the name of a workflow.
    pub const WORKFLOW: i32 = 5;
    /// Raw input or output that is not meant for people.
    pub const RAW: i32 = 7;
    /// Taken from the name of the service.
    pub const SERVICE: i32 = 9;
}

/// The value of one field of a run.
#[derive(Clone, Debug)]
pub enum RunFact {
    /// `session_id`.
    Session(Uuid),
    /// `agent_id`.
    Agent(String),
    /// `agent_type`.
    AgentType(String),
    /// `name`.
    Name(String),
    /// `input`.
    Input(String),
    /// `output`.
    Output(String),
    /// `metadata`: resource and scope, one per service.
    Metadata(OriginMetadata),
    /// How an agent ended, and its error.
    Outcome(EndStatus, Option<String>),
    /// `customer`.
    Customer(String),
    /// `metadata.user`.
    User(String),
    /// `metadata.tags`.
    Tags(Json),
}

/// The fields of a run that spans tell; see [`RunFact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum RunField {
    Session,
    Agent,
    AgentType,
    Name,
    Input,
    Output,
    Metadata(u64),
    Outcome,
    Customer,
    User,
    Tags,
}

impl RunField {
    /// Whether the latest value wins instead of the earliest.
    fn prefers_latest(self) -> bool {
        matches!(self, Self::Output | Self::Outcome)
    }
}

impl RunFact {
    fn field(&self) -> RunField {
        match self {
            Self::Session(_) => RunField::Session,
            Self::Agent(_) => RunField::Agent,
            Self::AgentType(_) => RunField::AgentType,
            Self::Name(_) => RunField::Name,
            Self::Input(_) => RunField::Input,
            Self::Output(_) => RunField::Output,
            Self::Metadata(of) => RunField::Metadata(of.service_key),
            Self::Outcome(..) => RunField::Outcome,
            Self::Customer(_) => RunField::Customer,
            Self::User(_) => RunField::User,
            Self::Tags(_) => RunField::Tags,
        }
    }

    /// The order of facts of equal rank and time: the smallest wins, or the greatest if the
    /// latest value wins. The store uses the same rule.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Metadata(one), Self::Metadata(other)) => one.order.cmp(&other.order),
            _ => self.tie_break().cmp(&other.tie_break()),
        }
    }

    /// The text that decides, and the error of an outcome. Nothing is copied: many spans may
    /// tie with one long text.
    fn tie_break(&self) -> (Cow<'_, str>, &str) {
        match self {
            Self::Session(id) => (id.to_string().into(), ""),
            Self::Agent(text)
            | Self::AgentType(text)
            | Self::Name(text)
            | Self::Input(text)
            | Self::Output(text)
            | Self::Customer(text)
            | Self::User(text) => (text.into(), ""),
            Self::Metadata(of) => (of.json.as_str().into(), ""),
            Self::Tags(json) => (json.as_str().into(), ""),
            Self::Outcome(status, error) => {
                (status.as_str().into(), error.as_deref().unwrap_or_default())
            }
        }
    }
}

/// The best fact so far for one field of a run.
struct BestFact {
    rank: i32,
    time: Timestamp,
    fact: RunFact,
    position: u32,
}

/// The observations of one session for one user and customer. All of them have the same content.
struct ObservedSession {
    earliest: (Timestamp, u32),
    latest: (Timestamp, u32),
    upsert: SessionUpsert,
}

/// The user and the customer of a session, as a span names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct SessionParties {
    pub user: Option<String>,
    pub customer: Option<String>,
}

/// The observations of the runs and sessions of one request.
#[derive(Default)]
pub struct Observations {
    fields: BTreeMap<(Uuid, RunField), BestFact>,
    sessions: BTreeMap<(Uuid, SessionParties), ObservedSession>,
}

impl Observations {
    /// Whether a fact of this rank and time would win. Callers ask first, to
    /// avoid making texts that lose.
    pub fn is_better(&self, run: Uuid, field: RunField, rank: i32, time: Timestamp) -> bool {
        self.fields.get(&(run, field)).is_none_or(|best| {
            rank < best.rank
                || rank == best.rank
                    && if field.prefers_latest() {
                        time >= best.time
                    } else {
                        time <= best.time
                    }
        })
    }

    /// Adds one fact about a run. The lowest rank wins; within a rank, the latest
    /// fact wins for `output` and the outcome, and the earliest for other fields.
    pub fn add(&mut self, run: Uuid, position: u32, rank: i32, time: Timestamp, fact: RunFact) {
        let field = fact.field();
        if !self.is_better(run, field, rank, time) {
            return;
        }
        let key = (run, field);
        if let Some(best) = self.fields.get(&key)
            && (best.rank, best.time) == (rank, time)
        {
            let order = fact.compare(&best.fact);
            let wins = if field.prefers_latest() {
                order.is_gt()
            } else {
                order.is_lt()
            };
            if !wins {
                return;
            }
        }
        let best = BestFact {
            rank,
            time,
            fact,
            position,
        };
        self.fields.insert(key, best);
    }

    /// Adds what a span tells about its session. The event of each user and customer has the
    /// latest time; one more event has the earliest, which is the session's start.
    pub fn add_session(
        &mut self,
        position: u32,
        time: Timestamp,
        parties: SessionParties,
        session_id: Uuid,
        upsert: impl FnOnce() -> SessionUpsert,
    ) {
        let seen = (time, position);
        let entry = self.sessions.entry((session_id, parties));
        let observed = entry.or_insert_with(|| ObservedSession {
            earliest: seen,
            latest: seen,
            upsert: upsert(),
        });
        if time < observed.earliest.0 {
            observed.earliest = seen;
        }
        if time > observed.latest.0 {
            observed.latest = seen;
        }
    }

    /// The events. Facts of the same run, rank and time share one event. Long texts that many
    /// runs share are copied only as each event is taken.
    pub fn into_events(self) -> impl Iterator<Item = (u32, Event)> {
        let mut runs: BTreeMap<(Uuid, i32, Timestamp, u64), PositionedRun> = BTreeMap::new();
        for ((run_id, field), best) in self.fields {
            let shared = (run_id, best.rank, best.time, 0);
            let has_metadata = |run: &PositionedRun| run.metadata.is_some();
            let key = match field {
                RunField::Metadata(service) if runs.get(&shared).is_some_and(has_metadata) => {
                    (run_id, best.rank, best.time, service)
                }
                _ => shared,
            };
            let entry = runs.entry(key);
            let run = entry.or_insert_with(|| PositionedRun {
                position: best.position,
                event: empty_event(run_id, best.rank),
                metadata: None,
            });
            let event = &mut run.event;
            match best.fact {
                RunFact::Session(id) => event.session_id = Some(id),
                RunFact::Agent(text) => event.agent_id = Some(text),
                RunFact::AgentType(text) => event.agent_type = Some(text),
                RunFact::Name(text) => event.name = Some(text),
                RunFact::Input(text) => event.input = Some(text),
                RunFact::Output(text) => event.output = Some(text),
                RunFact::Metadata(of) => run.metadata = Some(of.json),
                RunFact::Outcome(status, error) => {
                    event.outcome = Some(status);
                    event.error = error;
                }
                RunFact::Customer(text) => event.customer = Some(text),
                RunFact::User(text) => event.user = Some(text),
                RunFact::Tags(json) => event.tags = Some(json),
            }
        }
        let sessions = self.sessions.into_values().flat_map(|observed| {
            let first = (observed.earliest.0 != observed.latest.0).then_some(observed.earliest);
            let times = first.into_iter().chain([observed.latest]);
            times.map(move |(time, position)| {
                let body = EventBody::SessionUpsert(observed.upsert.clone());
                (position, Event::new(time, body))
            })
        });
        let runs = runs.into_iter().map(|((_, _, time, _), mut run)| {
            run.event.metadata = run.metadata.map(Arc::unwrap_or_clone);
            let body = EventBody::RunObserved(run.event);
            (run.position, Event::new(time, body))
        });
        sessions.chain(runs)
    }
}

/// An event that is being made.
struct PositionedRun {
    position: u32,
    event: RunObserved,
    metadata: Option<Arc<Json>>,
}

fn empty_event(run_id: Uuid, rank: i32) -> RunObserved {
    RunObserved {
        run_id,
        rank,
        session_id: None,
        agent_id: None,
        agent_type: None,
        name: None,
        input: None,
        output: None,
        metadata: None,
        outcome: None,
        error: None,
        customer: None,
        user: None,
        tags: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Repairs;

    #[test]
    fn the_order_of_origins_decides_between_their_metadata() {
        // Opposite to the order of the texts: the texts are not compared.
        let origin = |text: &str, order| OriginMetadata {
            service_key: 1,
            order,
            json: Arc::new(Json::new(format!("\"{text}\""), &mut Repairs::default()).unwrap()),
        };
        let (one, other) = (origin("a", 2), origin("b", 1));
        for facts in [[&one, &other], [&other, &one]] {
            let mut observed = Observations::default();
            for (position, fact) in (0..).zip(facts) {
                let fact = RunFact::Metadata(fact.clone());
                let time = Timestamp::from_postgres_micros(5).unwrap();
                observed.add(Uuid::from_u128(1), position, rank::DIRECT, time, fact);
            }
            let (_, event) = observed.into_events().next().unwrap();
            let EventBody::RunObserved(event) = event.body else {
                panic!("{event:?}");
            };
            assert_eq!(event.metadata.unwrap().as_str(), "\"b\"");
        }
    }
}
