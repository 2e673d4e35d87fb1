//! Sends traces of LLM agents to a daemon of runtraced.
//!
//! [`Client::submit`] and [`StreamSender`] both deliver at least once: they resend whatever
//! was not acknowledged, and the daemon discards duplicates. `SpanLayer` turns spans of the
//! `tracing` crate into runs and steps (feature `spans`, on by default).
//!
//! The crate holds the protocol as well ([`proto`]), and nothing of the daemon.

/// The generated protocol, `runtraced.v1`.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    tonic::include_proto!("runtraced.v1");

    /// The encoded `FileDescriptorSet` of the protocol and of everything that it imports.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

    /// The metadata with which the HTTP endpoint answers a gRPC call: the port that takes gRPC.
    pub const GRPC_PORT_METADATA: &str = "runtraced-grpc-port";
}

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "spans"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod codec;
mod error;
mod redirect;
mod retry;
#[cfg(feature = "spans")]
pub mod spans;
mod stream;
mod submit;
#[cfg(test)]
mod tests;
mod tls;

use std::time::Duration;

use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

pub use codec::EncodedCodec;
pub use error::ClientError;
use error::tls_fault;
use retry::OutageObserver;
pub use retry::RetryPolicy;
#[cfg(feature = "spans")]
pub use spans::{SpanDelivery, SpanLayer};
pub use stream::{Refused, Settled, StreamOptions, StreamSender, Totals, Undelivered};
pub use tls::ClientTls;

/// Limit of one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that vanished without closing the connection is noticed after both together.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Flow-control windows. Acks are small, so a large window only saves round trips.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// The header that names the customer on whose behalf a call is made.
const CUSTOMER_METADATA: &str = "runtraced-customer";

/// A connection to a daemon. Clones share it. It reconnects by itself.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    retry: RetryPolicy,
    outages: OutageObserver,
    credentials: CallCredentials,
}

impl Client {
    /// Connects to `endpoint`, for example `http://127.0.0.1:4317`, and retries as `retry`
    /// says while no daemon answers there. With `https://`, a public certificate authority
    /// must have signed the daemon's certificate.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] if `endpoint` is malformed, [`ClientError::Unreachable`]
    /// if `retry` gives up, and [`ClientError::Handshake`] if the two sides cannot agree
    /// on TLS.
    pub async fn connect(endpoint: &str, retry: RetryPolicy) -> Result<Self, ClientError> {
        Self::connect_tls(endpoint, ClientTls::default(), retry).await
    }

    /// As [`Self::connect`], with certificate authorities or a certificate of your own.
    /// They are used with `https://` only.
    ///
    /// # Errors
    /// As [`Self::connect`], and [`ClientError::Tls`] if a certificate or key cannot be
    /// used.
    pub async fn connect_tls(
        endpoint: &str,
        tls: ClientTls,
        retry: RetryPolicy,
    ) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, tls, retry, OutageObserver::default()).await
    }

    /// As [`Self::connect_tls`]. The client calls `on_outage` when it begins to retry,
    /// while it connects and ever after, once per outage. `on_outage` must not block.
    ///
    /// # Errors
    /// As [`Self::connect_tls`].
    pub async fn connect_observed(
        endpoint: &str,
        tls: ClientTls,
        retry: RetryPolicy,
        on_outage: impl Fn(&ClientError) + Send + Sync + 'static,
    ) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, tls, retry, OutageObserver::new(on_outage)).await
    }

    async fn connect_with(
        endpoint: &str,
        tls: ClientTls,
        retry: RetryPolicy,
        outages: OutageObserver,
    ) -> Result<Self, ClientError> {
        let address = parse_endpoint(endpoint, tls)?;
        let mut attempts = retry.start();
        loop {
            let error = match address.connect().await {
                Ok(channel) => {
                    return Ok(Self {
                        channel,
                        retry,
                        outages,
                        credentials: CallCredentials::default(),
                    });
                }
                Err(error) => error,
            };
            let endpoint = endpoint.to_owned();
            if let Some(source) = tls_fault(&error) {
                return Err(ClientError::Handshake { endpoint, source });
            }
            let error = ClientError::Unreachable {
                endpoint,
                source: error,
            };
            let Some(delay) = attempts.next_delay(None) else {
                return Err(error);
            };
            outages.report(&mut attempts, || error);
            tokio::time::sleep(delay).await;
        }
    }

    /// The same connection, with a key of `runtraced keys create` in every call.
    ///
    /// # Errors
    /// [`ClientError::Key`] if no header can hold it.
    pub fn with_key(mut self, key: &str) -> Result<Self, ClientError> {
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", key.trim()))
            .map_err(|_| ClientError::Key)?;
        // Keeps the key out of `Debug` output and of HPACK's tables.
        value.set_sensitive(true);
        self.credentials.authorization = Some(value);
        Ok(self)
    }

    /// The same connection, on behalf of one customer: the daemon treats the events as if
    /// they came with a key bound to that customer.
    #[must_use]
    pub fn for_customer(mut self, customer: Uuid) -> Self {
        // The text of a UUID is a valid value.
        self.credentials.customer = customer.to_string().parse().ok();
        self
    }
}

/// The headers that say who calls.
#[derive(Debug, Clone, Default)]
struct CallCredentials {
    authorization: Option<AsciiMetadataValue>,
    customer: Option<AsciiMetadataValue>,
}

impl CallCredentials {
    fn sign<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        for (name, value) in [
            ("authorization", &self.authorization),
            (CUSTOMER_METADATA, &self.customer),
        ] {
            if let Some(value) = value {
                metadata.insert(name, value.clone());
            }
        }
        request
    }
}

/// Whether the address of a daemon is well formed.
///
/// # Errors
/// [`ClientError::Endpoint`] if it is not.
pub fn check_endpoint(endpoint: &str) -> Result<(), ClientError> {
    parse_endpoint(endpoint, ClientTls::default()).map(drop)
}

fn parse_endpoint(endpoint: &str, tls: ClientTls) -> Result<Endpoint, ClientError> {
    let invalid = || ClientError::Endpoint(endpoint.to_owned());
    let secure = endpoint.starts_with("https://");
    if !secure && !endpoint.starts_with("http://") {
        return Err(invalid());
    }
    let address = Endpoint::from_shared(endpoint.to_owned()).map_err(|_| invalid())?;
    let address = match secure {
        true => tls.apply(address)?,
        false => address,
    };
    Ok(address
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT))
}
