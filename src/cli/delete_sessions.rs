//! The sessions of commands that delete: one for each server of the store.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::database::{DatabaseArgs, StoreConnection};
use super::output::{self, EXIT_REFUSED};
use crate::reap::is_forbidden;
use crate::store::{Session, SessionUse, StoreServer};

/// How long one statement may take: some read a whole table.
const STATEMENT_LIMIT: Duration = Duration::from_secs(1_800);

/// A session that may delete.
pub(super) struct DeleteSession {
    pub server: StoreServer,
    /// What to call the server.
    pub name: String,
    pub session: Session,
}

/// Sessions on all servers.
///
/// # Errors
/// If a server does not answer, or the servers are not those of a store.
pub(super) async fn delete_sessions(
    database: &DatabaseArgs,
    name: &'static str,
) -> anyhow::Result<Vec<DeleteSession>> {
    // Says what is wrong with an address in words of its own.
    let servers = database.connect_all().await?;
    let session = |server: StoreConnection| DeleteSession {
        name: server.name(),
        server: server.server,
        session: Session::new(
            server.server.mark(server.options),
            name,
            SessionUse::Write,
            STATEMENT_LIMIT,
            || (),
        ),
    };
    Ok(servers.into_iter().map(session).collect())
}

/// Why rows cannot be deleted. `server`: where, if there are several.
pub(super) fn cannot_delete(error: sqlx::Error, server: Option<&str>) -> anyhow::Result<ExitCode> {
    const FORBIDDEN: &str = "this role may not delete traces: use the owner of the tables, or run `runtraced grant --role ROLE --retention` as the owner";
    const AGAIN: &str = "not everything is deleted; repeat the command";
    match (is_forbidden(&error), server) {
        (true, None) => Ok(output::fail(EXIT_REFUSED, FORBIDDEN)),
        (true, Some(server)) => Ok(output::fail(EXIT_REFUSED, format!("{server}: {FORBIDDEN}"))),
        (false, None) => Err(error).context(AGAIN),
        (false, Some(server)) => Err(error).with_context(|| format!("{AGAIN}: {server}")),
    }
}
