//! The command line: one module for each command.

pub mod approvals;
pub mod cost;
mod customer_flag;
pub mod customers;
pub mod database;
pub mod dead_letters;
mod delete_sessions;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod endpoint;
pub mod erase;
pub mod explain;
pub mod export;
mod failure;
pub mod grant;
pub mod keys;
mod merged;
pub mod migrate;
pub mod plan;
pub mod prices;
pub mod prune;
pub mod psql;
pub mod restore;
pub mod runs;
pub mod send;
pub mod serve;
pub mod spool;
pub mod status;
pub mod timeline;
pub mod tls;
mod unused_spool;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench;
use crate::config::Faults;
// For the commands, as `super::output` and `super::child`.
use crate::console::{child, output};
use output::{EXIT_FAILED, EXIT_USAGE};

/// Tracing for LLM agents, in plain Postgres.
#[derive(Debug, Parser)]
#[command(name = "runtraced", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Serve(Box<crate::config::ServeArgs>),
    Migrate(migrate::MigrateArgs),
    Grant(grant::GrantArgs),
    Send(send::SendArgs),
    Explain(explain::ExplainArgs),
    Runs(runs::RunsArgs),
    Timeline(timeline::TimelineArgs),
    Approvals(approvals::ApprovalsArgs),
    Cost(cost::CostArgs),
    Diff(diff::DiffArgs),
    Export(export::ExportArgs),
    Psql(psql::PsqlArgs),
    Restore(restore::RestoreArgs),
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    Spool(spool::SpoolArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Prune(prune::PruneArgs),
    Erase(erase::EraseArgs),
    Customers(customers::CustomersArgs),
    Keys(keys::KeysArgs),
    Prices(prices::PricesArgs),
    Tls(tls::TlsCommandArgs),
    Plan(plan::PlanArgs),
    Demo(demo::DemoArgs),
    Bench(bench::BenchArgs),
}

impl Cli {
    /// Reads the command line. If it is wrong, says why and exits with 64.
    #[must_use]
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let code = if error.use_stderr() {
                i32::from(EXIT_USAGE)
            } else {
                0
            };
            let _ = error.print();
            std::process::exit(code)
        })
    }

    /// Checks the values of all flags without running the command.
    ///
    /// # Errors
    /// Every fault found.
    pub fn check(&self) -> Result<(), Faults> {
        match &self.command {
            Command::Serve(args) => args.clone().config().map(drop),
            Command::Migrate(args) => args.check(),
            Command::Grant(args) => args.check(),
            Command::Send(args) => args.settings().map(drop),
            Command::Runs(args) => args.search().map(drop),
            Command::Timeline(args) => args.request().map(drop),
            Command::Approvals(args) => args.decision().map(drop),
            Command::Cost(args) => args.request().map(drop),
            Command::Diff(args) => args.prefixes().map(drop),
            Command::Export(args) => args.prefix().map(drop),
            Command::Status(args) => args.daemon().map(drop),
            Command::Doctor(args) => args.serve.clone().config().map(drop),
            Command::Spool(args) => args.check(),
            Command::DeadLetters(args) => args.action().map(drop),
            Command::Prune(args) => args.request().map(drop),
            Command::Erase(args) => args.session().map(drop),
            Command::Customers(args) => args.action().map(drop),
            Command::Keys(args) => args.action().map(drop),
            Command::Prices(args) => args.price().map(drop),
            Command::Tls(args) => args.request().map(drop),
            Command::Plan(args) => args.request().map(drop),
            Command::Explain(_)
            | Command::Psql(_)
            | Command::Restore(_)
            | Command::Demo(_)
            | Command::Bench(_) => Ok(()),
        }
    }

    /// Runs the command. Says on stderr why it failed.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return output::fail(EXIT_FAILED, failure::explain(&error)),
        };
        let result = runtime.block_on(async {
            match self.command {
                Command::Serve(args) => serve::run(*args).await,
                Command::Migrate(args) => migrate::run(args).await,
                Command::Grant(args) => grant::run(args).await,
                Command::Send(args) => send::run(args).await,
                Command::Explain(args) => explain::run(args),
                Command::Runs(args) => runs::run(args).await,
                Command::Timeline(args) => timeline::run(args).await,
                Command::Approvals(args) => approvals::run(args).await,
                Command::Cost(args) => cost::run(args).await,
                Command::Diff(args) => diff::run(args).await,
                Command::Export(args) => export::run(args).await,
                Command::Psql(args) => psql::run(args),
                Command::Restore(args) => restore::run(args).await,
                Command::Status(args) => status::run(args).await,
                Command::Doctor(args) => doctor::run(args).await,
                Command::Spool(args) => spool::run(args).await,
                Command::DeadLetters(args) => dead_letters::run(args).await,
                Command::Prune(args) => prune::run(args).await,
                Command::Erase(args) => erase::run(args).await,
                Command::Customers(args) => customers::run(args).await,
                Command::Keys(args) => keys::run(args).await,
                Command::Prices(args) => prices::run(args).await,
                Command::Tls(args) => tls::run(&args),
                Command::Plan(args) => plan::run(&args),
                Command::Demo(args) => demo::run(args).await,
                Command::Bench(args) => bench::run(args).await,
            }
        });
        result.unwrap_or_else(|error| failure::report(&error))
    }
}

/// A count for people, with thousands separators.
fn count(number: u64) -> String {
    output::thousands(i64::try_from(number).unwrap_or(i64::MAX))
}
