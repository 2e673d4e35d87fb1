//! The layout by month, which `migrate --partition month` makes: the tables that grow fastest
//! become partitioned, and what they hold becomes their first partition, where it is.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use super::concurrent_index::WantedIndex;
use crate::store::error::{is_conflict, is_lock_timeout};
use crate::store::layout::TraceLayout;

/// The columns that find a row in its partition.
const KEYS: [WantedIndex<'_>; 5] = [
    key("agent_runs_bucket_key", "agent_runs", "(bucket, id)"),
    key("agent_steps_bucket_key", "agent_steps", "(id, bucket)"),
    key(
        "agent_messages_bucket_key",
        "agent_messages",
        "(id, bucket)",
    ),
    key(
        "agent_token_counts_bucket_key",
        "agent_token_counts",
        "(id, bucket)",
    ),
    key(
        "agent_contents_bucket_key",
        "agent_contents",
        "(run_id, hash, bucket)",
    ),
];

const fn key<'a>(name: &'a str, table: &'a str, definition: &'a str) -> WantedIndex<'a> {
    WantedIndex {
        name,
        table,
        unique: true,
        definition,
    }
}

/// Reads the rows of a table, and lets others read and write.
const VALIDATE: [&str; 4] = [
    "ALTER TABLE public.agent_steps VALIDATE CONSTRAINT runtraced_first_bucket, VALIDATE CONSTRAINT runtraced_run_bucket",
    "ALTER TABLE public.agent_messages VALIDATE CONSTRAINT runtraced_first_bucket, VALIDATE CONSTRAINT runtraced_run_bucket",
    "ALTER TABLE public.agent_token_counts VALIDATE CONSTRAINT runtraced_first_bucket, VALIDATE CONSTRAINT runtraced_run_bucket",
    "ALTER TABLE public.agent_contents VALIDATE CONSTRAINT runtraced_first_bucket, VALIDATE CONSTRAINT runtraced_run_bucket",
];

/// The end of the conversion: one transaction.
const SWAP: [&str; 4] = [
    include_str!("months/functions.sql"),
    include_str!("months/swap.sql"),
    include_str!("months/pruning.sql"),
    "SELECT public.prepare_months()",
];

/// The advisory lock of whoever partitions.
const PARTITION_LOCK: (i32, i32) = (0x7274_0004, 0);

/// How often a statement is tried whose locks others hold.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// Why the tables were not partitioned.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// Objects of the product would break; they are named.
    #[error("these would not go on to work if their tables had partitions: {}", .0.join("; "))]
    Referred(Vec<String>),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// Brings the rows below runs into partitions by month. Returns for how long the tables were
/// locked; `None`: they were partitioned before. It may be interrupted, and be called again.
///
/// # Errors
/// If something of the product would break, or a statement fails. The tables stay as they are.
pub async fn partition_by_month(
    conn: &mut PgConnection,
) -> Result<Option<Duration>, PartitionError> {
    // Two at once would take each other's half for their own. The lock ends with the connection.
    sqlx::query("SELECT pg_advisory_lock($1, $2)")
        .bind(PARTITION_LOCK.0)
        .bind(PARTITION_LOCK.1)
        .execute(&mut *conn)
        .await?;
    let converted = convert(conn).await;
    sqlx::query("SELECT pg_advisory_unlock($1, $2)")
        .bind(PARTITION_LOCK.0)
        .bind(PARTITION_LOCK.1)
        .execute(&mut *conn)
        .await?;
    converted
}

async fn convert(conn: &mut PgConnection) -> Result<Option<Duration>, PartitionError> {
    if TraceLayout::find(conn).await? == TraceLayout::ByMonth {
        return Ok(None);
    }
    let referring: Vec<String> = sqlx::query_scalar(include_str!("months/obstacles.sql"))
        .fetch_all(&mut *conn)
        .await?;
    if !referring.is_empty() {
        return Err(PartitionError::Referred(referring));
    }
    // It takes as long as it takes, whatever the role's settings are; but who waits for the lock
    // of a table holds up everybody behind it.
    sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = '2s'")
        .execute(&mut *conn)
        .await?;
    patiently(conn, &[include_str!("months/columns.sql")]).await?;
    sqlx::raw_sql("SET lock_timeout = 0")
        .execute(&mut *conn)
        .await?;
    for key in KEYS {
        key.build(conn).await?;
    }
    sqlx::raw_sql("SET lock_timeout = '2s'")
        .execute(&mut *conn)
        .await?;
    patiently(conn, &[include_str!("months/references.sql")]).await?;
    for statement in VALIDATE {
        patiently(conn, &[statement]).await?;
    }
    Ok(Some(patiently(conn, &SWAP).await?))
}

/// Runs statements in one transaction, and tries again while others are in the way. Returns how
/// long the last attempt took.
async fn patiently(
    conn: &mut PgConnection,
    statements: &[&'static str],
) -> Result<Duration, sqlx::Error> {
    let mut attempts = 1;
    loop {
        let begun = Instant::now();
        match in_one_transaction(conn, statements).await {
            Ok(()) => return Ok(begun.elapsed()),
            Err(error) if attempts == ATTEMPTS || !is_in_the_way(&error) => return Err(error),
            Err(_) => attempts += 1,
        }
        sleep(PAUSE).await;
    }
}

async fn in_one_transaction(
    conn: &mut PgConnection,
    statements: &[&'static str],
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    for statement in statements {
        sqlx::raw_sql(*statement).execute(&mut *tx).await?;
    }
    tx.commit().await
}

fn is_in_the_way(error: &sqlx::Error) -> bool {
    is_lock_timeout(error) || is_conflict(error)
}

/// What the layout by month needs again after a migration; nothing in the plain layout.
///
/// # Errors
/// If a statement fails.
pub(super) async fn after_migration(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    if TraceLayout::find(conn).await? == TraceLayout::ByMonth {
        in_one_transaction(conn, &[include_str!("months/pruning.sql")]).await?;
        prepare_months(conn).await?;
    }
    Ok(())
}

/// Makes the partitions of this month and the next in the layout by month, if they are missing.
///
/// # Errors
/// If a statement fails: others hold locks, or the role may not.
pub async fn prepare_months(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    if TraceLayout::find(conn).await? == TraceLayout::ByMonth {
        sqlx::query("SELECT public.prepare_months()")
            .execute(conn)
            .await?;
    }
    Ok(())
}
