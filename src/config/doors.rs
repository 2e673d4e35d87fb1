//! The flags of the doors: limits of connections and requests, and TLS.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::event::MAX_JSON_DEPTH;
use crate::ingest::native::MAX_EVENTS_PER_MESSAGE;
use crate::listen::{ConnectionLimits, TlsFiles};

/// Limits at the doors. Each is for both of them where it says nothing else.
#[derive(Args, Clone, Copy, Debug)]
pub struct DoorArgs {
    /// Connections of each door at a time; more are closed at once.
    #[arg(
        long,
        env = "RUNTRACED_MAX_CONNECTIONS",
        default_value_t = 2_048,
        value_name = "N"
    )]
    pub max_connections: usize,
    /// Requests and streams that may be open at a time, over all connections.
    #[arg(
        long,
        env = "RUNTRACED_MAX_STREAMS",
        default_value_t = 16_384,
        value_name = "N"
    )]
    pub max_streams: usize,
    /// HTTP/2 streams of one connection at a time; clients keep more waiting.
    #[arg(
        long,
        env = "RUNTRACED_MAX_STREAMS_PER_CONNECTION",
        default_value_t = 2_048,
        value_name = "N"
    )]
    pub max_streams_per_connection: usize,
    /// Bytes of a request's headers.
    #[arg(long, env = "RUNTRACED_MAX_HEADER_BYTES", default_value_t = 16 << 10, value_name = "BYTES")]
    pub max_header_bytes: usize,
    /// Streams of a connection that a client may reset before they are looked at;
    /// beyond it the connection ends.
    #[arg(
        long,
        env = "RUNTRACED_MAX_PENDING_RESETS",
        default_value_t = 100,
        value_name = "N"
    )]
    pub max_pending_resets: usize,
    /// Seconds within which a connection must bring its first bytes, TLS
    /// included, and HTTP/1 the head of each request.
    #[arg(
        long,
        env = "RUNTRACED_HANDSHAKE_TIMEOUT",
        default_value_t = 10.0,
        value_name = "SECONDS"
    )]
    pub handshake_timeout: f64,
    /// Seconds after which a connection without a byte is closed. Clients that
    /// answer HTTP/2 pings are never idle.
    #[arg(
        long,
        env = "RUNTRACED_IDLE_TIMEOUT",
        default_value_t = 120.0,
        value_name = "SECONDS"
    )]
    pub idle_timeout: f64,
    /// Seconds within which a message must have come whole, from its first
    /// byte on, and within which a client must take its acks.
    #[arg(
        long,
        env = "RUNTRACED_RECEIVE_TIMEOUT",
        default_value_t = 30.0,
        value_name = "SECONDS"
    )]
    pub receive_timeout: f64,
    /// Events of one native message.
    #[arg(
        long,
        env = "RUNTRACED_MAX_MESSAGE_EVENTS",
        default_value_t = MAX_EVENTS_PER_MESSAGE,
        value_name = "N"
    )]
    pub max_message_events: usize,
    /// Levels of JSON in a native event.
    #[arg(
        long,
        env = "RUNTRACED_MAX_JSON_DEPTH",
        default_value_t = MAX_JSON_DEPTH,
        value_name = "N"
    )]
    pub max_json_depth: usize,
    /// Seconds between HTTP/2 pings.
    #[arg(
        long,
        env = "RUNTRACED_KEEPALIVE_INTERVAL",
        default_value_t = 30.0,
        value_name = "SECONDS"
    )]
    pub keepalive_interval: f64,
    /// Seconds within which a client must answer one.
    #[arg(
        long,
        env = "RUNTRACED_KEEPALIVE_TIMEOUT",
        default_value_t = 20.0,
        value_name = "SECONDS"
    )]
    pub keepalive_timeout: f64,
}

/// TLS at both doors. The files are PEM, and read again when they change.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// Certificate chain for TLS at both doors, in PEM; read again when it changes.
    #[arg(long, env = "RUNTRACED_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert, in PEM.
    #[arg(long, env = "RUNTRACED_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Clients must show a certificate from these roots, in PEM (mutual TLS).
    #[arg(long, env = "RUNTRACED_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

impl TlsArgs {
    pub(super) fn files(&self, faults: &mut Vec<String>) -> Option<TlsFiles> {
        // Set but empty is how scripts say that a variable is not set.
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
            (Some(_), None, _) => faults.push("--tls-cert needs --tls-key".into()),
            (None, Some(_), _) => faults.push("--tls-key needs --tls-cert".into()),
            (None, None, Some(_)) => {
                faults.push("--tls-client-ca needs --tls-cert and --tls-key".into());
            }
        }
        None
    }
}

impl DoorArgs {
    /// Flags that are counts, each with its least and greatest value.
    pub(super) fn counts(&self) -> [(&'static str, usize, usize, usize); 7] {
        [
            ("--max-connections", self.max_connections, 1, 1_000_000),
            ("--max-streams", self.max_streams, 1, 1_000_000),
            (
                "--max-streams-per-connection",
                self.max_streams_per_connection,
                1,
                1_000_000,
            ),
            // hyper takes no smaller buffer.
            ("--max-header-bytes", self.max_header_bytes, 8_192, 16 << 20),
            (
                "--max-pending-resets",
                self.max_pending_resets,
                1,
                1_000_000,
            ),
            (
                "--max-message-events",
                self.max_message_events,
                1,
                MAX_EVENTS_PER_MESSAGE,
            ),
            ("--max-json-depth", self.max_json_depth, 1, MAX_JSON_DEPTH),
        ]
    }

    /// The limits, once the counts are known to be valid.
    pub(super) fn limits(
        &self,
        mut seconds: impl FnMut(&str, f64, f64) -> Duration,
    ) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.max_connections,
            streams_per_connection: u32::try_from(self.max_streams_per_connection)
                .unwrap_or(u32::MAX),
            header_bytes: u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX),
            pending_resets: self.max_pending_resets,
            handshake_timeout: seconds("--handshake-timeout", self.handshake_timeout, 0.05),
            // A client that answers pings must never look idle.
            idle_timeout: seconds(
                "--idle-timeout",
                self.idle_timeout,
                self.keepalive_interval + self.keepalive_timeout,
            ),
            keepalive_interval: seconds("--keepalive-interval", self.keepalive_interval, 0.05),
            keepalive_timeout: seconds("--keepalive-timeout", self.keepalive_timeout, 0.05),
        }
    }
}
