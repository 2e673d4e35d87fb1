//! The layout by month, which `migrate --partition month` makes: the tables that grow fastest
//! become partitioned, and what they hold becomes their first partition, where it is.

use std::time::Duration;

use sqlx::PgConnection;

use super::concurrent_index::WantedIndex;
use super::patience::{in_one_transaction, lock_layout, patiently, unlock_layout};
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

/// Why the tables were not partitioned.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// Objects of the product would break; they are named.
    #[error("these would not go on to work if their tables had partitions: {}", .0.join("; "))]
    Referred(Vec<String>),
    /// The tables are views.
    #[error("the runs are in slots; a database has either these or partitions by month")]
    InSlots,
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
    lock_layout(conn).await?;
    let converted = convert(conn).await;
    unlock_layout(conn).await?;
    converted
}

async fn convert(conn: &mut PgConnection) -> Result<Option<Duration>, PartitionError> {
    match TraceLayout::find(conn).await? {
        TraceLayout::Plain => {}
        TraceLayout::ByMonth => return Ok(None),
        TraceLayout::InSlots(_) => return Err(PartitionError::InSlots),
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
