//! From the error of a command to its exit code and one line on stderr.
//!
//! Errors of libraries repeat their causes and point into sources. Here each cause is said
//! once, and a cause that a person can mend comes with what to do.

mod database;
mod tls;

use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;

use sqlx::migrate::MigrateError;

use super::database::NoDatabase;
use super::endpoint::EndpointError;
use super::output::{self, EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE};
use crate::app::AppError;
use crate::config::Faults;
use crate::query::InspectError;
use crate::spool::SpoolError;

/// The text of a port where nothing listens.
pub(super) const CONNECTION_REFUSED: &str = "connection refused";
/// The text of a failed name look-up.
const HOST_NOT_FOUND: &str = "host not found";

/// Says on stderr why a command failed, and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Faults>() {
        Some(Faults(faults)) => {
            faults.iter().for_each(output::warn);
            ExitCode::from(EXIT_USAGE)
        }
        None => output::fail(exit_code(error), explain(error.as_ref())),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let known = error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<EndpointError>() {
            return Some(error.exit_code());
        }
        if let Some(error) = cause.downcast_ref::<NoDatabase>() {
            return Some(error.exit_code());
        }
        if let Some(AppError::OwnEndpoint { .. }) = cause.downcast_ref() {
            return Some(EXIT_USAGE);
        }
        let is_io = matches!(cause.downcast_ref(), Some(sqlx::Error::Io(_)));
        (is_io || cause.is::<InspectError>()).then_some(EXIT_UNAVAILABLE)
    });
    known.unwrap_or(EXIT_FAILED)
}

/// An error and its causes on one line, each once, with what to do about the last one.
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let mut parts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(explained) = explain_known(error) {
            parts.push(explained);
            break;
        }
        next = error.source();
        let text = error.to_string();
        // Many errors end with the text of their cause, or consist of it.
        let own = match next.map(ToString::to_string) {
            Some(cause) => text
                .strip_suffix(&cause)
                .map_or(&*text, |own| own.trim_end_matches(": ")),
            None => &text,
        };
        if !own.is_empty() {
            parts.push(own.to_owned());
        }
    }
    parts.join(": ")
}

/// The text of an error of a known type, including its causes.
fn explain_known(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return Some(database::explain(error));
    }
    if let Some(error) = error.downcast_ref::<MigrateError>() {
        return Some(database::explain_migration(error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls::explain(error));
    }
    match error.downcast_ref::<AppError>() {
        Some(AppError::Bind { address, source }) => return Some(explain_bind(*address, source)),
        // Transparent errors hide the one that they consist of.
        Some(AppError::Spool(error)) => return explain_known(error),
        _ => {}
    }
    if let Some(SpoolError::Folder { folder, source }) = error.downcast_ref() {
        return Some(format!(
            "the spool folder {} cannot be used: {}; choose another --spool-dir, or make it a \
             folder that this user can read and write",
            folder.display(),
            explain_io(source)
        ));
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return Some(explain_io(error));
    }
    // The layers of a transport error say less than what is at their bottom.
    if error.is::<tonic::transport::Error>() {
        return Some(explain(innermost(error.source()?)));
    }
    None
}

fn innermost<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn explain_bind(address: SocketAddr, error: &std::io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "stop the process that listens there, or choose another address",
        ErrorKind::AddrNotAvailable => "choose an address of this machine",
        ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "choose another address",
    };
    format!(
        "cannot listen on {address}: {}; {advice} (--grpc-listen, --http-listen)",
        explain_io(error)
    )
}

/// An I/O error without its number: `no such file or directory`.
fn explain_io(error: &std::io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(error) = inner {
        return tls::explain(error);
    }
    let text = error.to_string();
    if text.starts_with("failed to lookup address information") {
        return HOST_NOT_FOUND.to_owned();
    }
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("layer: {0}")]
    struct Layer(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(#[from] Layer);

    fn missing() -> io::Error {
        io::Error::from_raw_os_error(2)
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = Err::<(), _>(Transparent(Layer(missing())))
            .context("cannot start")
            .unwrap_err();
        assert_eq!(
            explain(error.as_ref()),
            "cannot start: layer: no such file or directory"
        );
        assert_eq!(explain(&missing()), "no such file or directory");
    }

    #[test]
    fn database_errors_say_what_to_do_without_source_lines() {
        let refused = io::Error::from_raw_os_error(111);
        let error = MigrateError::Execute(sqlx::Error::Io(refused));
        assert_eq!(
            explain(&error),
            "connection refused; start Postgres there, or correct --database-url (DATABASE_URL)"
        );
        let error = sqlx::Error::Protocol("unexpected (sqlx_postgres::connection:95)".into());
        assert!(!explain(&error).contains("sqlx"));
    }
}
