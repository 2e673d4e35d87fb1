//! Handles one request of either protocol: decode, admit, wait, answer.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Accepted, ExportError};
use super::decode::{Decoded, Encoding, decode};
use super::wire::{Schema, SchemaError};
use super::{MapOptions, OtlpCounts, Signal};
use crate::auth::Identity;
use crate::histograms::{BatchSource, IngestEndpoint};
use crate::ingest::RepairCounts;
use crate::ingest::body::{BodyBudget, BodyError, Compression, ReadBody, decompress};
use crate::ingest::settle::{Unsettled, admit, settled};
use crate::pipeline::{Batch, Durability, Pipeline};

/// The timeout of a request whose client names no deadline. Exporters give up
/// after 10 s (`OTEL_EXPORTER_OTLP_TIMEOUT`), and many of them then drop the
/// request. An error before that makes them retry.
const DEFAULT_CLIENT_TIMEOUT: Duration = Duration::from_secs(8);
/// Requests of this size or more are decoded on blocking threads, so that they
/// do not delay other connections.
const LARGE_BYTES: usize = 256 << 10;
/// A compressed request is large from this fraction of [`LARGE_BYTES`] on:
/// telemetry rarely compresses to less than a twentieth.
const COMPRESSED_FRACTION: usize = 16;
/// Limits the memory and CPU that large requests take.
const MAX_LARGE_AT_ONCE: usize = 2;
/// The structure of a request may take this multiple of the bytes of the
/// largest message.
const STRUCTURE_PER_MESSAGE_BYTE: usize = 2;

/// The settings and shared state of the OTLP endpoints.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// Receives the events. Weak, because the pipeline stops when its owner
    /// drops it.
    pub pipeline: Weak<Pipeline>,
    /// Counts the outcomes of spans.
    pub counts: Arc<OtlpCounts>,
    /// Counts repairs.
    pub repairs: Arc<RepairCounts>,
    /// The options of the mapping.
    pub options: MapOptions,
    /// The largest body, before and after decompression.
    pub max_message_bytes: usize,
    /// The budget for all bodies in memory.
    pub body_budget_bytes: usize,
    /// The time within which a whole body must arrive.
    pub receive_timeout: Duration,
    /// The time within which a request must be settled. After that, the client
    /// is told to retry.
    pub submit_timeout: Duration,
    /// Cancelled when the daemon stops accepting requests.
    pub draining: CancellationToken,
    /// Tracks the requests in progress.
    pub tasks: TaskTracker,
}

/// A request whose body was read.
pub struct OtlpBody {
    /// Where it arrived.
    pub endpoint: IngestEndpoint,
    /// What it holds.
    pub signal: Signal,
    /// How that is encoded.
    pub encoding: Encoding,
    /// How the body is compressed.
    pub compression: Compression,
    /// The body.
    pub body: ReadBody,
}

/// Handles OTLP requests. The gRPC and the HTTP endpoint share it.
#[derive(Clone, Debug)]
pub struct OtlpIngest {
    config: Arc<OtlpConfig>,
    schema: Arc<Schema>,
    bodies: BodyBudget,
    large_requests: Arc<Semaphore>,
}

impl OtlpIngest {
    /// A handler with these settings.
    ///
    /// # Errors
    /// If the descriptors of the protocol are unusable, which is a bug of the build.
    pub fn new(config: OtlpConfig) -> Result<Self, SchemaError> {
        Ok(Self {
            schema: Arc::new(Schema::new()?),
            bodies: BodyBudget::new(
                config.body_budget_bytes.max(config.max_message_bytes),
                config.receive_timeout,
            ),
            large_requests: Arc::new(Semaphore::new(MAX_LARGE_AT_ONCE)),
            config: Arc::new(config),
        })
    }

    /// Reads the body of one message. `framing_bytes` is the size of the
    /// protocol's frame around the message. While earlier events of the client are being
    /// isolated, it waits.
    ///
    /// # Errors
    /// The error for the client. [`Unsettled::ShuttingDown`] if the daemon drains.
    pub async fn read_body(
        &self,
        identity: &Identity,
        body: Body,
        framing_bytes: usize,
    ) -> Result<ReadBody, ExportError> {
        let config = &self.config;
        let limit = config.max_message_bytes;
        let pipeline = config.pipeline.upgrade().ok_or(Unsettled::ShuttingDown)?;
        let suspects = pipeline.suspects();
        drop(pipeline);
        let read = async {
            let waited = suspects.wait(identity.connection());
            tokio::time::timeout(config.submit_timeout, waited)
                .await
                .map_err(|_| Unsettled::CommitTimeout)?;
            Ok::<_, ExportError>(self.bodies.read(body, limit + framing_bytes).await?)
        };
        let read = tokio::select! {
            biased;
            () = config.draining.cancelled() => return Err(Unsettled::ShuttingDown.into()),
            read = read => read?,
        };
        read.map_err(|error| match error {
            BodyError::TooLarge { .. } => BodyError::TooLarge { limit }.into(),
            error => error.into(),
        })
    }

    /// Handles one request. Returns when all its events are durable or refused.
    ///
    /// # Errors
    /// The error for the client.
    pub async fn export(
        &self,
        identity: &Identity,
        body: OtlpBody,
        deadline: Option<Duration>,
    ) -> Result<Accepted, ExportError> {
        let settling = self.settle(identity, body, deadline);
        self.config.tasks.track_future(settling).await
    }

    async fn settle(
        &self,
        identity: &Identity,
        body: OtlpBody,
        deadline: Option<Duration>,
    ) -> Result<Accepted, ExportError> {
        let source = BatchSource::now(body.endpoint);
        let config = &self.config;
        if config.draining.is_cancelled() {
            return Err(Unsettled::ShuttingDown.into());
        }
        let pipeline = config.pipeline.upgrade().ok_or(Unsettled::ShuttingDown)?;
        let (signal, body_bytes) = (body.signal, body.body.bytes.len());
        let options = MapOptions {
            tenant: identity.tenant(),
            ..config.options.clone()
        };
        let histograms = pipeline.histograms();
        let (mut decoded, message_bytes) = self.decode(options, body).await?;
        histograms.request(source.endpoint, message_bytes);
        let mut batch = Batch {
            client: identity.connection(),
            events: std::mem::take(&mut decoded.mapped.events),
            refused: Vec::new(),
            source,
        };
        if let Some(tenant) = identity.tenant() {
            let events = batch.events.iter_mut();
            events.for_each(|(_, event)| event.assign_tenant(tenant));
        }
        // Records that make no events have a cost too.
        let records = usize::try_from(decoded.records).unwrap_or(usize::MAX);
        identity.charge(batch.events.len().max(records), || {
            batch.weight_bytes().max(body_bytes)
        });
        let refused = if batch.events.is_empty() {
            self.count(signal, &decoded);
            Vec::new()
        } else {
            let ticket = admit(&pipeline, batch, Durability::Spooled)?;
            drop(pipeline);
            // An admitted batch is written even if this client times out.
            self.count(signal, &decoded);
            let timeout = config
                .submit_timeout
                .min(deadline.unwrap_or(DEFAULT_CLIENT_TIMEOUT));
            settled(ticket, timeout).await?.refused
        };
        Ok(Accepted::new(signal, &decoded, &refused))
    }

    /// Decompresses, decodes and maps a body. Large bodies go to blocking
    /// threads, a few at a time: the work does not yield, and it holds several
    /// copies of the request in memory. Returns the size of the message, too.
    async fn decode(
        &self,
        options: MapOptions,
        request: OtlpBody,
    ) -> Result<(Decoded, usize), ExportError> {
        let OtlpBody {
            signal,
            encoding,
            compression,
            body,
            ..
        } = request;
        let limit = self.config.max_message_bytes;
        let schema = self.schema.clone();
        let work = move |bytes: &[u8]| {
            let structure = limit.saturating_mul(STRUCTURE_PER_MESSAGE_BYTE);
            let decoded = decode(&schema, signal, encoding, bytes, &options, structure)?;
            Ok::<_, ExportError>((decoded, bytes.len()))
        };
        let small = match compression {
            Compression::Identity => body.bytes.len() < LARGE_BYTES,
            _ => body.bytes.len() < LARGE_BYTES / COMPRESSED_FRACTION,
        };
        if small {
            let inline_limit = LARGE_BYTES.min(limit);
            let bytes = match decompress(compression, body.bytes.clone(), inline_limit) {
                Ok(bytes) => Some(bytes),
                // It decompresses to a large request.
                Err(BodyError::TooLarge { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(bytes) = bytes {
                return work(&bytes);
            }
        }
        let _permit = self
            .large_requests
            .acquire()
            .await
            .map_err(|_| ExportError::Internal)?;
        tokio::task::spawn_blocking(move || {
            let bytes: Bytes = decompress(compression, body.bytes.clone(), limit)?;
            work(&bytes)
        })
        .await
        .unwrap_or(Err(ExportError::Internal))
    }

    fn count(&self, signal: Signal, decoded: &Decoded) {
        let config = &self.config;
        config.counts.add(signal, &decoded.mapped.outcomes);
        let unknown = &decoded.mapped.not_understood;
        for scope in config.counts.add_not_understood(unknown, Instant::now()) {
            tracing::warn!(
                scope,
                "spans of this scope look like an agent's work but were not understood: see \
                 `runtraced explain`, and add a dialect with --otlp-dialects"
            );
        }
        config.repairs.add(decoded.mapped.repairs);
        let truncated = decoded.mapped.truncated;
        config.repairs.add_from_wire(decoded.repairs, truncated);
    }
}
