//! Structured logs on stderr: text on a terminal, JSON otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// sqlx logs a notice for each migration that finds its work done. What h2 warns
/// of is what clients do: connections that end for it are counted, and must not
/// fill the logs.
const DEFAULT: &str = "info,sqlx=warn,sqlx::postgres::notice=off,h2=error";

/// Starts logging; `RUST_LOG` chooses what, `info` by default.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
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
