//! The statements of a batch that read and write runs.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};
use uuid::Uuid;

use super::merge::{Column, json, time};
use super::run_totals::RunTotals;
use crate::event::{EndStatus, RunEndedBy};
use crate::store::encode::PgTime;
use crate::store::plan::RunPatch;

/// The state of an existing run that a batch touches.
#[derive(Clone, Copy, Debug)]
pub struct LockedRun {
    /// The run has ended or was abandoned.
    pub is_final: bool,
    /// The sweeper abandoned the run.
    pub abandoned: bool,
    /// The run's timeout is close, so it must be delayed.
    pub near_timeout: bool,
    /// The only writer that may know the run's totals (column `summed_by`).
    pub totals_writer: Option<i64>,
    /// A bridge sent events of the run.
    pub bridged: bool,
    /// Some rows show as views of another step's call.
    pub views_shown: bool,
    /// The run is being deleted.
    pub gone: bool,
}

/// What inserting or patching changed in a run.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct PatchedRun {
    pub start_changed: bool,
    pub end_changed: bool,
    pub life_changed: bool,
    pub observed_changed: bool,
    /// The run should have changed, and did not: a trigger skips it.
    pub skipped: bool,
    /// The run says that an erased run started it.
    pub below_erased: bool,
}

impl PatchedRun {
    /// The run is new.
    pub const NEW: Self = Self {
        start_changed: true,
        end_changed: true,
        life_changed: true,
        observed_changed: true,
        skipped: false,
        below_erased: false,
    };
}

/// Locks the existing runs of a batch, in the order of their ids.
pub async fn lock_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
    timeout_ms: i64,
) -> Result<HashMap<Uuid, LockedRun>, sqlx::Error> {
    lock_with(include_str!("../sql/lock_runs.sql"), conn, runs, timeout_ms).await
}

/// The same for runs that did not exist at the first look, which the batch has reserved
/// since. It must not wait: whoever has locked such a run may wait for the reservation.
///
/// # Errors
/// If one of them is locked (a conflict). The next attempt finds it at the first look.
pub async fn lock_created_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
    timeout_ms: i64,
) -> Result<HashMap<Uuid, LockedRun>, sqlx::Error> {
    let statement = concat!(include_str!("../sql/lock_runs.sql"), "NOWAIT");
    lock_with(statement, conn, runs, timeout_ms).await
}

async fn lock_with(
    statement: &'static str,
    conn: &mut PgConnection,
    runs: &[Uuid],
    timeout_ms: i64,
) -> Result<HashMap<Uuid, LockedRun>, sqlx::Error> {
    let rows = sqlx::query(statement)
        .bind(runs)
        .bind(timeout_ms)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let run = LockedRun {
                is_final: row.try_get("final")?,
                abandoned: row.try_get("abandoned")?,
                near_timeout: row.try_get("near_timeout")?,
                totals_writer: row.try_get("summed_by")?,
                bridged: row.try_get("bridged")?,
                views_shown: row.try_get("views_shown")?,
                gone: row.try_get("gone")?,
            };
            Ok((row.try_get("id")?, run))
        })
        .collect()
}

/// Records that no writer knows the totals of these runs any more.
pub async fn invalidate_run_totals(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../sql/invalidate_run_totals.sql"))
        .bind(runs)
        .execute(conn)
        .await?;
    Ok(())
}

/// Inserts runs that did not exist when the batch took its locks. Returns those that it
/// inserted; another transaction has created the others.
///
/// `tenants` has the owners, and `final_totals` the totals of runs that end with this
/// batch. For a run that goes on, `totals_writer` is the writer that knows its totals.
pub async fn insert_runs<'a>(
    conn: &mut PgConnection,
    patches: &[&RunPatch<'a>],
    timeout_ms: i64,
    tenants: &HashMap<Uuid, Uuid>,
    final_totals: &HashMap<Uuid, RunTotals>,
    totals_writer: impl Fn(&RunPatch<'a>) -> Option<i64>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let column = Column(patches);
    let statement = sqlx::query(include_str!("../sql/insert_runs.sql"));
    let rows = bind(statement, patches, timeout_ms, final_totals)
        .bind(column.of(|p| tenants.get(&p.id).copied()))
        .bind(column.of(|p| totals_writer(p)))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Merges patches into existing runs; returns the runs that changed. `final_totals` has
/// the totals of runs that end with this batch.
pub async fn patch_runs(
    conn: &mut PgConnection,
    patches: &[&RunPatch<'_>],
    timeout_ms: i64,
    final_totals: &HashMap<Uuid, RunTotals>,
) -> Result<HashMap<Uuid, PatchedRun>, sqlx::Error> {
    let statement = sqlx::query(include_str!("../sql/patch_runs.sql"));
    let rows = bind(statement, patches, timeout_ms, final_totals)
        .fetch_all(conn)
        .await?;
    let mut patched = HashMap::new();
    for row in &rows {
        let run = PatchedRun {
            start_changed: row.try_get("start_changed")?,
            end_changed: row.try_get("end_changed")?,
            life_changed: row.try_get("life_changed")?,
            observed_changed: row.try_get("observed_changed")?,
            skipped: row.try_get("due")?,
            below_erased: row.try_get("below_erased")?,
        };
        // If the run changed, another line of the result says so.
        match patched.entry(row.try_get("id")?) {
            Entry::Occupied(_) if run.skipped => {}
            entry => _ = entry.insert_entry(run),
        }
    }
    Ok(patched)
}

/// Binds the parameters that `insert_runs.sql` and `patch_runs.sql` share.
fn bind<'q, 'a>(
    statement: Query<'q, Postgres, PgArguments>,
    patches: &[&RunPatch<'a>],
    timeout_ms: i64,
    final_totals: &HashMap<Uuid, RunTotals>,
) -> Query<'q, Postgres, PgArguments> {
    let column = Column(patches);
    let start = |patch: &&RunPatch<'a>| patch.start;
    let end = |patch: &&RunPatch<'a>| patch.end;
    let totals = |p: &&RunPatch<'a>| final_totals.get(&p.id);
    statement
        .bind(column.of(|p| p.id))
        .bind(column.of(|p| start(p).map(|s| PgTime(s.time))))
        .bind(column.of(|p| start(p).and_then(|s| s.event.session_id)))
        .bind(column.of(|p| start(p).and_then(|s| s.event.parent_run_id)))
        .bind(column.of(|p| start(p).and_then(|s| s.event.customer_id)))
        .bind(column.of(|p| start(p).map(|s| s.event.agent_id.as_str())))
        .bind(column.of(|p| start(p).map(|s| s.event.agent_type.as_str())))
        .bind(column.of(|p| start(p).and_then(|s| s.event.name.as_deref())))
        .bind(column.of(|p| start(p).and_then(|s| s.event.input.as_deref())))
        .bind(column.of(|p| start(p).and_then(|s| json(s.event.metadata.as_ref()))))
        .bind(column.of(|p| start(p).and_then(|s| s.event.timeout_ms)))
        .bind(column.of(|p| end(p).map(|e| RunEndedBy::as_str(e.event.by))))
        .bind(column.of(|p| end(p).map(|e| EndStatus::as_str(e.event.status))))
        .bind(column.of(|p| end(p).and_then(|e| e.event.output.as_deref())))
        .bind(column.of(|p| end(p).and_then(|e| e.event.error.as_deref())))
        .bind(column.of(|p| end(p).map(|e| PgTime(e.time))))
        .bind(column.of(|p| end(p).and_then(|e| e.event.reported_tokens_input)))
        .bind(column.of(|p| end(p).and_then(|e| e.event.reported_tokens_output)))
        .bind(column.of(|p| end(p).and_then(|e| json(e.event.metadata.as_ref()))))
        .bind(column.of(|p| time(p.alive_at)))
        .bind(timeout_ms)
        .bind(column.of(|p| p.observed.to_json()))
        .bind(column.of(|p| time(p.root_started.map(|(at, _)| at))))
        .bind(column.of(|p| totals(p).map(|t| t.counted)))
        .bind(column.of(|p| totals(p).map(|t| t.input)))
        .bind(column.of(|p| totals(p).map(|t| t.output)))
        .bind(column.of(|p| time(totals(p).and_then(|t| t.first_at))))
        .bind(column.of(|p| time(totals(p).and_then(|t| t.last_at))))
        .bind(column.of(|p| time(p.started.map(|(at, _)| at))))
}

/// Delays the timeout of runs that are alive.
pub async fn touch_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
    timeout_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../sql/touch_runs.sql"))
        .bind(runs)
        .bind(timeout_ms)
        .execute(conn)
        .await?;
    Ok(())
}

/// Reopens runs that the sweeper abandoned but that are alive.
pub async fn reopen_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
    timeout_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../sql/reopen_runs.sql"))
        .bind(runs)
        .bind(timeout_ms)
        .execute(conn)
        .await?;
    Ok(())
}

/// Closes the open steps of runs that have ended, and opens those of runs that go on; at most
/// `most`. Returns how many. The runs must be locked.
pub async fn align_steps(
    conn: &mut PgConnection,
    runs: &[Uuid],
    most: Option<i64>,
) -> Result<u64, sqlx::Error> {
    let aligned = sqlx::query(include_str!("../sql/align_steps.sql"))
        .bind(runs)
        .bind(most)
        .execute(conn)
        .await?;
    Ok(aligned.rows_affected())
}

/// Makes the rows of final runs exact. `due` is the `settle_at` of a run that is not locked.
pub async fn sum_rows(
    conn: &mut PgConnection,
    runs: &[Uuid],
    due: Option<&str>,
) -> Result<(), sqlx::Error> {
    // Rows below the runs have changed, which no trigger notes, because most rows are of runs that go on.
    sqlx::query("SELECT public.note_run_sums($1)")
        .bind(runs)
        .execute(&mut *conn)
        .await?;
    sqlx::query(include_str!("../sql/settle_runs.sql"))
        .bind(runs)
        .bind(due)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the rows of final runs exact and closes their open steps. The runs must be
/// locked.
pub async fn settle_runs(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    align_steps(conn, runs, None).await?;
    sum_rows(conn, runs, None).await
}

/// Adds placeholders: runs that do not exist and that the batch neither starts nor ends.
pub fn add_placeholders(
    patches: &mut Vec<RunPatch<'_>>,
    runs: &[Uuid],
    locked: &HashMap<Uuid, LockedRun>,
) {
    let patched: HashSet<Uuid> = patches.iter().map(|patch| patch.id).collect();
    let missing = runs
        .iter()
        .filter(|id| !locked.contains_key(id) && !patched.contains(id));
    patches.extend(missing.map(|&id| RunPatch {
        id,
        ..RunPatch::default()
    }));
}
