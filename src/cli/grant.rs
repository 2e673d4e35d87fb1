//! `runtraced grant`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::database::DatabaseArgs;
use crate::console::output::{self, EXIT_REFUSED};
use crate::store::{Grant, GrantError, grant};

/// Give a database role what the daemon needs to write, and no more.
///
/// The role must exist. Run it as the owner of the tables, again after each
/// upgrade; then serve with --no-migrate as that role.
///
/// Exit codes: 0 done, 1 that role will not do.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct GrantArgs {
    /// The role that the daemon is to connect as.
    #[arg(long, value_name = "NAME")]
    pub role: String,
    /// Take everything back, so that the role can be dropped.
    #[arg(long)]
    pub revoke: bool,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields say
    pub database: DatabaseArgs,
}

/// Runs the command.
///
/// # Errors
/// When the database does not answer, or this is not the tables' owner.
pub async fn run(args: GrantArgs) -> anyhow::Result<ExitCode> {
    let mut conn = args.database.connect().await?;
    let what = match args.revoke {
        false => Grant::Give,
        true => Grant::Take,
    };
    match grant(&mut conn, &args.role, what).await {
        Ok(()) => {}
        Err(error @ GrantError::Sql(_)) => return Err(error).context("cannot grant"),
        Err(error) => return Ok(output::fail(EXIT_REFUSED, error)),
    }
    let role = &args.role;
    output::print(&match what {
        Grant::Give => format!("{role} may write; serve with --no-migrate as {role}\n"),
        Grant::Take => format!("{role} may do nothing here\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}
