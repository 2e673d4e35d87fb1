//! `runtraced serve`.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::config::{Config, ServeArgs};
use crate::listen::raise_file_limit;
use crate::telemetry::init_logs;

/// Open files beside connections: spool, database, logs.
const OTHER_FILES: u64 = 128;

/// Runs the daemon until SIGINT or SIGTERM.
///
/// # Errors
/// If it cannot start, or did not settle everything.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = args.config()?;
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
    Ok(ExitCode::SUCCESS)
}

/// A connection that finds no free file would wait in vain.
fn warn_of_few_files(config: &Config) {
    // Each of the two endpoints may have as many.
    let needed = 2 * config.connections.connections as u64 + OTHER_FILES;
    match raise_file_limit() {
        Some(limit) if limit < needed => tracing::warn!(
            limit,
            needed,
            "the limit on open files is lower than --max-connections may need: raise it (ulimit -n)"
        ),
        _ => {}
    }
}
