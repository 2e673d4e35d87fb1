//! Brings the schema up to date.

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::{Connection as _, PgConnection};

use super::months;
use super::pending::{migration_name, pending_migrations};
use super::prebuilt::build_ahead;
use super::slots;
use crate::store::error::is_conflict;
use crate::store::schema::{MIGRATIONS, join_to_migrate};

/// How often a migration is tried that others are in the way of.
const ATTEMPTS: u32 = 5;

/// Brings the schema up to date and returns the migrations that it applied, as
/// `0026_write_epoch`. It holds sqlx's advisory lock, so several daemons can start at the
/// same time. Migrations that only a newer version knows stay.
///
/// # Errors
/// If a migration fails, if an applied migration differs from the embedded one, or if a
/// daemon is connected that writes by other rules.
pub async fn migrate(conn: &mut PgConnection) -> Result<Vec<String>, MigrateError> {
    join_to_migrate(conn).await?;
    let pending = pending_migrations(conn).await?.pending;
    let is_pending = |version| pending.iter().any(|one| one.version == version);
    build_ahead(conn, is_pending).await?;
    let migrator = Migrator {
        migrations: MIGRATIONS.migrations.clone(),
        ignore_missing: true,
        ..Migrator::DEFAULT
    };
    let table = migrator.table_name.as_ref();
    // sqlx takes the lock once more.
    conn.lock().await?;
    // Whoever waits for a table lock holds up everybody behind it.
    sqlx::raw_sql("SET lock_timeout = '5s'")
        .execute(&mut *conn)
        .await?;
    prepare(conn).await?;
    let before = conn.list_applied_migrations(table).await?;
    let mut attempts = 1;
    while let Err(error) = migrator.run_direct(None, conn, false).await {
        // A daemon that reads may lock the same tables in another order.
        if attempts == ATTEMPTS || !is_deadlock(&error) {
            return Err(error);
        }
        attempts += 1;
    }
    months::after_migration(conn).await?;
    slots::after_migration(conn).await?;
    conn.unlock().await?;
    let is_new = |version| before.iter().all(|applied| applied.version != version);
    Ok(migrator
        .iter()
        .filter(|up| up.migration_type.is_up_migration() && is_new(up.version))
        .map(migration_name)
        .collect())
}

/// Whether a migration was rolled back for the sake of another session.
fn is_deadlock(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            is_conflict(error)
        }
        _ => false,
    }
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
