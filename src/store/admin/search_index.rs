//! Indexes for searching what was said. Writers pay for them, so only who wants them has them.

use sqlx::{AssertSqlSafe, PgConnection};

/// Names and definitions of the indexes. `query/` searches the same expressions.
const INDEXES: [(&str, &str); 5] = [
    (
        "runtraced_search_runs",
        "public.agent_runs USING gin (name gin_trgm_ops, error gin_trgm_ops, input gin_trgm_ops, output gin_trgm_ops)",
    ),
    (
        "runtraced_search_steps",
        "public.agent_steps USING gin (name gin_trgm_ops, error gin_trgm_ops, (input::text) gin_trgm_ops, \
         (output::text) gin_trgm_ops)",
    ),
    (
        "runtraced_search_contents",
        "public.agent_contents USING gin (name gin_trgm_ops, (body::text) gin_trgm_ops)",
    ),
    (
        "runtraced_search_shared",
        "public.agent_shared_contents USING gin (name gin_trgm_ops, (body::text) gin_trgm_ops)",
    ),
    (
        "runtraced_search_messages",
        "public.agent_messages USING gin (content gin_trgm_ops, thinking gin_trgm_ops, (tool_calls::text) gin_trgm_ops)",
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
    for (name, definition) in INDEXES {
        let valid: Option<bool> = sqlx::query_scalar(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)",
        )
        .bind(format!("public.{name}"))
        .fetch_optional(&mut *conn)
        .await?;
        if valid == Some(true) {
            continue;
        }
        // What an interrupted attempt left is of no use.
        let statements = [
            format!("DROP INDEX CONCURRENTLY IF EXISTS public.{name}"),
            format!("CREATE INDEX CONCURRENTLY {name} ON {definition}"),
        ];
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut *conn)
                .await?;
        }
        built.push(name);
    }
    Ok(built)
}
