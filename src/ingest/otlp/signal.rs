//! The three signals of OTLP and their names.

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
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The path of the gRPC method.
    #[must_use]
    pub fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// The signal of an HTTP path.
    ///
    /// Any prefix may precede `/v1/traces`. Each vendor has its own prefix
    /// (`/api/public/otel`, `/otel`, `/api/v1/private/otel`), and its SDK keeps
    /// the prefix when only the base URL is changed.
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

    pub(super) fn request_message(self, schema: &Schema) -> MessageId {
        match self {
            Self::Traces => schema.traces,
            Self::Logs => schema.logs,
            Self::Metrics => schema.metrics,
        }
    }

    /// The name of one record, for messages.
    #[must_use]
    pub fn record(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Logs => "log record",
            Self::Metrics => "data point",
        }
    }

    /// The JSON field of a partial success that counts refused records.
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
    fn any_prefix_may_precede_the_path() {
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
