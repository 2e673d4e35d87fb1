//! The schema, embedded in the binary.

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::{Connection as _, PgConnection};

/// Every migration of `migrations/`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Brings the schema up to date. It holds sqlx's advisory lock, so several daemons can
/// start at the same time.
///
/// # Errors
/// If a migration fails, or if an applied migration differs from the embedded one.
pub async fn migrate(conn: &mut PgConnection) -> Result<(), MigrateError> {
    conn.lock().await?;
    let prepared = prepare(conn).await;
    conn.unlock().await?;
    prepared?;
    MIGRATIONS.run_direct(None, conn, false).await
}

/// Creates sqlx's table and protects it in one transaction, so that nobody can write to it in
/// between; and tells the migrations how old the schema is.
async fn prepare(conn: &mut PgConnection) -> Result<(), MigrateError> {
    let mut tx = conn.begin().await?;
    tx.ensure_migrations_table(&MIGRATIONS.table_name).await?;
    sqlx::raw_sql(include_str!("../sql/protect_migrations.sql"))
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "SELECT set_config('runtraced.schema_before', coalesce(max(version), 0)::text, false)
         FROM _sqlx_migrations",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
