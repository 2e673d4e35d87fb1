//! What events of a bound key may touch: the sessions and runs of its customer,
//! and those that are not there yet, which become that customer's.
//!
//! Before a batch is planned it is read whose the rows are that its bound events
//! name; those that name another's are refused, the others are planned with the
//! rest. That took no lock, so it is read once more when the batch has its locks,
//! and whoever missed somebody starts anew. A batch without a bound event costs no
//! statement here.
//!
//! Of events that wait in one batch none came first for its client, so the bound
//! ones are judged before the others, in their order: an id that is new in the
//! batch is the customer's whose event names it first.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};
use uuid::{NonNilUuid, Uuid};

use crate::event::{Event, EventBody, Refusal, RefusalCode};
use crate::store::outcome::EventOutcome;

/// One reason for all, so that nobody learns what is there.
const REASON: &str = "not a run or session of this key's customer";

fn denied() -> EventOutcome {
    EventOutcome::Refused(Refusal::new(RefusalCode::PermissionDenied, REASON))
}

/// A batch with bound events in it.
#[derive(Debug)]
pub(super) struct TenancyFilter<'a> {
    events: &'a [&'a Event],
    /// Positions of the events that are to be written.
    positions: Vec<usize>,
    /// These events.
    allowed: Vec<&'a Event>,
}

/// What a bound event touches.
#[derive(Debug)]
struct ReferencedIds {
    tenant: Uuid,
    run: Option<Uuid>,
    session: Option<Uuid>,
    /// Named, and not made where it is not there.
    parent: Option<Uuid>,
    /// A message that it may take from another run of its session.
    message: Option<Uuid>,
}

impl ReferencedIds {
    /// `None` for events that may touch anything.
    fn of(event: &Event) -> Option<Self> {
        let tenant = event.tenant?.get();
        let session = event.session_id();
        let (parent, message) = match &event.body {
            EventBody::RunStarted(e) => (e.parent_run_id, None),
            EventBody::Message(e) => (None, session.map(|_| e.message_id)),
            _ => (None, None),
        };
        Some(Self {
            tenant,
            run: event.run_id(),
            session,
            parent,
            message,
        })
    }
}

/// Whose rows are: absent where there is none, `None` where it is nobody's.
#[derive(Debug, Default)]
struct Owners {
    runs: HashMap<Uuid, Option<Uuid>>,
    sessions: HashMap<Uuid, Option<Uuid>>,
    messages: HashMap<Uuid, Option<Uuid>>,
}

impl Owners {
    async fn read<'n>(
        conn: &mut PgConnection,
        names: impl Iterator<Item = &'n ReferencedIds>,
    ) -> Result<Self, sqlx::Error> {
        let (mut runs, mut sessions, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        for names in names {
            runs.extend(names.run);
            runs.extend(names.parent);
            sessions.extend(names.session);
            messages.extend(names.message);
        }
        for ids in [&mut runs, &mut sessions, &mut messages] {
            ids.sort_unstable();
            ids.dedup();
        }
        let rows = sqlx::query(include_str!("../sql/owners.sql"))
            .bind(runs)
            .bind(sessions)
            .bind(messages)
            .fetch_all(conn)
            .await?;
        let mut owners = Self::default();
        for row in &rows {
            let (id, owner) = (row.try_get("id")?, row.try_get("owner")?);
            let of = match row.try_get("kind")? {
                "session" => &mut owners.sessions,
                "message" => &mut owners.messages,
                "alias" => {
                    // All aliases of such a run came with one key's events.
                    owners.runs.entry(id).or_insert(owner);
                    continue;
                }
                _ => &mut owners.runs,
            };
            of.insert(id, owner);
        }
        Ok(owners)
    }

    fn allow(&self, names: &ReferencedIds) -> bool {
        let own = |rows: &HashMap<_, _>, id: Option<Uuid>| {
            let owner = id.and_then(|id| rows.get(&id));
            owner.is_none_or(|owner| *owner == Some(names.tenant))
        };
        own(&self.runs, names.run)
            && own(&self.runs, names.parent)
            && own(&self.sessions, names.session)
            && own(&self.messages, names.message)
    }

    /// What an event names that was not there is its customer's from now on.
    fn claim(&mut self, names: &ReferencedIds) {
        for (rows, id) in [
            (&mut self.runs, names.run),
            (&mut self.sessions, names.session),
        ] {
            if let Some(id) = id {
                rows.entry(id).or_insert(Some(names.tenant));
            }
        }
    }
}

/// Sorts out what bound events may not touch; `None`: the batch has none.
pub(super) async fn filter<'a>(
    conn: &mut PgConnection,
    events: &'a [&'a Event],
) -> Result<Option<TenancyFilter<'a>>, sqlx::Error> {
    if events.iter().all(|event| event.tenant.is_none()) {
        return Ok(None);
    }
    let names: Vec<Option<ReferencedIds>> = events
        .iter()
        .map(|event| ReferencedIds::of(event))
        .collect();
    let mut owners = Owners::read(conn, names.iter().flatten()).await?;
    let mut filter = TenancyFilter {
        events,
        positions: Vec::with_capacity(events.len()),
        allowed: Vec::with_capacity(events.len()),
    };
    for (position, (event, names)) in events.iter().zip(&names).enumerate() {
        if let Some(names) = names {
            if !owners.allow(names) {
                continue;
            }
            owners.claim(names);
        }
        filter.positions.push(position);
        filter.allowed.push(event);
    }
    Ok(Some(filter))
}

impl<'a> TenancyFilter<'a> {
    /// The events that are to be written.
    pub fn allowed(&self) -> &[&'a Event] {
        &self.allowed
    }

    /// Whether all of them still may, now that the batch has its locks. Whose a
    /// message is needs no second look: only who may touch its session moves it.
    pub async fn still_holds(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let names: Vec<ReferencedIds> = self
            .allowed
            .iter()
            .filter_map(|event| ReferencedIds::of(event))
            .map(|names| ReferencedIds {
                message: None,
                ..names
            })
            .collect();
        let owners = Owners::read(conn, names.iter()).await?;
        Ok(names.iter().all(|names| owners.allow(names)))
    }

    /// The outcomes of the whole batch, given those of the events that were written.
    pub async fn outcomes(
        &self,
        conn: &mut PgConnection,
        mut written: Vec<EventOutcome>,
    ) -> Result<Vec<EventOutcome>, sqlx::Error> {
        self.hide_conflicts(conn, &mut written).await?;
        let mut outcomes = vec![denied(); self.events.len()];
        for (position, outcome) in self.positions.iter().zip(written) {
            outcomes[*position] = outcome;
        }
        Ok(outcomes)
    }

    /// That an id is taken by a row of another customer is not told.
    async fn hide_conflicts(
        &self,
        conn: &mut PgConnection,
        outcomes: &mut [EventOutcome],
    ) -> Result<(), sqlx::Error> {
        let conflicts: Vec<(usize, Uuid, NonNilUuid)> = (0_usize..)
            .zip(self.allowed.iter().zip(&*outcomes))
            .filter(|(_, (_, outcome))| is_conflict(outcome))
            .filter_map(|(at, (event, _))| Some((at, row_id(event)?, event.tenant?)))
            .collect();
        if conflicts.is_empty() {
            return Ok(());
        }
        let (ids, tenants): (Vec<Uuid>, Vec<Uuid>) = conflicts
            .iter()
            .map(|(_, id, tenant)| (*id, tenant.get()))
            .unzip();
        let own: Vec<(Uuid, Uuid)> = sqlx::query_as(include_str!("../sql/own_rows.sql"))
            .bind(ids)
            .bind(tenants)
            .fetch_all(conn)
            .await?;
        for (at, id, tenant) in conflicts {
            if !own.contains(&(id, tenant.get())) {
                outcomes[at] = denied();
            }
        }
        Ok(())
    }
}

fn is_conflict(outcome: &EventOutcome) -> bool {
    matches!(outcome, EventOutcome::Refused(refusal) if refusal.code == RefusalCode::IdConflict)
}

/// The row that an event makes under an id of its own.
fn row_id(event: &Event) -> Option<Uuid> {
    match &event.body {
        EventBody::StepStarted(e) => Some(e.step_id),
        EventBody::StepEnded(e) => Some(e.step_id),
        EventBody::Message(e) => Some(e.message_id),
        EventBody::TokenCount(e) => Some(e.token_count_id),
        EventBody::ApprovalRequested(e) => Some(e.approval_id),
        EventBody::ApprovalDecided(e) => Some(e.approval_id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);
    const RUN: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);

    fn names(tenant: Uuid, run: Option<Uuid>, session: Option<Uuid>) -> ReferencedIds {
        ReferencedIds {
            tenant,
            run,
            session,
            parent: None,
            message: None,
        }
    }

    #[test]
    fn what_is_not_there_is_whose_event_names_it_first() {
        let mut owners = Owners::default();
        let first = names(A, Some(RUN), Some(SESSION));
        assert!(owners.allow(&first));
        owners.claim(&first);
        for later in [
            names(B, Some(RUN), None),
            names(B, None, Some(SESSION)),
            names(B, Some(Uuid::from_u128(9)), Some(SESSION)),
        ] {
            assert!(!owners.allow(&later), "{later:?}");
        }
        assert!(owners.allow(&names(A, Some(RUN), None)));
    }

    #[test]
    fn nobodys_rows_are_nobodys() {
        let owners = Owners {
            runs: HashMap::from([(RUN, None)]),
            ..Owners::default()
        };
        assert!(!owners.allow(&names(A, Some(RUN), None)));
        assert!(owners.allow(&names(A, None, Some(RUN))), "a session's id");
    }

    #[test]
    fn a_parent_is_looked_at_and_not_claimed() {
        let mut owners = Owners::default();
        let child = ReferencedIds {
            parent: Some(RUN),
            ..names(A, Some(SESSION), None)
        };
        assert!(owners.allow(&child));
        owners.claim(&child);
        assert!(owners.allow(&names(B, Some(RUN), None)));
        owners.runs.insert(RUN, Some(B));
        assert!(!owners.allow(&child));
    }
}
