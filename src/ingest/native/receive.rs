//! Messages of the protocol, read from a request's body.
//!
//! The frames are read here rather than by generated code, so that a message
//! has its part of a budget before its bytes are taken in: what is being
//! received, decompressed and decoded is bounded over all streams.
//!
//! A stream waits for budgets in one order (bytes, then bombs, then structure,
//! then the pipeline's), and holds nothing while it waits for the first. So
//! streams never wait for each other in a ring.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;

use super::codec::parts;
use crate::ingest::body::{BodyError, Compression, FRAME_HEADER_BYTES, decompress};
use crate::ingest::settle::Unsettled;

/// Messages up to this share a budget that large ones cannot exhaust.
const SMALL_BYTES: usize = 1 << 20;
/// Compressed messages are expected to become no more than so many times
/// larger. One at a time may.
const RATIO: usize = 8;
/// What an event takes in memory beside its bytes, about.
const EVENT_BYTES: usize = 256;
/// What a refusal takes that waits for its client, about.
const REFUSAL_BYTES: usize = 64;
/// While the daemon holds streams back, a message may take so many times as long.
const HELD_BACK_PATIENCE: u32 = 4;
/// From this size on decompression is done beside the threads that serve
/// connections.
const LARGE_BYTES: usize = 256 << 10;

/// What a message may be.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveLimits {
    /// Its bytes, compressed or not.
    pub message_bytes: usize,
    /// Its events.
    pub message_events: usize,
    /// From its first byte to its last.
    pub timeout: Duration,
}

/// What all streams share.
#[derive(Clone, Debug)]
pub struct ReceiveBudget {
    limits: ReceiveLimits,
    small: Pool,
    large: Pool,
    bombs: Pool,
    structure: Pool,
    /// Refusals that wait for their clients.
    refusals: Pool,
    /// For messages whose client waits for Postgres, so that they leave half of
    /// the other pools to those whose clients do not, while it is away.
    committed: Pool,
    /// Streams that the daemon holds back; while there are any, clients have
    /// longer, for they share connections whose windows others fill.
    held_back: Arc<AtomicUsize>,
}

/// A semaphore of bytes. What asks for more than there is gets all of it.
#[derive(Clone, Debug)]
struct Pool(Arc<Semaphore>, usize);

/// Whether a full budget is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Streams: flow control holds the client back.
    Wait,
    /// Calls that are answered.
    Now,
}

/// A message's part of the budgets, until its events are admitted.
#[derive(Debug, Default)]
pub(super) struct Share {
    permits: Vec<OwnedSemaphorePermit>,
    /// What it takes of the pool that it takes most of.
    bytes: usize,
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(1, u32::MAX as usize);
        Self(Arc::new(Semaphore::new(bytes)), bytes)
    }

    async fn take(&self, bytes: usize, when: When) -> Result<OwnedSemaphorePermit, Unsettled> {
        let bytes = u32::try_from(bytes.min(self.1)).unwrap_or(u32::MAX);
        let now = self.0.clone().try_acquire_many_owned(bytes);
        match (now, when) {
            (Ok(permit), _) => Ok(permit),
            (Err(_), When::Now) => Err(Unsettled::Full),
            (Err(_), When::Wait) => self
                .0
                .clone()
                .acquire_many_owned(bytes)
                .await
                .map_err(|_| Unsettled::ShuttingDown),
        }
    }
}

impl ReceiveBudget {
    /// Together as many bytes as `bytes`, but for the largest messages, of
    /// which there is always room for one.
    #[must_use]
    pub fn new(limits: ReceiveLimits, bytes: usize) -> Self {
        let half = bytes / 2;
        Self {
            limits,
            small: Pool::new(half.max(SMALL_BYTES)),
            large: Pool::new(half.max(limits.message_bytes)),
            bombs: Pool::new(1),
            structure: Pool::new(half),
            refusals: Pool::new(half),
            committed: Pool::new(half / 2),
            held_back: Arc::default(),
        }
    }

    /// Until the guard is dropped, clients have longer.
    pub(super) fn hold_back(&self) -> HeldBack {
        self.held_back.fetch_add(1, Relaxed);
        HeldBack(self.held_back.clone())
    }

    /// Room for so many refusals, until the client takes them. Who brings more
    /// is not waited for: a client that reads nothing must not stop others.
    ///
    /// # Errors
    /// When too many wait.
    pub(super) async fn refusals(
        &self,
        count: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, Unsettled> {
        match count {
            0 => Ok(None),
            _ => {
                let room = self.refusals.take(count * REFUSAL_BYTES, When::Now);
                room.await.map(Some)
            }
        }
    }

    fn pool(&self, bytes: usize) -> &Pool {
        if bytes <= SMALL_BYTES {
            &self.small
        } else {
            &self.large
        }
    }
}

/// See [`ReceiveBudget::hold_back`].
pub(super) struct HeldBack(Arc<AtomicUsize>);

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The messages of one request.
#[derive(Debug)]
pub(super) struct Messages {
    body: Body,
    /// Of the last frame, what is not read yet.
    rest: Bytes,
    compression: Compression,
    budget: ReceiveBudget,
    when: When,
    /// Whether the message before was to be committed, which the next one most
    /// likely is, too.
    committed: bool,
}

impl Messages {
    pub(super) fn new(
        body: Body,
        compression: Compression,
        budget: ReceiveBudget,
        when: When,
    ) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            compression,
            budget,
            when,
            committed: false,
        }
    }

    /// The next one; `None` at the end. It may be waited for without a limit,
    /// but once begun it must come whole.
    pub(super) async fn next(&mut self) -> Result<Option<(Bytes, Share)>, Status> {
        while self.rest.is_empty() {
            match self.frame().await? {
                Some(data) => self.rest = data,
                None => return Ok(None),
            }
        }
        let budget = self.budget.clone();
        let header = in_time(&budget, self.exactly(FRAME_HEADER_BYTES)).await??;
        let (compressed, len) = self.header(&header)?;
        let limit = budget.limits.message_bytes;
        let expected = match compressed {
            false => len,
            true => len + len.saturating_mul(RATIO).min(limit),
        };
        let mut share = Share::default();
        if self.committed {
            let committed = budget.committed.take(len, self.when).await?;
            share.permits.push(committed);
        }
        let held_back = budget.hold_back();
        let bytes = budget.pool(expected).take(expected, self.when).await?;
        share.permits.push(bytes);
        drop(held_back);
        let mut message = in_time(&budget, self.exactly(len)).await??;
        if compressed {
            message = expand(&budget, self.compression, message, self.when, &mut share).await?;
        }
        let parts = parts(&message, budget.limits.message_events)?;
        let structure = parts * EVENT_BYTES;
        share.bytes = structure.max(message.len());
        if self.committed {
            let more = share.bytes.saturating_sub(len);
            share
                .permits
                .push(budget.committed.take(more, When::Now).await?);
        }
        let _held_back = budget.hold_back();
        let structure = budget.structure.take(structure, self.when);
        share.permits.push(structure.await?);
        Ok(Some((message, share)))
    }

    /// To be told before a message that waits for Postgres is handed on.
    ///
    /// # Errors
    /// When too many wait already.
    pub(super) async fn will_be_committed(&mut self, share: &mut Share) -> Result<(), Unsettled> {
        if !std::mem::replace(&mut self.committed, true) {
            let committed = self.budget.committed.take(share.bytes, When::Now);
            share.permits.push(committed.await?);
        }
        Ok(())
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Status::from_error(error.into())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    // Trailers; the end follows.
                    Err(_) => {}
                },
            }
        }
    }

    /// So many bytes, copied only where they lie in several frames.
    async fn exactly(&mut self, len: usize) -> Result<Bytes, Status> {
        if self.rest.len() >= len {
            return Ok(self.rest.split_to(len));
        }
        let mut bytes = BytesMut::with_capacity(len);
        loop {
            let more = self.rest.len().min(len - bytes.len());
            bytes.extend_from_slice(&self.rest.split_to(more));
            if bytes.len() == len {
                return Ok(bytes.freeze());
            }
            match self.frame().await? {
                Some(data) => self.rest = data,
                None => return Err(Status::internal("the request ends within a message")),
            }
        }
    }

    /// Whether a message is compressed, and its length.
    fn header(&self, header: &[u8]) -> Result<(bool, usize), Status> {
        let [flag, len @ ..] = header else {
            return Err(Status::internal("a message without a header"));
        };
        let compressed = match (flag, self.compression) {
            (0, _) => false,
            (1, Compression::Identity) => {
                let reason = "a message is compressed, and grpc-encoding does not say how";
                return Err(Status::internal(reason));
            }
            (1, _) => true,
            _ => {
                return Err(Status::internal(
                    "the flag before a message is neither 0 nor 1",
                ));
            }
        };
        let len = len
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte));
        let limit = self.budget.limits.message_bytes;
        if len > limit {
            let reason = format!("a message of {len} bytes; the limit is: {limit} bytes");
            return Err(Status::out_of_range(reason));
        }
        Ok((compressed, len))
    }
}

async fn expand(
    budget: &ReceiveBudget,
    compression: Compression,
    message: Bytes,
    when: When,
    share: &mut Share,
) -> Result<Bytes, Status> {
    let limit = budget.limits.message_bytes;
    let expected = message.len().saturating_mul(RATIO).min(limit);
    let mut expanded = decompress_beside(compression, &message, expected).await?;
    if matches!(expanded, Err(BodyError::TooLarge { .. })) && expected < limit {
        let _waiting = budget.hold_back();
        share.permits.push(budget.bombs.take(1, when).await?);
        expanded = decompress_beside(compression, &message, limit).await?;
    }
    expanded.map_err(|error| match error {
        BodyError::TooLarge { .. } => Status::resource_exhausted(format!(
            "a message is larger than {limit} bytes when decompressed"
        )),
        error => Status::internal(error.to_string()),
    })
}

async fn decompress_beside(
    compression: Compression,
    message: &Bytes,
    limit: usize,
) -> Result<Result<Bytes, BodyError>, Status> {
    let message = message.clone();
    let work = move || decompress(compression, message, limit);
    if limit <= LARGE_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Status::internal(error.to_string()))
}

/// Within the time that a client has, which is longer while the daemon holds
/// streams back.
async fn in_time<T>(budget: &ReceiveBudget, work: impl Future<Output = T>) -> Result<T, Unsettled> {
    let mut work = pin!(work);
    for _ in 0..HELD_BACK_PATIENCE {
        if let Ok(done) = timeout(budget.limits.timeout, work.as_mut()).await {
            return Ok(done);
        }
        if budget.held_back.load(Relaxed) == 0 {
            break;
        }
    }
    Err(Unsettled::Slow)
}
