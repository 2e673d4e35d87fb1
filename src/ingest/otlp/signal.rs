//! The three signals, and what each is called where.

use super::wire::{MessageId, Schema};

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The method's path in gRPC.
    #[must_use]
    pub fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// The signal that a path in HTTP stands for.
    ///
    /// What comes before `/v1/traces` does not matter: each vendor has its own
    /// (`/api/public/otel`, `/otel`, `/api/v1/private/otel`), and an SDK that
    /// was pointed here by its base URL alone keeps it.
    #[must_use]
    pub fn of_http_path(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let (_, name) = path.rsplit_once("/v1/")?;
        match name {
            "traces" => Some(Self::Traces),
            "logs" => Some(Self::Logs),
            "metrics" => Some(Self::Metrics),
            _ => None,
        }
    }

    pub(super) fn request(self, schema: &Schema) -> MessageId {
        match self {
            Self::Traces => schema.traces,
            Self::Logs => schema.logs,
            Self::Metrics => schema.metrics,
        }
    }

    /// What one of its records is called.
    #[must_use]
    pub fn record(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Logs => "log record",
            Self::Metrics => "data point",
        }
    }

    /// The field of a partial success, in protobuf's JSON, that counts what was refused.
    pub(super) fn rejected_field(self) -> &'static str {
        match self {
            Self::Traces => "rejectedSpans",
            Self::Logs => "rejectedLogRecords",
            Self::Metrics => "rejectedDataPoints",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_path_does_not_matter() {
        for prefix in [
            "",
            "/",
            "/api/public/otel",
            "/otel",
            "/api/v1/otel",
            "/opik/api/v1/private/otel",
        ] {
            let path = |name: &str| format!("{prefix}/v1/{name}");
            assert_eq!(Signal::of_http_path(&path("traces")), Some(Signal::Traces));
            assert_eq!(Signal::of_http_path(&path("logs/")), Some(Signal::Logs));
            assert_eq!(
                Signal::of_http_path(&path("metrics")),
                Some(Signal::Metrics)
            );
        }
        for path in [
            "",
            "/",
            "/v1",
            "/v1/trace",
            "/metrics",
            "/v1/traces/x",
            "v1/traces",
        ] {
            assert_eq!(Signal::of_http_path(path), None, "{path}");
        }
    }
}
