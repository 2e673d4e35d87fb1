//! Flags of the spans in which the daemon tells of its own work.

use std::time::Duration;

use axum::http::Uri;
use clap::Args;

use super::values::{FlagReader, FlagValue};

/// Flags of the daemon's own spans.
#[derive(Args, Clone, Debug)]
pub struct OtelArgs {
    /// Collector for spans about the daemon's own work, over OTLP/gRPC, as in
    /// http://HOST:4317. Without it, none are made. Headers come from
    /// $OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, env = "RUNTRACED_OTEL_ENDPOINT", value_name = "URL")]
    pub otel_endpoint: Option<String>,
    /// Share of requests, replays and sweeps that are told, from 0 to 1. Slow and failed ones
    /// always are.
    #[arg(
        long,
        env = "RUNTRACED_OTEL_SAMPLE",
        default_value = "0.01",
        value_name = "SHARE"
    )]
    pub otel_sample: FlagValue,
    /// Time from which on a request, a transaction or a sweep counts as slow.
    #[arg(
        long,
        env = "RUNTRACED_OTEL_SLOW",
        default_value = "1s",
        value_name = "DURATION"
    )]
    pub otel_slow: FlagValue,
}

/// Settings of the daemon's own spans.
#[derive(Clone, Debug, PartialEq)]
pub struct OtelSettings {
    /// The URL of the collector.
    pub endpoint: String,
    /// Its host and port.
    pub address: (String, u16),
    /// The share of work that is told.
    pub sample: f64,
    /// Work that takes as long is told in any case.
    pub slow: Duration,
}

impl OtelArgs {
    pub(super) fn settings(&self, flags: &mut FlagReader) -> Option<OtelSettings> {
        let sample = share(flags, &self.otel_sample);
        let slow = flags.duration(&self.otel_slow, Duration::ZERO);
        // Scripts set a variable to nothing to say that it is not set.
        let endpoint = self.otel_endpoint.as_deref();
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty())?;
        let Some(address) = host_and_port(endpoint) else {
            flags.fault(format!(
                "--otel-endpoint {endpoint} is not a URL like http://127.0.0.1:4317"
            ));
            return None;
        };
        Some(OtelSettings {
            endpoint: endpoint.to_owned(),
            address,
            sample,
            slow,
        })
    }
}

fn share(flags: &mut FlagReader, value: &FlagValue) -> f64 {
    let kind = "a share from 0 to 1, like 0.01";
    let share: f64 = flags.parsed(value, kind).unwrap_or(0.0);
    if !(0.0..=1.0).contains(&share) {
        flags.fault(format!("{} {value} is not {kind}", value.name()));
    }
    share
}

/// What a URL leads to. `None`: it is no URL of a collector.
fn host_and_port(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let default_port = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), uri.port_u16().unwrap_or(default_port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_a_host_and_a_port() {
        let read = |url| host_and_port(url);
        let found = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(read("http://127.0.0.1:4317"), found("127.0.0.1", 4317));
        assert_eq!(
            read("https://otel.acme.example/"),
            found("otel.acme.example", 443)
        );
        assert_eq!(read("http://[::1]:4317"), found("::1", 4317));
        for odd in [
            "",
            "127.0.0.1:4317",
            "ftp://host:1",
            "http://",
            "http://a b",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
