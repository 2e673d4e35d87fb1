//! The parts of the work on a large run. Each is a transaction of the sweeper, so that it holds
//! the lock of the run for a moment only.

use sqlx::PgConnection;
use uuid::Uuid;

use super::large_runs::shows_views;
use super::runs::{self, align_steps};
use super::{aliases, roots, views};

/// The most steps that one transaction changes.
pub const STEPS_AT_ONCE: usize = 2_000;

/// Settles runs with few rows, whatever there is to do. They must be locked.
///
/// # Errors
/// If the database fails.
pub async fn settle_few(conn: &mut PgConnection, few: &[Uuid]) -> Result<(), sqlx::Error> {
    if few.is_empty() {
        return Ok(());
    }
    views::forget(conn, few, &[], &[]).await?;
    aliases::move_all_steps(conn, few).await?;
    roots::end_by_aliases(conn, few).await?;
    views::show(conn, few).await?;
    runs::settle_runs(conn, few).await?;
    sqlx::query("UPDATE agent_runs SET settle_at = NULL WHERE id = ANY ($1)")
        .bind(few)
        .execute(conn)
        .await?;
    Ok(())
}

/// The steps of a run whose named parent may be an alias.
///
/// # Errors
/// If the database fails.
pub async fn bridged_steps(conn: &mut PgConnection, run: Uuid) -> Result<Vec<Uuid>, sqlx::Error> {
    let steps = "SELECT id FROM agent_steps WHERE run_id = $1 AND named_parent_step_id IS NOT NULL";
    sqlx::query_scalar(steps).bind(run).fetch_all(conn).await
}

/// Moves some of these steps to the parents that aliases resolve to. The run must be locked.
///
/// # Errors
/// If the database fails.
pub async fn move_bridged_steps(
    conn: &mut PgConnection,
    run: Uuid,
    steps: &[Uuid],
) -> Result<(), sqlx::Error> {
    let named = "SELECT run_id, id, named_parent_step_id FROM agent_steps
                 WHERE id = ANY ($1) AND (run_id = $2) IS TRUE AND named_parent_step_id IS NOT NULL";
    let rows = sqlx::query(named)
        .bind(steps)
        .bind(run)
        .fetch_all(&mut *conn)
        .await?;
    aliases::move_to_parents(conn, &rows).await
}

/// Ends a run by the roots of its trace that are not steps. The run must be locked.
///
/// # Errors
/// If the database fails.
pub async fn end_by_roots(conn: &mut PgConnection, run: Uuid) -> Result<(), sqlx::Error> {
    roots::end_by_aliases(conn, &[run]).await?;
    Ok(())
}

/// Shows the calls of a run once, if it has ended and has not too many rows. The run must be
/// locked.
///
/// # Errors
/// If the database fails.
pub async fn show_views(conn: &mut PgConnection, run: Uuid) -> Result<(), sqlx::Error> {
    views::forget(conn, &[run], &[], &[]).await?;
    if shows_views(conn, run).await? {
        views::show(conn, &[run]).await?;
    }
    Ok(())
}

/// Closes or reopens some steps of a run, as it has ended or goes on. Returns whether there may
/// be more of them. The run must be locked.
///
/// # Errors
/// If the database fails.
pub async fn align_some_steps(conn: &mut PgConnection, run: Uuid) -> Result<bool, sqlx::Error> {
    let most = STEPS_AT_ONCE as i64;
    let aligned = align_steps(conn, &[run], Some(most)).await?;
    Ok(aligned >= STEPS_AT_ONCE as u64)
}

/// Makes the row of a large run exact, if it has ended and its `settle_at` is still `due`. The
/// run need not be locked.
///
/// # Errors
/// If the database fails.
pub async fn sum_rows(conn: &mut PgConnection, run: Uuid, due: &str) -> Result<(), sqlx::Error> {
    runs::sum_rows(conn, &[run], Some(due)).await
}
