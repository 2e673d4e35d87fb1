//! Logs, metrics, readiness and own spans of the daemon.

mod health;
mod http;
mod logs;
mod metrics;
mod span_data;
mod span_export;

pub use health::{Readiness, ServerReadiness, watch_database};
pub use http::router;
pub use logs::init_logs;
pub use metrics::{Metrics, ServerSources};
pub use span_export::{CollectorTls, SpanExport};
