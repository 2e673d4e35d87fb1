//! Indexes of pending migrations that can be built before them, without holding up writers.
//! The migration then finds its index and builds none.

use sqlx::PgConnection;

use super::concurrent_index::WantedIndex;

/// An index that a migration makes with `IF NOT EXISTS`, on columns that are older than it.
#[derive(Clone, Copy, Debug)]
pub struct PrebuiltIndex {
    /// The migration that makes it.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// Its table, which the migration finds.
    pub table: &'static str,
    /// The rest of its definition.
    definition: &'static str,
}

/// All of them.
pub const PREBUILT_INDEXES: [PrebuiltIndex; 3] = [
    PrebuiltIndex {
        version: 25,
        name: "idx_approvals_session",
        table: "approvals",
        definition: "(session_id) WHERE session_id IS NOT NULL",
    },
    PrebuiltIndex {
        version: 39,
        name: "idx_agent_steps_time",
        table: "agent_steps",
        definition: "USING brin (created_at) WITH (pages_per_range = 32)",
    },
    PrebuiltIndex {
        version: 39,
        name: "idx_agent_token_counts_time",
        table: "agent_token_counts",
        definition: "USING brin (created_at) WITH (pages_per_range = 32)",
    },
];

/// The class of the advisory lock of whoever builds: a second one would take the first one's
/// unfinished index for a broken one.
const BUILD_LOCK: (i32, i32) = (0x7274_0003, 0);

/// Builds the indexes of the pending migrations whose tables are there. Call it without
/// any lock: who waits for a lock with a snapshot, as another migration does, would hold up
/// the build.
///
/// # Errors
/// If a statement fails.
pub async fn build_ahead(
    conn: &mut PgConnection,
    is_pending: impl Fn(i64) -> bool,
) -> Result<(), sqlx::Error> {
    for index in PREBUILT_INDEXES
        .iter()
        .filter(|index| is_pending(index.version))
    {
        let there: bool = sqlx::query_scalar("SELECT to_regclass('public.' || $1) IS NOT NULL")
            .bind(index.table)
            .fetch_one(&mut *conn)
            .await?;
        let free: bool = there
            && sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
                .bind(BUILD_LOCK.0)
                .bind(BUILD_LOCK.1)
                .fetch_one(&mut *conn)
                .await?;
        if !free {
            continue;
        }
        let built = build(conn, index).await;
        sqlx::query("SELECT pg_advisory_unlock($1, $2)")
            .bind(BUILD_LOCK.0)
            .bind(BUILD_LOCK.1)
            .execute(&mut *conn)
            .await?;
        built?;
    }
    Ok(())
}

async fn build(conn: &mut PgConnection, index: &PrebuiltIndex) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET lock_timeout = 0")
        .execute(&mut *conn)
        .await?;
    let index = WantedIndex {
        name: index.name,
        table: index.table,
        unique: false,
        definition: index.definition,
    };
    index.build(conn).await.map(drop)
}
