//! The `runtraced` program.

use std::process::ExitCode;

use clap::Parser;
use runtraced::cli;

/// Tracing for LLM agents in plain Postgres.
#[derive(Parser)]
enum Command {
    Send(cli::send::SendArgs),
    Runs(cli::runs::RunsArgs),
    Timeline(cli::timeline::TimelineArgs),
    Psql(cli::psql::PsqlArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Send(args) => cli::send::run(args).await,
        Command::Runs(args) => cli::runs::run(args).await,
        Command::Timeline(args) => cli::timeline::run(args).await,
        Command::Psql(args) => cli::psql::run(args).await,
    }
}
