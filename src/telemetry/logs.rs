//! Structured logs on stderr: text on a terminal, JSON otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging; `RUST_LOG` chooses what, `info` by default.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env()
        // sqlx logs a notice for each migration that finds its work done.
        .unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,sqlx::postgres::notice=off"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call, in tests, finds logs started: fine.
    let _ = if std::io::stderr().is_terminal() {
        logs.with_target(false).try_init()
    } else {
        logs.json().try_init()
    };
}
