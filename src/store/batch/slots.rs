//! The layout in slots: a run and all that is below it are in the tables of its slot.
//!
//! A write batch is written slot by slot, in one transaction. The search path leads to the slot's
//! schema first, so the statements are those of the plain layout. Batches of the shards are of one
//! slot as a rule, because each shard has slots of its own.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::error::BatchError;
use super::gone::GoneIds;
use super::merge;
use super::parts::{BatchPart, PartWriter};
use super::run_totals::RunTotalsCache;
use super::tenancy::{self, TenancyFilter};
use super::write::WrittenBatch;
use crate::event::Event;
use crate::store::layout::TraceLayout;
use crate::store::plan::{Plan, Rung};

/// Writes a batch into an open transaction, as [`super::write_unless_gone`], in the layout in
/// slots.
///
/// # Errors
/// As [`super::write_unless_gone`].
pub async fn write_by_slot(
    conn: &mut PgConnection,
    layout: TraceLayout,
    events: &[&Event],
    gone: &GoneIds,
    rung: Rung,
    run_timeout_ms: i64,
    cache: &mut RunTotalsCache,
) -> Result<WrittenBatch, BatchError> {
    let mut parts: BTreeMap<_, BatchPart<'_>> = BTreeMap::new();
    for (position, event) in events.iter().enumerate() {
        let owner = event.run_id().or(event.session_id()).unwrap_or_default();
        let part = parts.entry(layout.place_of(owner)).or_default();
        part.push(position, event);
    }
    if parts.len() > 1 {
        lock_sessions(conn, events, gone, rung).await?;
    }
    let mut writer = PartWriter::new(events.len(), gone, rung, run_timeout_ms, cache);
    for (place, part) in &parts {
        place.enter_in_transaction(conn).await?;
        writer.write(conn, part).await?;
    }
    Ok(writer.end())
}

/// Makes and locks the sessions of events that are written in several parts. Otherwise a later part
/// would take them after the runs of an earlier one, which is not the order of locks.
///
/// # Errors
/// As [`super::write_unless_gone`].
async fn lock_sessions(
    conn: &mut PgConnection,
    events: &[&Event],
    gone: &GoneIds,
    rung: Rung,
) -> Result<(), BatchError> {
    let filter = tenancy::filter(conn, events).await?;
    let allowed = filter.as_ref().map_or(events, TenancyFilter::allowed);
    let kept: Vec<&Event> = allowed.iter().copied().filter(|e| !gone.names(e)).collect();
    let sessions = Plan::new(&kept, rung).sessions;
    match sessions.is_empty() {
        true => Ok(()),
        false => merge::ensure_sessions(conn, &sessions).await,
    }
}
