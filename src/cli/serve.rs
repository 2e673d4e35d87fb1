//! `runtraced serve`.

use std::io::Write as _;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::config::{Config, ServeArgs};
use crate::console::output::EXIT_USAGE;
use crate::listen::raise_file_limit;
use crate::telemetry::init_logs;

/// What is not a connection: spool, database, logs.
const OTHER_FILES: u64 = 128;

/// Runs the daemon until SIGINT or SIGTERM.
///
/// # Errors
/// When it cannot start, or did not settle everything.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = match args.config() {
        Ok(config) => config,
        Err(faults) => {
            for fault in &faults.0 {
                writeln!(std::io::stderr(), "runtraced: {fault}")?;
            }
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    init_logs();
    warn_of_few_files(&config);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let app = App::build(config).await?;
    app.run(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await?;
    tracing::info!("all settled");
    Ok(ExitCode::SUCCESS)
}

/// A connection that finds no file left would wait in vain.
fn warn_of_few_files(config: &Config) {
    let needed = 2 * config.connections.connections as u64 + OTHER_FILES;
    match raise_file_limit() {
        Some(limit) if limit < needed => tracing::warn!(
            limit,
            needed,
            "the system lets this process open fewer files than --max-connections may need"
        ),
        _ => {}
    }
}
