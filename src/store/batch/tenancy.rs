//! Restricts tenant events to their customer's sessions and runs.
//!
//! A tenant event may touch sessions and runs of its customer, and new ones, which then
//! belong to that customer. Before a batch is planned, one statement reads the owners of
//! the rows that its tenant events name. Events that name another customer's rows are
//! refused; all other events are planned. This first read takes no locks, so it is
//! repeated after the batch has taken its locks. If an owner has changed, the batch
//! starts again. A batch without tenant events runs no statement here.
//!
//! Within a batch, tenant events claim new ids in their order, and before all events
//! without a tenant. So a new id belongs to the customer whose event names it first.
//! This order is allowed because no client has an answer yet for any event of the batch.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row as _};
use uuid::{NonNilUuid, Uuid};

use super::contested::RowId;
use crate::event::{Event, EventBody, Refusal, RefusalCode};
use crate::store::outcome::EventOutcome;

/// The same reason for every refusal, so that it does not reveal which ids exist.
const REASON: &str = "not a run or session of this key's customer";

fn denied() -> EventOutcome {
    EventOutcome::Refused(Refusal::new(RefusalCode::PermissionDenied, REASON))
}

/// The allowed events of a batch that has tenant events.
#[derive(Debug)]
pub(super) struct TenancyFilter<'a> {
    events: &'a [&'a Event],
    /// Positions of the allowed events in `events`.
    positions: Vec<usize>,
    /// The allowed events.
    allowed: Vec<&'a Event>,
}

/// The ids that a tenant event touches.
#[derive(Debug)]
struct ReferencedIds {
    tenant: Uuid,
    run: Option<Uuid>,
    session: Option<Uuid>,
    /// The parent run. The event does not create it.
    parent: Option<Uuid>,
    /// A message that the event may move from another run of its session.
    message: Option<Uuid>,
}

impl ReferencedIds {
    /// `None` if the event has no tenant, so that it may touch any row.
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

/// The owners of rows. A row that does not exist is absent; a row without an owner has
/// `None`.
#[derive(Debug, Default)]
struct Owners {
    runs: HashMap<Uuid, Option<Uuid>>,
    sessions: HashMap<Uuid, Option<Uuid>>,
    messages: HashMap<Uuid, Option<Uuid>>,
}

impl Owners {
    async fn read<'i>(
        conn: &mut PgConnection,
        referenced: impl Iterator<Item = &'i ReferencedIds>,
    ) -> Result<Self, sqlx::Error> {
        let (mut runs, mut sessions, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        for ids in referenced {
            runs.extend(ids.run);
            runs.extend(ids.parent);
            sessions.extend(ids.session);
            messages.extend(ids.message);
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
            let rows = match row.try_get("kind")? {
                "session" => &mut owners.sessions,
                "message" => &mut owners.messages,
                _ => &mut owners.runs,
            };
            rows.insert(id, owner);
        }
        Ok(owners)
    }

    fn allow(&self, ids: &ReferencedIds) -> bool {
        let new_or_owned = |rows: &HashMap<_, _>, id: Option<Uuid>| {
            let owner = id.and_then(|id| rows.get(&id));
            owner.is_none_or(|owner| *owner == Some(ids.tenant))
        };
        new_or_owned(&self.runs, ids.run)
            && new_or_owned(&self.runs, ids.parent)
            && new_or_owned(&self.sessions, ids.session)
            && new_or_owned(&self.messages, ids.message)
    }

    /// Gives the new run and session that an event names to its customer.
    fn claim(&mut self, ids: &ReferencedIds) {
        for (rows, id) in [(&mut self.runs, ids.run), (&mut self.sessions, ids.session)] {
            if let Some(id) = id {
                rows.entry(id).or_insert(Some(ids.tenant));
            }
        }
    }
}

/// Finds the allowed events of a batch. `None` if the batch has no tenant events.
pub(super) async fn filter<'a>(
    conn: &mut PgConnection,
    events: &'a [&'a Event],
) -> Result<Option<TenancyFilter<'a>>, sqlx::Error> {
    if events.iter().all(|event| event.tenant.is_none()) {
        return Ok(None);
    }
    let referenced: Vec<Option<ReferencedIds>> = events
        .iter()
        .map(|event| ReferencedIds::of(event))
        .collect();
    let mut owners = Owners::read(conn, referenced.iter().flatten()).await?;
    let mut filter = TenancyFilter {
        events,
        positions: Vec::with_capacity(events.len()),
        allowed: Vec::with_capacity(events.len()),
    };
    for (position, (event, ids)) in events.iter().zip(&referenced).enumerate() {
        if let Some(ids) = ids {
            if !owners.allow(ids) {
                continue;
            }
            owners.claim(ids);
        }
        filter.positions.push(position);
        filter.allowed.push(event);
    }
    Ok(Some(filter))
}

impl<'a> TenancyFilter<'a> {
    /// The events to write.
    pub fn allowed(&self) -> &[&'a Event] {
        &self.allowed
    }

    /// The position in the batch of an allowed event.
    pub fn position(&self, allowed: usize) -> usize {
        self.positions.get(allowed).copied().unwrap_or(allowed)
    }

    /// Reads the owners again, now that the batch has its locks. Returns whether all
    /// events are still allowed.
    ///
    /// Messages need no second check: only an event that may touch a message's session
    /// can move the message.
    pub async fn is_still_valid(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let referenced: Vec<ReferencedIds> = self
            .allowed
            .iter()
            .filter_map(|event| ReferencedIds::of(event))
            .map(|ids| ReferencedIds {
                message: None,
                ..ids
            })
            .collect();
        let owners = Owners::read(conn, referenced.iter()).await?;
        Ok(referenced.iter().all(|ids| owners.allow(ids)))
    }

    /// The outcomes of the whole batch, given the outcomes of the allowed events.
    pub async fn outcomes(
        &self,
        conn: &mut PgConnection,
        mut allowed: Vec<EventOutcome>,
    ) -> Result<Vec<EventOutcome>, sqlx::Error> {
        self.hide_conflicts(conn, &mut allowed).await?;
        let mut outcomes = vec![denied(); self.events.len()];
        for (position, outcome) in self.positions.iter().zip(allowed) {
            outcomes[*position] = outcome;
        }
        Ok(outcomes)
    }

    /// Replaces id conflicts with other customers' rows by the refusal that all foreign
    /// rows get, so that a customer cannot learn which ids others use.
    async fn hide_conflicts(
        &self,
        conn: &mut PgConnection,
        outcomes: &mut [EventOutcome],
    ) -> Result<(), sqlx::Error> {
        let conflicts: Vec<(usize, Uuid, NonNilUuid)> = (0_usize..)
            .zip(self.allowed.iter().zip(&*outcomes))
            .filter(|(_, (_, outcome))| is_conflict(outcome))
            .filter_map(|(index, (event, _))| Some((index, RowId::of(event)?.id, event.tenant?)))
            .collect();
        if conflicts.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<(Uuid, Uuid)> = conflicts
            .iter()
            .map(|(_, id, tenant)| (*id, tenant.get()))
            .collect();
        rows.sort_unstable();
        rows.dedup();
        let (ids, tenants): (Vec<Uuid>, Vec<Uuid>) = rows.into_iter().unzip();
        let owned: Vec<(Uuid, Uuid)> = sqlx::query_as(include_str!("../sql/own_rows.sql"))
            .bind(ids)
            .bind(tenants)
            .fetch_all(conn)
            .await?;
        let owned: HashSet<(Uuid, Uuid)> = owned.into_iter().collect();
        for (index, id, tenant) in conflicts {
            if !owned.contains(&(id, tenant.get())) {
                outcomes[index] = denied();
            }
        }
        Ok(())
    }
}

fn is_conflict(outcome: &EventOutcome) -> bool {
    matches!(outcome, EventOutcome::Refused(refusal) if refusal.code == RefusalCode::IdConflict)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);
    const RUN: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);

    fn ids(tenant: Uuid, run: Option<Uuid>, session: Option<Uuid>) -> ReferencedIds {
        ReferencedIds {
            tenant,
            run,
            session,
            parent: None,
            message: None,
        }
    }

    #[test]
    fn a_new_id_belongs_to_the_tenant_that_names_it_first() {
        let mut owners = Owners::default();
        let first = ids(A, Some(RUN), Some(SESSION));
        assert!(owners.allow(&first));
        owners.claim(&first);
        for later in [
            ids(B, Some(RUN), None),
            ids(B, None, Some(SESSION)),
            ids(B, Some(Uuid::from_u128(9)), Some(SESSION)),
        ] {
            assert!(!owners.allow(&later), "{later:?}");
        }
        assert!(owners.allow(&ids(A, Some(RUN), None)));
    }

    #[test]
    fn rows_without_an_owner_are_denied_to_every_tenant() {
        let owners = Owners {
            runs: HashMap::from([(RUN, None)]),
            ..Owners::default()
        };
        assert!(!owners.allow(&ids(A, Some(RUN), None)));
        assert!(
            owners.allow(&ids(A, None, Some(RUN))),
            "the id of a session is not the id of a run"
        );
    }

    #[test]
    fn a_parent_is_checked_and_not_claimed() {
        let mut owners = Owners::default();
        let child = ReferencedIds {
            parent: Some(RUN),
            ..ids(A, Some(SESSION), None)
        };
        assert!(owners.allow(&child));
        owners.claim(&child);
        assert!(owners.allow(&ids(B, Some(RUN), None)));
        owners.runs.insert(RUN, Some(B));
        assert!(!owners.allow(&child));
    }
}
