//! The schema, embedded in the binary.

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

/// Every migration of `migrations/`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Brings the schema up to date. It holds sqlx's advisory lock, so several daemons can
/// start at the same time.
///
/// # Errors
/// If a migration fails, or if an applied migration differs from the embedded one.
pub async fn migrate(conn: &mut PgConnection) -> Result<(), MigrateError> {
    MIGRATIONS.run_direct(None, conn, false).await
}
