//! Takes requests that come as one body: those of OTLP, and events as JSON over HTTP.
//! They share one budget of bytes, and the places for large requests.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::Body;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::{BodyBudget, BodyError, Compression, ReadBody, decompress};
use super::repairs::RepairCounts;
use super::settle::Unsettled;
use crate::auth::Identity;
use crate::own_spans::OwnSpans;
use crate::pipeline::Pipeline;

/// Requests of this size or more are decoded on blocking threads, so that they
/// do not delay other connections.
const LARGE_BYTES: usize = 256 << 10;
/// A compressed request is large from this fraction of [`LARGE_BYTES`] on:
/// telemetry rarely compresses to less than a twentieth.
const COMPRESSED_FRACTION: usize = 16;
/// Limits the memory and CPU that large requests take.
const MAX_LARGE_AT_ONCE: usize = 2;

/// The settings of an intake.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    /// Receives the events. Weak, because the pipeline stops when its owner
    /// drops it.
    pub pipeline: Weak<Pipeline>,
    /// Counts repairs.
    pub repairs: Arc<RepairCounts>,
    /// Tells of requests.
    pub own_spans: OwnSpans,
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

/// Takes requests. Clones share the budget.
#[derive(Clone, Debug)]
pub struct Intake {
    pub(super) config: Arc<IntakeConfig>,
    bodies: BodyBudget,
    large_requests: Arc<Semaphore>,
}

/// The work on a body panicked: a bug of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodePanicked;

impl Intake {
    /// An intake with these settings. Its budget fits the largest body.
    #[must_use]
    pub fn new(config: IntakeConfig) -> Self {
        Self {
            bodies: BodyBudget::new(
                config.body_budget_bytes.max(config.max_message_bytes),
                config.receive_timeout,
            ),
            large_requests: Arc::new(Semaphore::new(MAX_LARGE_AT_ONCE)),
            config: Arc::new(config),
        }
    }

    /// Reads the body of one message. `framing_bytes` is the size of the
    /// protocol's frame around the message. While earlier events of the client are being
    /// isolated, it waits.
    ///
    /// # Errors
    /// As [`BodyBudget::read`]. [`Unsettled::ShuttingDown`] if the daemon drains.
    pub async fn read_body(
        &self,
        identity: &Identity,
        body: Body,
        framing_bytes: usize,
    ) -> Result<Result<ReadBody, BodyError>, Unsettled> {
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
            self.bodies.read(body, limit + framing_bytes).await
        };
        let read = tokio::select! {
            biased;
            () = config.draining.cancelled() => return Err(Unsettled::ShuttingDown),
            read = read => read?,
        };
        Ok(read.map_err(|error| match error {
            BodyError::TooLarge { .. } => BodyError::TooLarge { limit },
            error => error,
        }))
    }

    /// Decompresses a body and hands its bytes to `work`. Large bodies go to blocking
    /// threads, a few at a time: the work does not yield, and it holds several
    /// copies of the request in memory.
    ///
    /// # Errors
    /// `Ok(Err(…))` when the body cannot be decompressed within the limit.
    pub async fn decode<T: Send + 'static>(
        &self,
        compression: Compression,
        body: ReadBody,
        work: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<Result<T, BodyError>, DecodePanicked> {
        let limit = self.config.max_message_bytes;
        let small = match compression {
            Compression::Identity => body.bytes.len() < LARGE_BYTES,
            _ => body.bytes.len() < LARGE_BYTES / COMPRESSED_FRACTION,
        };
        if small {
            match decompress(compression, body.bytes.clone(), LARGE_BYTES.min(limit)) {
                Ok(bytes) => return Ok(Ok(work(&bytes))),
                // It decompresses to a large request.
                Err(BodyError::TooLarge { .. }) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        let places = self.large_requests.acquire().await;
        let _place = places.map_err(|_| DecodePanicked)?;
        tokio::task::spawn_blocking(move || {
            let bytes = decompress(compression, body.bytes.clone(), limit)?;
            Ok(work(&bytes))
        })
        .await
        .map_err(|_| DecodePanicked)
    }

    /// The pipeline, while the daemon takes requests. Whoever holds it keeps it open.
    ///
    /// # Errors
    /// [`Unsettled::ShuttingDown`].
    pub fn open_pipeline(&self) -> Result<Arc<Pipeline>, Unsettled> {
        if self.config.draining.is_cancelled() {
            return Err(Unsettled::ShuttingDown);
        }
        self.config
            .pipeline
            .upgrade()
            .ok_or(Unsettled::ShuttingDown)
    }
}
