//! Changes of tables that others use.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::sleep;

use crate::store::error::{is_conflict, is_lock_timeout};

/// The advisory lock of whoever gives the traces another layout. Two at once would take each other's
/// half for their own.
const LAYOUT_LOCK: (i32, i32) = (0x7274_0004, 0);

/// How often a transaction is tried while others hold its locks.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// Takes the lock of whoever changes the layout. It ends with the connection.
///
/// # Errors
/// If the database fails.
pub(super) async fn lock_layout(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    run_with_lock(conn, "SELECT pg_advisory_lock($1, $2)").await
}

/// Releases it.
///
/// # Errors
/// If the database fails.
pub(super) async fn unlock_layout(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    run_with_lock(conn, "SELECT pg_advisory_unlock($1, $2)").await
}

async fn run_with_lock(
    conn: &mut PgConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .bind(LAYOUT_LOCK.0)
        .bind(LAYOUT_LOCK.1)
        .execute(conn)
        .await?;
    Ok(())
}

/// Runs statements in one transaction, and tries again while others are in the way. Returns how
/// long the last attempt took.
///
/// # Errors
/// If a statement fails, or others were in the way each time.
pub(super) async fn patiently(
    conn: &mut PgConnection,
    statements: &[&str],
) -> Result<Duration, sqlx::Error> {
    let mut attempts = 1;
    loop {
        let begun = Instant::now();
        match in_one_transaction(conn, statements).await {
            Ok(()) => return Ok(begun.elapsed()),
            error => pause_after(error, &mut attempts).await?,
        }
    }
}

/// The same, and takes back what they did.
///
/// # Errors
/// As [`patiently`].
pub(super) async fn patiently_undone(
    conn: &mut PgConnection,
    statements: &[&str],
) -> Result<(), sqlx::Error> {
    let mut attempts = 1;
    loop {
        let mut tx = conn.begin().await?;
        let done = run_each(&mut tx, statements).await;
        tx.rollback().await?;
        match done {
            Ok(()) => return Ok(()),
            error => pause_after(error, &mut attempts).await?,
        }
    }
}

/// Waits before another attempt, or fails for good.
async fn pause_after(
    failed: Result<(), sqlx::Error>,
    attempts: &mut u32,
) -> Result<(), sqlx::Error> {
    if let Err(error) = failed
        && (*attempts == ATTEMPTS || !is_in_the_way(&error))
    {
        return Err(error);
    }
    *attempts += 1;
    sleep(PAUSE).await;
    Ok(())
}

/// Runs statements in one transaction.
///
/// # Errors
/// If one fails.
pub(super) async fn in_one_transaction(
    conn: &mut PgConnection,
    statements: &[&str],
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    run_each(&mut tx, statements).await?;
    tx.commit().await
}

async fn run_each(conn: &mut PgConnection, statements: &[&str]) -> Result<(), sqlx::Error> {
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(*statement))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

fn is_in_the_way(error: &sqlx::Error) -> bool {
    is_lock_timeout(error) || is_conflict(error)
}
