//! `runtraced grant`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::database::DatabaseArgs;
use super::output::{self, EXIT_REFUSED};
use crate::config::{Faults, FlagReader};
use crate::store::{Grant, GrantError, READER_ROLE, grant, grant_reader};

/// Give a database role the rights that the daemon needs to write, and no others.
///
/// The role must exist. Run this as the owner of the tables, and again after each
/// upgrade. Then run `runtraced serve --no-migrate` as that role.
///
/// Exit codes: 0 done, 1 not possible with that role, 69 the database does not answer.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct GrantArgs {
    /// Role that the daemon will connect as.
    #[arg(long, value_name = "NAME")]
    pub role: String,
    /// Also let the role take this one, under which the page reads for keys of one customer
    /// and for users. It is created if there is none.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = READER_ROLE, conflicts_with = "revoke")]
    pub reader: Option<String>,
    /// Also let the role delete traces, for `runtraced serve --retain`, `runtraced prune` and
    /// `runtraced erase`.
    #[arg(long, conflicts_with = "revoke")]
    pub retention: bool,
    /// Revoke all rights, so that the role can be dropped.
    #[arg(long)]
    pub revoke: bool,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub database: DatabaseArgs,
}

impl GrantArgs {
    pub(super) fn check(&self) -> Result<(), Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        flags.finish(())
    }
}

/// Runs the command.
///
/// # Errors
/// If the database does not answer, or its role does not own the tables.
pub async fn run(args: GrantArgs) -> anyhow::Result<ExitCode> {
    args.check()?;
    let mut servers = args.database.connect_all().await?;
    let what = match (args.revoke, args.retention) {
        (false, false) => Grant::Give,
        (false, true) => Grant::GiveRetention,
        (true, _) => Grant::Take,
    };
    let role = &args.role;
    for server in &mut servers {
        let conn = &mut server.conn;
        match grant(conn, role, what).await {
            Ok(()) => {}
            Err(GrantError::Sql(error)) => {
                return Err(server.failed(error))
                    .with_context(|| format!("cannot change the rights of {role}"));
            }
            Err(error) => {
                return Ok(output::fail(
                    EXIT_REFUSED,
                    format!("{:#}", server.failed(error)),
                ));
            }
        }
        if let Some(reader) = &args.reader {
            let granted = grant_reader(conn, reader, Some(role)).await;
            granted
                .map_err(|error| server.failed(error))
                .with_context(|| format!("cannot let {role} take the role {reader}"))?;
        }
    }
    output::print(&match what {
        Grant::Give | Grant::GiveRetention => {
            format!("{role} can write; run `runtraced serve --no-migrate` as {role}\n")
        }
        Grant::Take => format!("{role} has no rights on the schema any more\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}
