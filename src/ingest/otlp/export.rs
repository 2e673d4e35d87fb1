//! One request, whatever it came by: decode, admit, wait, answer.

use std::sync::{Arc, Weak};
use std::time::Duration;

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
use crate::ingest::RepairCounts;
use crate::ingest::body::{BodyBudget, BodyError, Compression, ReadBody, decompress};
use crate::ingest::settle::{Unsettled, admit, settled};
use crate::pipeline::{Batch, Durability, Pipeline};

/// Exporters give up after 10 s (`OTEL_EXPORTER_OTLP_TIMEOUT`), many of them
/// for good. Who is answered before that tries again. Where a client says how
/// long it waits, that counts instead.
const EXPORTER_TIMEOUT: Duration = Duration::from_secs(8);
/// Requests from this size on are worked on beside the threads that serve
/// connections, so many at once.
const LARGE_BYTES: usize = 256 << 10;
const LARGE_AT_ONCE: usize = 2;
/// What a request holds in memory beside its text may be so many times what its
/// text may be.
const STRUCTURE_PER_MESSAGE: usize = 2;

/// What the doors are given.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// Where events go. Weak, for the pipeline ends when its owner lets go.
    pub pipeline: Weak<Pipeline>,
    /// What became of spans.
    pub counts: Arc<OtlpCounts>,
    /// What was repaired.
    pub repairs: Arc<RepairCounts>,
    /// For the mapping.
    pub options: MapOptions,
    /// The largest body, compressed or not.
    pub max_message_bytes: usize,
    /// Bytes of bodies that may be in memory at once.
    pub body_budget_bytes: usize,
    /// A body must come whole within this.
    pub receive_timeout: Duration,
    /// A request that is not settled after this is told to come again.
    pub submit_timeout: Duration,
    /// Cancelled when no more is to be taken in.
    pub draining: CancellationToken,
    /// Follows the requests that are being answered.
    pub tasks: TaskTracker,
}

/// The doors' common inside.
#[derive(Clone, Debug)]
pub struct OtlpIngest {
    config: Arc<OtlpConfig>,
    schema: Arc<Schema>,
    bodies: BodyBudget,
    large: Arc<Semaphore>,
}

impl OtlpIngest {
    /// # Errors
    /// When the protocol's descriptors cannot be used: a fault of the build.
    pub fn new(config: OtlpConfig) -> Result<Self, SchemaError> {
        Ok(Self {
            schema: Arc::new(Schema::new()?),
            bodies: BodyBudget::new(
                config.body_budget_bytes.max(config.max_message_bytes),
                config.receive_timeout,
            ),
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            config: Arc::new(config),
        })
    }

    /// Reads a body of one message, which the protocol puts in so many bytes
    /// of its own, unless the daemon drains.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn read(&self, body: Body, framing_bytes: usize) -> Result<ReadBody, ExportError> {
        let limit = self.config.max_message_bytes;
        let read = tokio::select! {
            biased;
            () = self.config.draining.cancelled() => return Err(Unsettled::ShuttingDown.into()),
            read = self.bodies.read(body, limit + framing_bytes) => read?,
        };
        read.map_err(|error| match error {
            BodyError::TooLarge { .. } => BodyError::TooLarge { limit }.into(),
            error => error.into(),
        })
    }

    /// Takes one request; done when all of it is durable or refused.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn export(
        &self,
        identity: &Identity,
        signal: Signal,
        encoding: Encoding,
        compression: Compression,
        body: ReadBody,
        deadline: Option<Duration>,
    ) -> Result<Accepted, ExportError> {
        let settling = self.settle(identity, signal, encoding, compression, body, deadline);
        self.config.tasks.track_future(settling).await
    }

    async fn settle(
        &self,
        identity: &Identity,
        signal: Signal,
        encoding: Encoding,
        compression: Compression,
        body: ReadBody,
        deadline: Option<Duration>,
    ) -> Result<Accepted, ExportError> {
        let config = &self.config;
        if config.draining.is_cancelled() {
            return Err(Unsettled::ShuttingDown.into());
        }
        let pipeline = config.pipeline.upgrade().ok_or(Unsettled::ShuttingDown)?;
        let body_bytes = body.bytes.len();
        let options = MapOptions {
            tenant: identity.tenant(),
            ..config.options.clone()
        };
        let mut decoded = self
            .decode(options, signal, encoding, compression, body)
            .await?;
        let mut batch = Batch {
            events: std::mem::take(&mut decoded.mapped.events),
            refused: Vec::new(),
        };
        if let Some(tenant) = identity.tenant() {
            let events = batch.events.iter_mut();
            events.for_each(|(_, event)| event.assign_tenant(tenant));
        }
        // What makes no event has cost something all the same.
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
            // What is admitted is written, whether or not that is soon enough
            // for this client.
            self.count(signal, &decoded);
            let timeout = config
                .submit_timeout
                .min(deadline.unwrap_or(EXPORTER_TIMEOUT));
            settled(ticket, timeout).await?.refused
        };
        Ok(Accepted::new(signal, &decoded, &refused))
    }

    /// Decompressing, decoding and mapping are work without a pause, and while
    /// they last the request is in memory several times over.
    async fn decode(
        &self,
        options: MapOptions,
        signal: Signal,
        encoding: Encoding,
        compression: Compression,
        body: ReadBody,
    ) -> Result<Decoded, ExportError> {
        let limit = self.config.max_message_bytes;
        let schema = self.schema.clone();
        let work = move |bytes: &[u8]| {
            decode(
                &schema,
                signal,
                encoding,
                bytes,
                &options,
                limit.saturating_mul(STRUCTURE_PER_MESSAGE),
            )
        };
        // Compressed telemetry is rarely smaller than a twentieth.
        let small = match compression {
            Compression::Identity => body.bytes.len() < LARGE_BYTES,
            _ => body.bytes.len() < LARGE_BYTES / 16,
        };
        if small {
            let most = LARGE_BYTES.min(limit);
            let bytes = match decompress(compression, body.bytes.clone(), most) {
                Ok(bytes) => Some(bytes),
                Err(BodyError::TooLarge { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(bytes) = bytes {
                return Ok(work(&bytes)?);
            }
        }
        let _turn = self
            .large
            .acquire()
            .await
            .map_err(|_| ExportError::Internal)?;
        tokio::task::spawn_blocking(move || {
            let bytes: Bytes = decompress(compression, body.bytes.clone(), limit)?;
            Ok(work(&bytes)?)
        })
        .await
        .unwrap_or(Err(ExportError::Internal))
    }

    fn count(&self, signal: Signal, decoded: &Decoded) {
        let config = &self.config;
        config.counts.add(signal, &decoded.mapped.fates);
        config.repairs.add(decoded.mapped.repairs);
        let truncated = decoded.mapped.truncated;
        config.repairs.add_from_wire(decoded.repairs, truncated);
    }
}
