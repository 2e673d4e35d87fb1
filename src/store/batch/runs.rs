//! The statements of a batch's transaction that read and write rows of runs.

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

/// What the database holds of a run that a batch touches.
#[derive(Clone, Copy, Debug)]
pub struct LockedRun {
    /// It has ended, be it only by a guess.
    pub is_final: bool,
    /// The end is a guess of the sweeper.
    pub abandoned: bool,
    /// It is time to put off its being abandoned.
    pub near_timeout: bool,
    /// The only writer that may know the sums of what is below it.
    pub summed_by: Option<i64>,
}

/// What inserting or patching did to a run.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct PatchedRun {
    pub start_changed: bool,
    pub end_changed: bool,
    pub life_changed: bool,
    pub observed_changed: bool,
}

impl PatchedRun {
    /// It was not there.
    pub const NEW: Self = Self {
        start_changed: true,
        end_changed: true,
        life_changed: true,
        observed_changed: true,
    };
}

/// Locks the runs of a batch that exist, in order.
pub async fn lock_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
    timeout_ms: i64,
) -> Result<HashMap<Uuid, LockedRun>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../sql/lock_runs.sql"))
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
                summed_by: row.try_get("summed_by")?,
            };
            Ok((row.try_get("id")?, run))
        })
        .collect()
}

/// Nobody knows the sums of what is below these runs any more.
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

/// Inserts runs that were not there; returns those that still were not. They belong to
/// their `tenants`; of those in `ends` are the sums that they end with, and of those
/// that do not end the writer knows the sums that is `summed_by`.
pub async fn insert_runs<'a>(
    conn: &mut PgConnection,
    pass: &[&RunPatch<'a>],
    timeout_ms: i64,
    tenants: &HashMap<Uuid, Uuid>,
    ends: &HashMap<Uuid, RunTotals>,
    summed_by: impl Fn(&RunPatch<'a>) -> Option<i64>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let column = Column(pass);
    let statement = sqlx::query(include_str!("../sql/insert_runs.sql"));
    let rows = bind(statement, pass, timeout_ms, ends)
        .bind(column.of(|p| tenants.get(&p.id).copied()))
        .bind(column.of(|p| summed_by(p)))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Merges runs that are there; returns those that changed. Of those in `ends` are the
/// sums that they end with.
pub async fn patch_runs(
    conn: &mut PgConnection,
    pass: &[&RunPatch<'_>],
    timeout_ms: i64,
    ends: &HashMap<Uuid, RunTotals>,
) -> Result<HashMap<Uuid, PatchedRun>, sqlx::Error> {
    let statement = sqlx::query(include_str!("../sql/patch_runs.sql"));
    let rows = bind(statement, pass, timeout_ms, ends)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let run = PatchedRun {
                start_changed: row.try_get("start_changed")?,
                end_changed: row.try_get("end_changed")?,
                life_changed: row.try_get("life_changed")?,
                observed_changed: row.try_get("observed_changed")?,
            };
            Ok((row.try_get("id")?, run))
        })
        .collect()
}

/// The parameters that both statements have.
fn bind<'q, 'a>(
    statement: Query<'q, Postgres, PgArguments>,
    pass: &[&RunPatch<'a>],
    timeout_ms: i64,
    ends: &HashMap<Uuid, RunTotals>,
) -> Query<'q, Postgres, PgArguments> {
    let column = Column(pass);
    let start = |patch: &&RunPatch<'a>| patch.start;
    let end = |patch: &&RunPatch<'a>| patch.end;
    let sums = |p: &&RunPatch<'a>| ends.get(&p.id);
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
        .bind(column.of(|p| time(end(p).and_then(|e| e.event.started_at))))
        .bind(column.of(|p| sums(p).map(|s| s.counted)))
        .bind(column.of(|p| sums(p).map(|s| s.input)))
        .bind(column.of(|p| sums(p).map(|s| s.output)))
        .bind(column.of(|p| time(sums(p).and_then(|s| s.first_at))))
        .bind(column.of(|p| time(sums(p).and_then(|s| s.last_at))))
}

/// Puts off the abandonment of runs that are alive.
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

/// Takes back the guess that runs were abandoned.
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

/// Makes the rows of final runs exact and closes their open steps.
pub async fn settle_runs(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    for statement in [
        include_str!("../sql/close_steps.sql"),
        include_str!("../sql/settle_runs.sql"),
    ] {
        sqlx::query(statement)
            .bind(runs)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
