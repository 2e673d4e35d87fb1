//! The layout in slots: a run and all that is below it are in the tables of its slot.
//!
//! A write batch is written slot by slot, in one transaction. The search path leads to the slot's
//! schema first, so the statements are those of the plain layout. Batches of the shards are of one
//! slot as a rule, because each shard has slots of its own.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::error::BatchError;
use super::gone::GoneIds;
use super::parts::{BatchPart, PartWriter};
use super::run_totals::RunTotalsCache;
use super::write::{WrittenBatch, lock_sessions};
use crate::event::Event;
use crate::store::layout::TraceLayout;
use crate::store::plan::Rung;

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
