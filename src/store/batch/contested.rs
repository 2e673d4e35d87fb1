//! Events that bring one id for several runs or sessions.
//!
//! Only one of them can own the row: the one that owns it already, otherwise the first
//! one of the batch. The plan writes the events of the first one. If the row turns out to
//! belong to another one, the events of that one are written here. All others are
//! refused.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::error::BatchError;
use super::state::BatchWriter;
use crate::event::{Event, EventBody};
use crate::store::plan::{Plan, Rung};

/// The tables with rows below a run or session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RowKind {
    Step,
    Message,
    TokenCount,
    Approval,
    Score,
}

impl RowKind {
    const ALL: [Self; 5] = [
        Self::Step,
        Self::Message,
        Self::TokenCount,
        Self::Approval,
        Self::Score,
    ];

    /// The name of the field that holds the id.
    const fn id_field(self) -> &'static str {
        match self {
            Self::Step => "step_id",
            Self::Message => "message_id",
            Self::TokenCount => "token_count_id",
            Self::Approval => "approval_id",
            Self::Score => "score_id",
        }
    }
}

/// The row that an event makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowId {
    pub kind: RowKind,
    pub id: Uuid,
}

impl RowId {
    /// `None` if the event makes no row below a run or session.
    pub fn of(event: &Event) -> Option<Self> {
        let (kind, id) = match &event.body {
            EventBody::StepStarted(e) => (RowKind::Step, e.step_id),
            EventBody::StepEnded(e) => (RowKind::Step, e.step_id),
            EventBody::Message(e) => (RowKind::Message, e.message_id),
            EventBody::TokenCount(e) => (RowKind::TokenCount, e.token_count_id),
            EventBody::ApprovalRequested(e) => (RowKind::Approval, e.approval_id),
            EventBody::ApprovalDecided(e) => (RowKind::Approval, e.approval_id),
            EventBody::Score(e) => (RowKind::Score, e.score_id),
            _ => return None,
        };
        Some(Self { kind, id })
    }
}

/// Who owns a stored row.
#[derive(Clone, Copy, Debug)]
struct RowOwner {
    run: Option<Uuid>,
    session: Option<Uuid>,
    sighting: bool,
}

impl RowOwner {
    /// Whether the row is that of the event. The merging statements have the same rule.
    fn owns(&self, event: &Event) -> bool {
        let (run, session) = (event.run_id(), event.session_id());
        let same_session = session.is_some() && session == self.session;
        let sighting = self.sighting || matches!(&event.body, EventBody::Message(e) if e.sighting);
        match (run, self.run) {
            (None, None) => same_session,
            (run, own) if run == own => true,
            _ => same_session && sighting,
        }
    }
}

/// Reads the owners of rows.
async fn owners(
    conn: &mut PgConnection,
    rows: impl Iterator<Item = RowId>,
) -> Result<HashMap<RowId, RowOwner>, sqlx::Error> {
    let mut ids = [const { Vec::new() }; RowKind::ALL.len()];
    for row in rows {
        ids[row.kind as usize].push(row.id);
    }
    let mut query = sqlx::query(include_str!("../sql/row_owners.sql"));
    for mut ids in ids {
        ids.sort_unstable();
        ids.dedup();
        query = query.bind(ids);
    }
    let rows = query.fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let kind = match row.try_get("kind")? {
                "step" => RowKind::Step,
                "message" => RowKind::Message,
                "token_count" => RowKind::TokenCount,
                "score" => RowKind::Score,
                _ => RowKind::Approval,
            };
            let owner = RowOwner {
                run: row.try_get("run_id")?,
                session: row.try_get("session_id")?,
                sighting: row.try_get("sighting")?,
            };
            let id = row.try_get("id")?;
            Ok((RowId { kind, id }, owner))
        })
        .collect()
}

impl BatchWriter<'_> {
    /// Writes the contested events that own their row, and refuses the others.
    pub async fn write_contested(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        if plan.contested.is_empty() {
            return Ok(());
        }
        let rows = plan.contested.iter();
        let rows = rows.filter_map(|(_, event)| RowId::of(event));
        let owners = owners(self.conn, rows).await?;
        let is_owner = |event: &Event| {
            let owner = RowId::of(event).and_then(|row| owners.get(&row));
            owner.is_some_and(|owner| owner.owns(event))
        };
        let (right, wrong): (Vec<_>, Vec<_>) = plan
            .contested
            .iter()
            .copied()
            .partition(|(_, event)| is_owner(event));
        let rest = Plan::of_some(right, Rung::Merge);
        // This transaction may have written contents of a new run.
        self.write_contents(&rest, Rung::Merge, |_| false).await?;
        self.merge(&rest).await?;
        self.write_approvals(&rest).await?;
        self.record_superseded(&rest);
        for (index, event) in wrong.into_iter().chain(rest.contested) {
            if let Some(row) = RowId::of(event) {
                self.record_conflict(index, row.kind.id_field());
            }
        }
        Ok(())
    }
}
