//! The schema, embedded in the binary.

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

/// Every migration of `migrations/`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Brings the schema up to date, under sqlx's advisory lock, so that several
/// daemons may start at once.
///
/// # Errors
/// When a migration fails or an applied one is not the embedded one.
pub async fn migrate(conn: &mut PgConnection) -> Result<(), MigrateError> {
    MIGRATIONS.run_direct(None, conn, false).await
}
