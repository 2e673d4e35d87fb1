//! Errors of Postgres in words of its operators.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use super::{HOST_NOT_FOUND, explain_io, tls};

const CORRECT_URL: &str = "correct --database-url (DATABASE_URL)";

/// The cause, and what to do about it.
pub(super) fn explain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => explain_sqlstate(error.as_ref()),
        sqlx::Error::Io(error) => match explain_io(error) {
            cause if cause == HOST_NOT_FOUND => format!("{cause}; {CORRECT_URL}"),
            cause => format!("{cause}; start Postgres there, or {CORRECT_URL}"),
        },
        sqlx::Error::Tls(error) => explain_tls(error.as_ref()),
        sqlx::Error::Protocol(_) => {
            format!("the server there does not speak the Postgres protocol; {CORRECT_URL}")
        }
        // `migrate_now` says so of a server that starts or stops.
        sqlx::Error::PoolClosed => {
            "the server is starting up or shutting down; try again in a moment".to_owned()
        }
        other => other.to_string(),
    }
}

/// Why a migration failed, and what to do about it.
pub(super) fn explain_migration(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(error) => explain(error),
        MigrateError::ExecuteMigration(error, version) => {
            format!("migration {version}: {}", explain(error))
        }
        MigrateError::VersionMissing(version) => format!(
            "a newer runtraced has migrated this database (migration {version}); \
             use that version or a later one"
        ),
        MigrateError::VersionMismatch(version) => format!(
            "migration {version} of this database differs from the one in this program; \
             use the version of runtraced that migrated the database"
        ),
        other => other.to_string(),
    }
}

/// By SQLSTATE (PostgreSQL manual, appendix A).
fn explain_sqlstate(error: &dyn DatabaseError) -> String {
    // Its `Display` adds a line of the server's source code.
    let message = error.message();
    let code = error.code().unwrap_or_default();
    match code.as_ref() {
        "28000" | "28P01" => {
            format!("{message}; correct user and password in --database-url (DATABASE_URL)")
        }
        "3D000" => format!("{message}; create it, or {CORRECT_URL}"),
        // Undefined table, column and function.
        "42P01" | "42703" | "42883" => format!(
            "{message}; the schema is missing or of another version: \
             run `runtraced migrate` as the owner of the database"
        ),
        "42501" => format!(
            "{message}; connect as a role that may do this, usually the owner of the database"
        ),
        "53300" => format!("{message}; close connections or raise max_connections"),
        "57P03" => format!("{message}; try again in a moment"),
        _ => format!("{message} (SQLSTATE {code})"),
    }
}

fn explain_tls(error: &(dyn std::error::Error + 'static)) -> String {
    const MEND: &str = "correct sslmode and sslrootcert in --database-url (DATABASE_URL)";
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return format!("{}; {MEND}", tls::reason(error));
    }
    format!("{error}; {MEND}")
}
