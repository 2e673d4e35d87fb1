//! Reads messages from the body of a request.
//!
//! The message frames are read here rather than by generated code. So a message takes its
//! share of the budgets before its bytes are read, and the memory for receiving,
//! decompressing and decoding is bounded over all streams.
//!
//! Streams cannot deadlock: each waits for the budgets in one order (bytes, large
//! expansion, structure, then that of the pipeline), and holds nothing while it waits for
//! the first.

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

use super::codec::count_parts;
use crate::ingest::body::{BodyError, Compression, FRAME_HEADER_BYTES, decompress};
use crate::ingest::settle::Unsettled;

/// Messages up to this size have their own pool, which large messages cannot exhaust.
const SMALL_MESSAGE_BYTES: usize = 1 << 20;
/// The expected limit of the decompressed size, as a multiple of the compressed size.
/// Only one message at a time may exceed it.
const EXPECTED_EXPANSION: usize = 8;
/// The approximate memory of an event besides its bytes.
const EVENT_BYTES: usize = 256;
/// The approximate memory of a refusal that waits for its client.
const REFUSAL_BYTES: usize = 64;
/// The receive timeout is this many times longer while the daemon holds streams back.
const HELD_BACK_TIMEOUT_FACTOR: u32 = 4;
/// Larger messages are decompressed on a blocking thread, so that they do not delay the
/// threads that serve connections.
const BLOCKING_BYTES: usize = 256 << 10;

/// Limits of one message.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveLimits {
    /// Bytes, both compressed and decompressed.
    pub message_bytes: usize,
    /// Events.
    pub message_events: usize,
    /// Time from the first byte to the last.
    pub timeout: Duration,
}

/// The budgets that all streams share.
#[derive(Clone, Debug)]
pub struct ReceiveBudget {
    limits: ReceiveLimits,
    /// Bytes of small messages.
    small: Pool,
    /// Bytes of large messages.
    large: Pool,
    /// One permit for a message that expands beyond [`EXPECTED_EXPANSION`].
    large_expansion: Pool,
    /// Memory of decoded events besides their bytes.
    structure: Pool,
    /// Memory of refusals that wait for their clients.
    refusals: Pool,
    /// An extra limit for messages that must be committed: a quarter of the budget. It
    /// leaves half of each other pool to messages that can be spooled while Postgres is
    /// away.
    committed: Pool,
    /// The number of streams that the daemon holds back. While it is not zero, all clients
    /// have more time: a stream that is held back may fill the HTTP/2 window of a
    /// connection that others share.
    held_back: Arc<AtomicUsize>,
}

/// A semaphore of bytes and its size. A larger request takes the whole pool.
#[derive(Clone, Debug)]
struct Pool(Arc<Semaphore>, usize);

/// What to do when a budget is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Wait. For streams: flow control holds the client back.
    Wait,
    /// Refuse the message. For calls with one response.
    Refuse,
}

/// A message's share of the budgets. It is held until the events are admitted.
#[derive(Debug, Default)]
pub(super) struct Share {
    permits: Vec<OwnedSemaphorePermit>,
    /// The largest of its shares, in bytes.
    bytes: usize,
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(1, u32::MAX as usize);
        Self(Arc::new(Semaphore::new(bytes)), bytes)
    }

    async fn take(
        &self,
        bytes: usize,
        when_full: WhenFull,
    ) -> Result<OwnedSemaphorePermit, Unsettled> {
        match (self.try_take(bytes), when_full) {
            (Ok(permit), _) => Ok(permit),
            (Err(full), WhenFull::Refuse) => Err(full),
            (Err(_), WhenFull::Wait) => {
                let waited = self.0.clone().acquire_many_owned(self.permits(bytes));
                waited.await.map_err(|_| Unsettled::ShuttingDown)
            }
        }
    }

    fn try_take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Unsettled> {
        let permit = self.0.clone().try_acquire_many_owned(self.permits(bytes));
        permit.map_err(|_| Unsettled::Full)
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.1)).unwrap_or(u32::MAX)
    }
}

impl ReceiveBudget {
    /// Budgets for `bytes` of messages in total. The pools always fit one message of the
    /// largest size, even if `bytes` is smaller.
    #[must_use]
    pub fn new(limits: ReceiveLimits, bytes: usize) -> Self {
        let half = bytes / 2;
        Self {
            limits,
            small: Pool::new(half.max(SMALL_MESSAGE_BYTES)),
            large: Pool::new(half.max(limits.message_bytes)),
            large_expansion: Pool::new(1),
            structure: Pool::new(half),
            refusals: Pool::new(half),
            committed: Pool::new(half / 2),
            held_back: Arc::default(),
        }
    }

    /// Extends the receive timeout of all clients until the guard is dropped.
    pub(super) fn hold_back(&self) -> HeldBack {
        self.held_back.fetch_add(1, Relaxed);
        HeldBack(self.held_back.clone())
    }

    /// Takes memory for refusals until the client reads them. Does not wait: a client that
    /// reads nothing must not block others.
    ///
    /// # Errors
    /// When too many refusals wait for their clients.
    pub(in crate::ingest) fn take_refusals(
        &self,
        count: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, Unsettled> {
        match count {
            0 => Ok(None),
            _ => self.refusals.try_take(count * REFUSAL_BYTES).map(Some),
        }
    }

    /// Takes memory for decoded events besides their bytes. Does not wait.
    ///
    /// # Errors
    /// When the budget is full.
    pub(in crate::ingest) fn try_take_structure(
        &self,
        events: usize,
    ) -> Result<OwnedSemaphorePermit, Unsettled> {
        self.structure.try_take(events * EVENT_BYTES)
    }

    /// Takes a share of the extra budget for a message that must be committed. Does not wait.
    ///
    /// # Errors
    /// When the budget is full.
    pub(in crate::ingest) fn try_take_committed(
        &self,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Unsettled> {
        self.committed.try_take(bytes)
    }

    fn pool(&self, bytes: usize) -> &Pool {
        if bytes <= SMALL_MESSAGE_BYTES {
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

/// Reads the messages of one request.
#[derive(Debug)]
pub(super) struct Messages {
    body: Body,
    /// The unread bytes of the last HTTP frame.
    rest: Bytes,
    compression: Compression,
    budget: ReceiveBudget,
    when_full: WhenFull,
    /// Whether an earlier message had to be committed. Then the next one probably must be,
    /// too.
    committed: bool,
}

impl Messages {
    pub(super) fn new(
        body: Body,
        compression: Compression,
        budget: ReceiveBudget,
        when_full: WhenFull,
    ) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            compression,
            budget,
            when_full,
            committed: false,
        }
    }

    /// Reads the next message; `None` at the end. Waits for the first byte without a
    /// limit. From then on the receive timeout applies.
    pub(super) async fn next(&mut self) -> Result<Option<(Bytes, Share)>, Status> {
        while self.rest.is_empty() {
            match self.frame().await? {
                Some(data) => self.rest = data,
                None => return Ok(None),
            }
        }
        let budget = self.budget.clone();
        let header = with_timeout(&budget, self.read_exactly(FRAME_HEADER_BYTES)).await??;
        let (compressed, len) = self.parse_header(&header)?;
        let limit = budget.limits.message_bytes;
        let expected = match compressed {
            false => len,
            true => len + len.saturating_mul(EXPECTED_EXPANSION).min(limit),
        };
        let mut share = Share::default();
        if self.committed {
            let committed = budget.committed.take(len, self.when_full).await?;
            share.permits.push(committed);
        }
        let held_back = budget.hold_back();
        let bytes = budget.pool(expected).take(expected, self.when_full).await?;
        share.permits.push(bytes);
        drop(held_back);
        let mut message = with_timeout(&budget, self.read_exactly(len)).await??;
        if compressed {
            message = decompress_within(
                &budget,
                self.compression,
                message,
                self.when_full,
                &mut share,
            )
            .await?;
        }
        let parts = count_parts(&message, budget.limits.message_events)?;
        let structure = parts * EVENT_BYTES;
        share.bytes = structure.max(message.len());
        if self.committed {
            let more = share.bytes.saturating_sub(len);
            share
                .permits
                .push(budget.committed.take(more, WhenFull::Refuse).await?);
        }
        let _held_back = budget.hold_back();
        let structure = budget.structure.take(structure, self.when_full);
        share.permits.push(structure.await?);
        Ok(Some((message, share)))
    }

    /// Takes a share of the extra budget for a message that must be committed. Call it
    /// before the message is admitted.
    ///
    /// # Errors
    /// When the extra budget is full.
    pub(super) async fn take_committed(&mut self, share: &mut Share) -> Result<(), Unsettled> {
        if !std::mem::replace(&mut self.committed, true) {
            let committed = self.budget.committed.take(share.bytes, WhenFull::Refuse);
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
                    // Trailers, which precede the end.
                    Err(_) => {}
                },
            }
        }
    }

    /// Reads `len` bytes. Copies them only if they span several HTTP frames.
    async fn read_exactly(&mut self, len: usize) -> Result<Bytes, Status> {
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

    /// Parses the header of a message: whether it is compressed, and its length.
    fn parse_header(&self, header: &[u8]) -> Result<(bool, usize), Status> {
        let [flag, len @ ..] = header else {
            return Err(Status::internal("the message has no header"));
        };
        let compressed = match (flag, self.compression) {
            (0, _) => false,
            (1, Compression::Identity) => {
                let reason = "the message is compressed, but grpc-encoding names no compression";
                return Err(Status::internal(reason));
            }
            (1, _) => true,
            _ => {
                return Err(Status::internal(
                    "the compressed flag of the message is neither 0 nor 1",
                ));
            }
        };
        let len = len
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte));
        let limit = self.budget.limits.message_bytes;
        if len > limit {
            let reason = format!("the message has {len} bytes, the limit is {limit} bytes");
            return Err(Status::out_of_range(reason));
        }
        Ok((compressed, len))
    }
}

/// Decompresses a message within the expected size. If it is larger, waits for the
/// permit for a large expansion and decompresses it again, up to the limit.
async fn decompress_within(
    budget: &ReceiveBudget,
    compression: Compression,
    message: Bytes,
    when_full: WhenFull,
    share: &mut Share,
) -> Result<Bytes, Status> {
    let limit = budget.limits.message_bytes;
    let expected = message.len().saturating_mul(EXPECTED_EXPANSION).min(limit);
    let mut decompressed = decompress_off_thread(compression, &message, expected).await?;
    if matches!(decompressed, Err(BodyError::TooLarge { .. })) && expected < limit {
        let _held_back = budget.hold_back();
        let permit = budget.large_expansion.take(1, when_full).await?;
        share.permits.push(permit);
        decompressed = decompress_off_thread(compression, &message, limit).await?;
    }
    decompressed.map_err(|error| match error {
        BodyError::TooLarge { .. } => Status::resource_exhausted(format!(
            "the message is larger than {limit} bytes when decompressed"
        )),
        error => Status::internal(error.to_string()),
    })
}

/// Decompresses up to `limit` bytes, on a blocking thread if that may take long.
async fn decompress_off_thread(
    compression: Compression,
    message: &Bytes,
    limit: usize,
) -> Result<Result<Bytes, BodyError>, Status> {
    let message = message.clone();
    let work = move || decompress(compression, message, limit);
    if limit <= BLOCKING_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Status::internal(error.to_string()))
}

/// Runs `work` within the receive timeout, which is longer while the daemon holds streams
/// back.
async fn with_timeout<T>(
    budget: &ReceiveBudget,
    work: impl Future<Output = T>,
) -> Result<T, Unsettled> {
    let mut work = pin!(work);
    for _ in 0..HELD_BACK_TIMEOUT_FACTOR {
        if let Ok(done) = timeout(budget.limits.timeout, work.as_mut()).await {
            return Ok(done);
        }
        if budget.held_back.load(Relaxed) == 0 {
            break;
        }
    }
    Err(Unsettled::ReceiveTimeout)
}
