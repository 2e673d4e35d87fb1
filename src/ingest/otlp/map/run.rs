//! What the spans of one request tell of their runs and sessions, put together
//! so that a request makes a few events a run rather than a few a span.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::event::{EndStatus, Event, EventBody, Json, RunObserved, SessionUpsert, Timestamp};

/// How good a source is for a field of a run: the least number stands.
pub mod rank {
    /// Said outright, by the span that it is about.
    pub const OUTRIGHT: i32 = 0;
    /// By an agent within, or by a name that only may be an agent's.
    pub const AGENT: i32 = 1;
    /// By a call of a model.
    pub const CALL: i32 = 2;
    /// By any other step.
    pub const STEP: i32 = 3;
    /// By a workflow's name.
    pub const WORKFLOW: i32 = 5;
    /// In a form that is not made for people.
    pub const RAW: i32 = 7;
    /// By the service's name.
    pub const SERVICE: i32 = 9;
}

/// One field's value.
#[derive(Clone, Debug)]
pub enum Said {
    /// The session.
    Session(Uuid),
    /// `agent_id`.
    Agent(String),
    /// `agent_type`.
    AgentType(String),
    /// `name`.
    Name(String),
    /// What was asked.
    Input(String),
    /// What was answered.
    Output(String),
    /// Resource and scope.
    Metadata(Json),
    /// How an agent ended, and what went wrong.
    Outcome(EndStatus, Option<String>),
}

/// The fields that spans tell of; see [`Said`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Field {
    Session,
    Agent,
    AgentType,
    Name,
    Input,
    Output,
    Metadata,
    Outcome,
}

impl Field {
    /// Whether the latest stands, and not the earliest.
    fn latest(self) -> bool {
        matches!(self, Self::Output | Self::Outcome)
    }
}

impl Said {
    fn field(&self) -> Field {
        match self {
            Self::Session(_) => Field::Session,
            Self::Agent(_) => Field::Agent,
            Self::AgentType(_) => Field::AgentType,
            Self::Name(_) => Field::Name,
            Self::Input(_) => Field::Input,
            Self::Output(_) => Field::Output,
            Self::Metadata(_) => Field::Metadata,
            Self::Outcome(..) => Field::Outcome,
        }
    }

    /// Of what is equal in rank and time the least text stands, the greatest
    /// where the latest does; the store decides the same way.
    fn text(&self) -> String {
        match self {
            Self::Session(id) => id.to_string(),
            Self::Agent(text)
            | Self::AgentType(text)
            | Self::Name(text)
            | Self::Input(text)
            | Self::Output(text) => text.clone(),
            Self::Metadata(json) => json.as_str().to_owned(),
            Self::Outcome(status, error) => {
                format!(
                    "{}: {}",
                    status.as_str(),
                    error.as_deref().unwrap_or_default()
                )
            }
        }
    }
}

struct Held {
    rank: i32,
    time: Timestamp,
    said: Said,
    position: u32,
}

/// One session as one user of it tells it, each time in the same words.
struct SessionHeld {
    earliest: (Timestamp, u32),
    latest: (Timestamp, u32),
    upsert: SessionUpsert,
}

/// What is known of runs and sessions from one request.
#[derive(Default)]
pub struct Observations {
    fields: BTreeMap<(Uuid, Field), Held>,
    sessions: BTreeMap<(Uuid, Option<String>), SessionHeld>,
}

impl Observations {
    /// Whether something of this field, from this rank and time, would stand:
    /// spares the making of texts that would not.
    pub fn wants(&self, run: Uuid, field: Field, rank: i32, time: Timestamp) -> bool {
        self.fields.get(&(run, field)).is_none_or(|held| {
            rank < held.rank
                || rank == held.rank
                    && if field.latest() {
                        time >= held.time
                    } else {
                        time <= held.time
                    }
        })
    }

    /// A field of a run, as one span tells it. `output` is the latest of the
    /// best, everything else the earliest.
    pub fn add(&mut self, run: Uuid, position: u32, rank: i32, time: Timestamp, said: Said) {
        let field = said.field();
        if !self.wants(run, field, rank, time) {
            return;
        }
        let key = (run, field);
        if let Some(held) = self.fields.get(&key)
            && (held.rank, held.time) == (rank, time)
        {
            let (new, old) = (said.text(), held.said.text());
            let stands = if field.latest() { new > old } else { new < old };
            if !stands {
                return;
            }
        }
        let held = Held {
            rank,
            time,
            said,
            position,
        };
        self.fields.insert(key, held);
    }

    /// What a span tells of its session. The latest time stands for each user;
    /// the earliest is when the session began.
    pub fn session(
        &mut self,
        position: u32,
        time: Timestamp,
        user: Option<String>,
        session_id: Uuid,
        upsert: impl FnOnce() -> SessionUpsert,
    ) {
        let told = (time, position);
        let place = self.sessions.entry((session_id, user));
        let held = place.or_insert_with(|| SessionHeld {
            earliest: told,
            latest: told,
            upsert: upsert(),
        });
        if time < held.earliest.0 {
            held.earliest = told;
        }
        if time > held.latest.0 {
            held.latest = told;
        }
    }

    /// The events, those of one rank and time in one.
    pub fn into_events(self) -> impl Iterator<Item = (u32, Event)> {
        let mut runs: BTreeMap<(Uuid, i32, Timestamp), (u32, RunObserved)> = BTreeMap::new();
        for ((run_id, _), held) in self.fields {
            let place = runs.entry((run_id, held.rank, held.time));
            let (_, event) = place.or_insert_with(|| (held.position, empty(run_id, held.rank)));
            match held.said {
                Said::Session(id) => event.session_id = Some(id),
                Said::Agent(text) => event.agent_id = Some(text),
                Said::AgentType(text) => event.agent_type = Some(text),
                Said::Name(text) => event.name = Some(text),
                Said::Input(text) => event.input = Some(text),
                Said::Output(text) => event.output = Some(text),
                Said::Metadata(json) => event.metadata = Some(json),
                Said::Outcome(status, error) => {
                    event.outcome = Some(status);
                    event.error = error;
                }
            }
        }
        let sessions = self.sessions.into_values().flat_map(|held| {
            let first = (held.earliest.0 != held.latest.0).then_some(held.earliest);
            let times = first.into_iter().chain([held.latest]);
            times.map(move |(time, position)| {
                let body = EventBody::SessionUpsert(held.upsert.clone());
                (position, Event::new(time, body))
            })
        });
        let runs = runs.into_iter().map(|((_, _, time), (position, event))| {
            let body = EventBody::RunObserved(event);
            (position, Event::new(time, body))
        });
        sessions.chain(runs)
    }
}

fn empty(run_id: Uuid, rank: i32) -> RunObserved {
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
    }
}
