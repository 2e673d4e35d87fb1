//! Errors of Postgres in words of its operators.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use super::{HOST_NOT_FOUND, explain_io, tls};
use crate::app::database::{OLD_CERTIFICATE, tls_fault};
use crate::listen::is_old_version;

const CORRECT_URL: &str = "correct --database-url (DATABASE_URL)";
const CORRECT_TLS: &str = "correct sslmode and sslrootcert in --database-url (DATABASE_URL)";

/// The cause, and what to do about it.
pub(super) fn explain(error: &sqlx::Error) -> String {
    if let Some(fault) = tls_fault(error) {
        return explain_tls_fault(fault);
    }
    match error {
        sqlx::Error::Database(error) => explain_sqlstate(error.as_ref()),
        sqlx::Error::Io(error) => match explain_io(error) {
            cause if cause == HOST_NOT_FOUND => format!("{cause}; {CORRECT_URL}"),
            cause => format!("{cause}; start Postgres there, or {CORRECT_URL}"),
        },
        sqlx::Error::Tls(error) => format!("{error}; {CORRECT_TLS}"),
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
        "53300" => format!(
            "{message}; close connections or raise {}",
            full_limit(message)
        ),
        "57P03" => format!("{message}; try again in a moment"),
        _ => format!("{message} (SQLSTATE {code})"),
    }
}

/// Which limit allows no more connections.
fn full_limit(message: &str) -> &'static str {
    match message {
        _ if message.contains("for role") => "the role's CONNECTION LIMIT",
        _ if message.contains("for database") => "the database's CONNECTION LIMIT",
        _ => "max_connections",
    }
}

fn explain_tls_fault(fault: &rustls::Error) -> String {
    let advice = if is_old_version(fault) {
        OLD_CERTIFICATE
    } else {
        CORRECT_TLS
    };
    format!("{}; {advice}", tls::reason(fault))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use rustls::{CertificateError, OtherError};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("UnsupportedCertVersion")]
    struct OldVersion;

    /// What a failed handshake is, as sqlx returns it.
    fn handshake(fault: CertificateError) -> sqlx::Error {
        let fault = rustls::Error::InvalidCertificate(fault);
        sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, fault))
    }

    #[test]
    fn the_limit_that_is_full_is_named() {
        for (message, limit) in [
            (
                "too many connections for role \"writer\"",
                "the role's CONNECTION LIMIT",
            ),
            (
                "too many connections for database \"traces\"",
                "the database's CONNECTION LIMIT",
            ),
            ("sorry, too many clients already", "max_connections"),
        ] {
            assert_eq!(full_limit(message), limit, "{message}");
        }
    }

    #[test]
    fn a_certificate_that_tls_refuses_is_named_with_the_way_out() {
        let old = CertificateError::Other(OtherError(Arc::new(OldVersion)));
        let said = explain(&handshake(old));
        assert!(said.contains("is of X.509 version 1"), "{said}");
        assert!(said.contains("sslmode=disable"), "{said}");
        let said = explain(&handshake(CertificateError::UnknownIssuer));
        assert!(said.ends_with(CORRECT_TLS), "{said}");
        assert!(!said.contains("--ca"), "{said}");
    }
}
