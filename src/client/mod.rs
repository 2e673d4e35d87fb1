//! A client of `TraceIngest`, for the command line, the benchmarks and anyone
//! who writes an agent runtime in Rust.
//!
//! Both ways of sending deliver at least once: what was not acknowledged is
//! sent again, which the daemon makes harmless. A batch is encoded once,
//! however often it is sent.
//!
//! Nothing of the daemon belongs here but the protocol.

pub(crate) mod codec;
mod error;
mod retry;
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

pub use error::ClientError;
pub use retry::RetryPolicy;
pub use spans::{SpanDelivery, SpanLayer};
pub use stream::{Refused, Settled, StreamOptions, StreamSender, Totals, Undelivered};
pub use tls::ClientTls;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that vanished without a word is noticed after the sum of these.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Flow-control windows; acks are small, so this only spares round trips.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// The customer on whose behalf a call is made.
const CUSTOMER_METADATA: &str = "runtraced-customer";

/// A connection to a daemon, shared by all that are cloned from it. It
/// reconnects by itself.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    retry: RetryPolicy,
    credentials: Credentials,
}

impl Client {
    /// Connects to `endpoint`, for example `http://127.0.0.1:4317`; tries
    /// again as `retry` says while nobody listens there. With `https://` the
    /// daemon's certificate must come from a public root.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] where `endpoint` is no address, and
    /// [`ClientError::Unreachable`] when `retry` gives up.
    pub async fn connect(endpoint: &str, retry: RetryPolicy) -> Result<Self, ClientError> {
        Self::connect_tls(endpoint, ClientTls::default(), retry).await
    }

    /// The same with roots, or a certificate, of one's own. They are used with
    /// `https://` only.
    ///
    /// # Errors
    /// As [`Self::connect`], and [`ClientError::Tls`] where a certificate or key
    /// cannot be used.
    pub async fn connect_tls(
        endpoint: &str,
        tls: ClientTls,
        retry: RetryPolicy,
    ) -> Result<Self, ClientError> {
        let address = parse_endpoint(endpoint, tls)?;
        let mut attempts = retry.start();
        loop {
            match address.connect().await {
                Ok(channel) => {
                    return Ok(Self {
                        channel,
                        retry,
                        credentials: Credentials::default(),
                    });
                }
                Err(error) => match attempts.next_delay(None) {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => {
                        return Err(ClientError::Unreachable {
                            endpoint: endpoint.to_owned(),
                            source: error,
                        });
                    }
                },
            }
        }
    }
}

impl Client {
    /// The same connection, with a key of `runtraced keys create` in every call.
    ///
    /// # Errors
    /// [`ClientError::Key`] where no header can hold it.
    pub fn with_key(mut self, key: &str) -> Result<Self, ClientError> {
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", key.trim()))
            .map_err(|_| ClientError::Key)?;
        // Shown by no `Debug`, and kept out of HPACK's tables.
        value.set_sensitive(true);
        self.credentials.authorization = Some(value);
        Ok(self)
    }

    /// The same connection, on behalf of one customer: the daemon takes what is sent
    /// as if it came with a key of that customer.
    #[must_use]
    pub fn for_customer(mut self, customer: Uuid) -> Self {
        // The text of a UUID is a valid value.
        self.credentials.customer = customer.to_string().parse().ok();
        self
    }
}

/// Who calls.
#[derive(Debug, Clone, Default)]
struct Credentials {
    authorization: Option<AsciiMetadataValue>,
    customer: Option<AsciiMetadataValue>,
}

impl Credentials {
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
