//! Which migrations a database lacks, and which it has that this version does not know.

use sqlx::PgConnection;
use sqlx::migrate::Migration;

use crate::store::schema::MIGRATIONS;

/// The state of a database's schema.
#[derive(Clone, Debug, Default)]
pub struct PendingMigrations {
    /// The migrations to apply, oldest first.
    pub pending: Vec<&'static Migration>,
    /// The newest migration in the database, if only a newer version knows it.
    pub newer: Option<i64>,
}

/// Asks a database for its migrations.
///
/// # Errors
/// If a statement fails, for example because this role may not read them.
pub async fn pending_migrations(conn: &mut PgConnection) -> Result<PendingMigrations, sqlx::Error> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *conn)
        .await?;
    let applied: Vec<i64> = match there {
        true => {
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                .fetch_all(conn)
                .await?
        }
        false => Vec::new(),
    };
    Ok(compare(&applied))
}

fn compare(applied: &[i64]) -> PendingMigrations {
    let known = || {
        MIGRATIONS
            .iter()
            .filter(|one| one.migration_type.is_up_migration())
    };
    let is_unknown = |version: &i64| known().all(|one| one.version != *version);
    PendingMigrations {
        pending: known()
            .filter(|one| !applied.contains(&one.version))
            .collect(),
        newer: applied.iter().copied().filter(is_unknown).max(),
    }
}

/// The name of a migration, as `0026_write_epoch`.
#[must_use]
pub fn migration_name(migration: &Migration) -> String {
    format!(
        "{:04}_{}",
        migration.version,
        migration.description.replace(' ', "_")
    )
}
