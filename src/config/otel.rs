//! Flags of the spans in which the daemon tells of its own work.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use clap::Args;

use super::values::{FlagReader, FlagValue};

/// Where programs with OpenTelemetry find the authorities that they trust.
const STANDARD_CA: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

/// Flags of the daemon's own spans.
#[derive(Args, Clone, Debug)]
pub struct OtelArgs {
    /// Collector for spans about the daemon's own work, over OTLP/gRPC, as in
    /// http://HOST:4317. Without it, none are made. Headers come from
    /// $OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, env = "RUNTRACED_OTEL_ENDPOINT", value_name = "URL")]
    pub otel_endpoint: Option<String>,
    /// With an https collector: certificates of the authorities to trust, in PEM, instead of the
    /// public ones. Default: $OTEL_EXPORTER_OTLP_CERTIFICATE.
    #[arg(long, env = "RUNTRACED_OTEL_CA", value_name = "FILE")]
    pub otel_ca: Option<PathBuf>,
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
    /// How its certificate is checked; `None`: it has none.
    pub trust: Option<CollectorTrust>,
    /// The share of work that is told.
    pub sample: f64,
    /// Work that takes as long is told in any case.
    pub slow: Duration,
}

/// Which authorities may have signed the certificate of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectorTrust {
    /// The public ones.
    Public,
    /// Those in this file, in PEM.
    File(PathBuf),
}

impl OtelArgs {
    pub(super) fn settings(&self, flags: &mut FlagReader) -> Option<OtelSettings> {
        let sample = share(flags, &self.otel_sample);
        let slow = flags.duration(&self.otel_slow, Duration::ZERO);
        // Scripts set a variable to nothing to say that it is not set.
        let endpoint = self.otel_endpoint.as_deref();
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty())?;
        let Some((address, is_https)) = collector(endpoint) else {
            flags.fault(format!(
                "--otel-endpoint {endpoint} is not a URL like http://127.0.0.1:4317"
            ));
            return None;
        };
        let given = given_file(self.otel_ca.clone());
        if let (Some(file), false) = (&given, is_https) {
            flags.fault(format!(
                "--otel-ca {} is for TLS; write https:// in --otel-endpoint {endpoint}",
                file.display()
            ));
        }
        let trust = is_https.then(|| {
            let file = given.or_else(|| given_file(env::var_os(STANDARD_CA).map(PathBuf::from)));
            file.map_or(CollectorTrust::Public, CollectorTrust::File)
        });
        Some(OtelSettings {
            endpoint: endpoint.to_owned(),
            address,
            trust,
            sample,
            slow,
        })
    }
}

/// Scripts set a variable to nothing to say that it is not set.
fn given_file(file: Option<PathBuf>) -> Option<PathBuf> {
    file.filter(|file| !file.as_os_str().is_empty())
}

fn share(flags: &mut FlagReader, value: &FlagValue) -> f64 {
    let kind = "a share from 0 to 1, like 0.01";
    let share: f64 = flags.parsed(value, kind).unwrap_or(0.0);
    if !(0.0..=1.0).contains(&share) {
        flags.fault(format!("{} {value} is not {kind}", value.name()));
    }
    share
}

/// Host and port that a URL leads to, and whether by TLS. `None`: it is no URL of a collector.
fn collector(url: &str) -> Option<((String, u16), bool)> {
    let uri: Uri = url.parse().ok()?;
    let (default_port, is_https) = match uri.scheme_str()? {
        "http" => (80, false),
        "https" => (443, true),
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(default_port);
    Some(((host.to_owned(), port), is_https))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_a_host_and_a_port() {
        let found = |host: &str, port, is_https| Some(((host.to_owned(), port), is_https));
        for (url, expected) in [
            ("http://127.0.0.1:4317", found("127.0.0.1", 4317, false)),
            (
                "https://otel.acme.example/",
                found("otel.acme.example", 443, true),
            ),
            ("HTTPS://host:1", found("host", 1, true)),
            ("http://[::1]:4317", found("::1", 4317, false)),
        ] {
            assert_eq!(collector(url), expected, "{url}");
        }
        for odd in [
            "",
            "127.0.0.1:4317",
            "ftp://host:1",
            "http://",
            "http://a b",
        ] {
            assert_eq!(collector(odd), None, "{odd}");
        }
    }
}
