//! What tells a database from every other one.

use sqlx::PgConnection;

/// What tells the database from every other one: `CLUSTER/DATABASE`. The cluster is `?`
/// where this role may not ask for it.
///
/// # Errors
/// If a statement fails.
pub async fn identify_database(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    let may_ask: bool = sqlx::query_scalar(
        "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')",
    )
    .fetch_one(&mut *conn)
    .await?;
    let query = if may_ask {
        include_str!("../sql/identify_database.sql")
    } else {
        "SELECT '?/' || oid::text FROM pg_database WHERE datname = current_database()"
    };
    sqlx::query_scalar(query).fetch_one(conn).await
}
