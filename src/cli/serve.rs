//! `runtraced serve`.

use std::io::Write as _;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::output::EXIT_USAGE;
use crate::app::App;
use crate::config::ServeArgs;
use crate::telemetry::init_logs;

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
