//! Flags of the two endpoints: limits of connections and requests, and TLS.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{FlagReader, FlagValue};
use super::{MAX_COUNT, MIN_TIMEOUT};
use crate::event::MAX_JSON_DEPTH;
use crate::ingest::native::MAX_EVENTS_PER_MESSAGE;
use crate::listen::{ConnectionLimits, TlsFiles};

/// hyper's smallest buffer for a request's head.
const MIN_HEADER_BYTES: u64 = 8 << 10;
/// Each connection may hold this much before any limit on events applies.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Limits on connections and requests. They hold for both endpoints unless they say otherwise.
#[derive(Args, Clone, Debug)]
pub struct ConnectionArgs {
    /// Open connections per endpoint. Further ones are closed at once. With
    /// --require-keys, connections without a key give way first.
    #[arg(
        long,
        env = "RUNTRACED_MAX_CONNECTIONS",
        default_value = "2048",
        value_name = "N"
    )]
    pub max_connections: FlagValue,
    /// Open requests and streams over all connections. Requests that need no key, such
    /// as health and metrics, have limits of their own.
    #[arg(
        long,
        env = "RUNTRACED_MAX_STREAMS",
        default_value = "16384",
        value_name = "N"
    )]
    pub max_streams: FlagValue,
    /// Open HTTP/2 streams per connection. Clients hold further ones back.
    #[arg(
        long,
        env = "RUNTRACED_MAX_STREAMS_PER_CONNECTION",
        default_value = "2048",
        value_name = "N"
    )]
    pub max_streams_per_connection: FlagValue,
    /// Largest headers of a request.
    #[arg(
        long,
        env = "RUNTRACED_MAX_HEADER_BYTES",
        default_value = "16KiB",
        value_name = "SIZE"
    )]
    pub max_header_bytes: FlagValue,
    /// HTTP/2 streams of a connection that a client may reset before the daemon handles
    /// them. One more closes the connection.
    #[arg(
        long,
        env = "RUNTRACED_MAX_PENDING_RESETS",
        default_value = "100",
        value_name = "N"
    )]
    pub max_pending_resets: FlagValue,
    /// Time for a connection to send its first bytes, TLS included; in HTTP/1 also for
    /// the head of each request.
    #[arg(
        long,
        env = "RUNTRACED_HANDSHAKE_TIMEOUT",
        default_value = "10s",
        value_name = "DURATION"
    )]
    pub handshake_timeout: FlagValue,
    /// Time after which a connection without traffic is closed. Clients that answer
    /// HTTP/2 pings are never idle.
    #[arg(
        long,
        env = "RUNTRACED_IDLE_TIMEOUT",
        default_value = "120s",
        value_name = "DURATION"
    )]
    pub idle_timeout: FlagValue,
    /// Time to receive a whole message after its first byte, and for a client to
    /// receive its acks.
    #[arg(
        long,
        env = "RUNTRACED_RECEIVE_TIMEOUT",
        default_value = "30s",
        value_name = "DURATION"
    )]
    pub receive_timeout: FlagValue,
    /// Most events in a native message.
    #[arg(
        long,
        env = "RUNTRACED_MAX_MESSAGE_EVENTS",
        default_value_t = MAX_EVENTS_PER_MESSAGE.into(),
        value_name = "N"
    )]
    pub max_message_events: FlagValue,
    /// Most nested levels of JSON in a native event.
    #[arg(
        long,
        env = "RUNTRACED_MAX_JSON_DEPTH",
        default_value_t = MAX_JSON_DEPTH.into(),
        value_name = "N"
    )]
    pub max_json_depth: FlagValue,
    /// Time between HTTP/2 pings.
    #[arg(
        long,
        env = "RUNTRACED_KEEPALIVE_INTERVAL",
        default_value = "30s",
        value_name = "DURATION"
    )]
    pub keepalive_interval: FlagValue,
    /// Time for a client to answer a ping.
    #[arg(
        long,
        env = "RUNTRACED_KEEPALIVE_TIMEOUT",
        default_value = "20s",
        value_name = "DURATION"
    )]
    pub keepalive_timeout: FlagValue,
}

/// TLS for both endpoints. The files are PEM and are reloaded when they change.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// Certificate chain for TLS on both endpoints, in PEM. Reloaded when it changes.
    #[arg(long, env = "RUNTRACED_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert, in PEM. Reloaded when it changes.
    #[arg(long, env = "RUNTRACED_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Require client certificates that these authorities signed, in PEM (mutual TLS).
    #[arg(long, env = "RUNTRACED_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

impl TlsArgs {
    pub(super) fn files(&self, flags: &mut FlagReader) -> Option<TlsFiles> {
        // Scripts set a variable to nothing to say that it is not set.
        let [cert, key, client_ca] = [&self.tls_cert, &self.tls_key, &self.tls_client_ca]
            .map(|file| file.clone().filter(|file| !file.as_os_str().is_empty()));
        match (cert, key, client_ca) {
            (Some(cert), Some(key), client_ca) => {
                return Some(TlsFiles {
                    cert,
                    key,
                    client_ca,
                });
            }
            (None, None, None) => {}
            (Some(_), None, _) => flags.fault("--tls-cert needs --tls-key"),
            (None, Some(_), _) => flags.fault("--tls-key needs --tls-cert"),
            (None, None, Some(_)) => flags.fault("--tls-client-ca needs --tls-cert and --tls-key"),
        }
        None
    }
}

impl ConnectionArgs {
    pub(super) fn limits(&self, flags: &mut FlagReader) -> ConnectionLimits {
        let header_bytes = flags.size(&self.max_header_bytes, MIN_HEADER_BYTES..=MAX_HEADER_BYTES);
        let faults_before = flags.fault_count();
        let keepalive_interval = flags.duration(&self.keepalive_interval, MIN_TIMEOUT);
        let keepalive_timeout = flags.duration(&self.keepalive_timeout, MIN_TIMEOUT);
        let idle_timeout = flags.duration(&self.idle_timeout, Duration::ZERO);
        let all_valid = flags.fault_count() == faults_before;
        if all_valid && idle_timeout < keepalive_interval + keepalive_timeout {
            flags.fault(format!(
                "{} {} is shorter than {} {} and {} {} together: clients that answer pings \
                 would count as idle",
                self.idle_timeout.name(),
                self.idle_timeout,
                self.keepalive_interval.name(),
                self.keepalive_interval,
                self.keepalive_timeout.name(),
                self.keepalive_timeout,
            ));
        }
        let streams_per_connection = flags.integer(&self.max_streams_per_connection, 1..=MAX_COUNT);
        ConnectionLimits {
            connections: flags.integer(&self.max_connections, 1..=MAX_COUNT),
            streams_per_connection: u32::try_from(streams_per_connection).unwrap_or(u32::MAX),
            header_bytes: u32::try_from(header_bytes).unwrap_or(u32::MAX),
            pending_resets: flags.integer(&self.max_pending_resets, 1..=MAX_COUNT),
            handshake_timeout: flags.duration(&self.handshake_timeout, MIN_TIMEOUT),
            idle_timeout,
            keepalive_interval,
            keepalive_timeout,
        }
    }
}
