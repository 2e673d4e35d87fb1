//! Logs, metrics and readiness of the daemon.

mod health;
mod http;
mod logs;
mod metrics;

pub use health::{Readiness, watch_database};
pub use http::router;
pub use logs::init_logs;
pub use metrics::Metrics;
