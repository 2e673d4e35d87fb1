//! Structured logs on stderr: text on a terminal, JSON otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The default filter. Postgres sends a notice for each migration step that is done
/// already. h2 warns about misbehaving clients; metrics count their connections, and
/// they must not fill the log.
const DEFAULT: &str = "info,sqlx=warn,sqlx::postgres::notice=off,h2=error";

/// Starts logging. `RUST_LOG` sets the filter; the default level is `info`.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call fails harmlessly; tests make one.
    let _ = if std::io::stderr().is_terminal() {
        logs.with_target(false).try_init()
    } else {
        logs.json().try_init()
    };
}
