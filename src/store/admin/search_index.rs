//! Indexes for searching what was said. Writers pay for them, so only who wants them has them.

use sqlx::PgConnection;

use super::concurrent_index::WantedIndex;

/// Names, tables and definitions of the indexes. `query/` searches the same expressions.
const INDEXES: [(&str, &str, &str); 5] = [
    (
        "runtraced_search_runs",
        "agent_runs",
        "USING gin (name gin_trgm_ops, error gin_trgm_ops, input gin_trgm_ops, output gin_trgm_ops)",
    ),
    (
        "runtraced_search_steps",
        "agent_steps",
        "USING gin (name gin_trgm_ops, error gin_trgm_ops, (input::text) gin_trgm_ops, \
         (output::text) gin_trgm_ops)",
    ),
    (
        "runtraced_search_contents",
        "agent_contents",
        "USING gin (name gin_trgm_ops, (body::text) gin_trgm_ops)",
    ),
    (
        "runtraced_search_shared",
        "agent_shared_contents",
        "USING gin (name gin_trgm_ops, (body::text) gin_trgm_ops)",
    ),
    (
        "runtraced_search_messages",
        "agent_messages",
        "USING gin (content gin_trgm_ops, thinking gin_trgm_ops, (tool_calls::text) gin_trgm_ops)",
    ),
];

/// Builds the indexes that are missing, without holding up writers, and returns their names.
/// Needs the extension `pg_trgm`, which the server must have.
///
/// # Errors
/// If a statement fails. What was built stays.
pub async fn build_search_index(conn: &mut PgConnection) -> Result<Vec<&'static str>, sqlx::Error> {
    // It takes as long as it takes, whatever the role's settings are.
    for statement in [
        "SET statement_timeout = 0",
        "SET lock_timeout = 0",
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    ] {
        sqlx::raw_sql(statement).execute(&mut *conn).await?;
    }
    let mut built = Vec::new();
    for (name, table, definition) in INDEXES {
        let index = WantedIndex {
            name,
            table,
            unique: false,
            definition,
        };
        if index.build(conn).await? {
            built.push(name);
        }
    }
    Ok(built)
}
