//! `runtraced restore`: a dump into a new private Postgres.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, bail};
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use super::output::{self, EXIT_NO_INPUT, EXIT_REFUSED};
use crate::{
    config,
    postgres::{PrivateConfig, PrivatePostgres, StopMode},
};

/// The first bytes of a dump in the custom format.
const CUSTOM_FORMAT: &[u8] = b"PGDMP";
/// What pg_dump writes last, apart from a few bytes. psql takes a file that is cut off for a whole one.
const LAST_LINE: &str = "-- PostgreSQL database dump complete";
const LAST_BYTES: u64 = 1_024;

/// How a dump is to be restored.
enum Dump {
    Sql,
    CustomFormat,
    CutOff,
}

/// Restore a dump into the private Postgres of a new folder.
///
/// Starts the Postgres of --data-dir without a daemon, so that nothing else
/// writes to it. Restores the dump in one transaction, then stops Postgres. The
/// database must be empty. Then serve with the same --data-dir.
///
/// Exit codes: 0 restored, 1 the database is not empty or the dump was refused
/// (nothing was restored), 66 the dump cannot be read.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RestoreArgs {
    /// A dump that pg_dump wrote: SQL, or its custom format (-Fc).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The folder to restore into; without it, $XDG_DATA_HOME/runtraced or
    /// ~/.local/share/runtraced; for root, /var/lib/runtraced.
    #[arg(long, env = "RUNTRACED_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The folder with `postgres` and `initdb`; without it, PATH and the usual places.
    #[arg(long, env = "RUNTRACED_PG_BIN", value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When Postgres cannot be started or stopped.
pub async fn run(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let program = match examine(&args.file) {
        Ok(Dump::CustomFormat) => "pg_restore",
        Ok(Dump::Sql) => "psql",
        Ok(Dump::CutOff) => {
            let file = args.file.display();
            let message =
                format_args!("{file} is not a complete dump: {LAST_LINE:?} is missing at its end");
            return Ok(output::fail(EXIT_REFUSED, message));
        }
        Err(error) => {
            let cause = super::failure::explain(&error);
            let message = format_args!("cannot read {}: {cause}", args.file.display());
            return Ok(output::fail(EXIT_NO_INPUT, message));
        }
    };
    let data_dir = args.data_dir.unwrap_or_else(config::default_data_dir);
    let mut config = PrivateConfig::new(&data_dir);
    config.bin_dir = args.pg_bin;
    // Holds the lock of the folder until the end.
    let mut server = PrivatePostgres::start(&config).await?;
    let restored = restore(&server, program, &args.file).await;
    server.stop(StopMode::Fast).await?;
    if let Err(error) = restored {
        return Ok(output::fail(
            EXIT_REFUSED,
            super::failure::explain(error.as_ref()),
        ));
    }
    let data_dir = data_dir.display();
    output::print(&format!(
        "restored; start the daemon with --data-dir {data_dir}\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn examine(file: &Path) -> std::io::Result<Dump> {
    let mut file = File::open(file)?;
    let mut start = Vec::new();
    let length = CUSTOM_FORMAT.len() as u64;
    file.by_ref().take(length).read_to_end(&mut start)?;
    if start == CUSTOM_FORMAT {
        return Ok(Dump::CustomFormat);
    }
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(match String::from_utf8_lossy(&end).contains(LAST_LINE) {
        true => Dump::Sql,
        false => Dump::CutOff,
    })
}

async fn restore(server: &PrivatePostgres, program: &str, file: &Path) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect(server.url()).await?;
    let is_empty: bool = sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace)",
    )
    .fetch_one(&mut conn)
    .await?;
    if !is_empty {
        bail!("the database is not empty; restore into a new --data-dir");
    }
    let mut command = Command::new(server.program(program));
    match program {
        "psql" => command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file"]),
        _ => command.arg("--exit-on-error"),
    };
    command
        .arg(file)
        .args(["--single-transaction", "--dbname", server.url()])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = command
        .status()
        .await
        .with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("{program} refused the dump; nothing was restored");
    }
    let has_traces: bool =
        sqlx::query_scalar("SELECT to_regclass('public.agent_runs') IS NOT NULL")
            .fetch_one(&mut conn)
            .await?;
    if !has_traces {
        bail!("the dump has no table agent_runs: is it a dump of runtraced's database?");
    }
    // A dump has no statistics for the planner.
    sqlx::query("ANALYZE").execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}
