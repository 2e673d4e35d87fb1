//! Many batches in flight over one `TraceIngest.Stream`, which is reopened whenever it
//! breaks.

mod driver;
mod totals;
mod window;

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{Client, ClientError};
use crate::proto::{Durability, Event, StreamRequest};
use driver::{PendingBatch, StreamDriver};
pub use totals::{Refused, Totals, Undelivered};
use window::{SendWindow, WindowPermit};

/// Limits of a [`StreamSender`].
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    /// Most batches in flight.
    pub max_batches_in_flight: u32,
    /// Most encoded bytes in flight. A larger batch is sent alone.
    pub max_bytes_in_flight: u32,
    /// Most refused events that [`Totals`] lists. It counts the rest.
    pub max_refused_kept: usize,
    /// Wait until events are in Postgres. Otherwise an ack may also mean that they are in
    /// the daemon's spool, which is faster while Postgres is away.
    pub committed_only: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            max_batches_in_flight: 32,
            max_bytes_in_flight: 32 * 1024 * 1024,
            max_refused_kept: 1000,
            committed_only: false,
        }
    }
}

/// A batch whose ack has arrived.
#[derive(Debug)]
pub struct Settled<'a, T> {
    /// The caller's tag of the batch.
    pub tag: &'a T,
    /// Number of its events.
    pub events: usize,
    /// Time from [`StreamSender::send`] to the ack.
    pub waited: Duration,
    /// Lowest durability among the batches of the ack.
    pub durability: Durability,
}

/// Sends batches. Each has a tag, by which the caller recognises settled batches and the
/// batches of refused events.
///
/// Dropping the sender abandons unacknowledged batches; [`finish`](Self::finish) waits for
/// them.
#[derive(Debug)]
pub struct StreamSender<T: std::fmt::Debug> {
    batches: mpsc::Sender<PendingBatch<T>>,
    window: SendWindow,
    next_sequence: u64,
    settled: watch::Receiver<u64>,
    least: Durability,
    dropped: u64,
    driver: AbortOnDropHandle<Result<Totals<T>, Box<Undelivered<T>>>>,
}

/// A point in a stream: the last batch that was handed over when the mark was made.
#[derive(Debug)]
pub(crate) struct StreamMark {
    settled: watch::Receiver<u64>,
    last: u64,
}

impl StreamMark {
    /// Waits until everything before it is settled.
    pub(crate) async fn reached(mut self) -> Result<(), ClientError> {
        // Fails if the driver ended before it got this far.
        let settled = self.settled.wait_for(|settled| *settled >= self.last).await;
        settled.map(drop).map_err(|_| ClientError::Ended)
    }
}

/// Closes a window when it is dropped, also if `on_settled` panics.
struct CloseWindowOnDrop(SendWindow);

impl Drop for CloseWindowOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Client {
    /// A sender over one stream. The first batch opens the stream.
    ///
    /// # Panics
    /// Outside a Tokio runtime: the sender spawns a task.
    pub fn stream<T: Clone + std::fmt::Debug + Send + 'static>(
        &self,
        options: StreamOptions,
    ) -> StreamSender<T> {
        self.stream_observed(options, |_| {})
    }

    /// As [`Self::stream`]. Calls `on_settled` for each batch whose ack arrives, in order.
    /// It must not block. If it panics, delivery ends.
    ///
    /// # Panics
    /// As [`Self::stream`].
    pub fn stream_observed<T: Clone + std::fmt::Debug + Send + 'static>(
        &self,
        options: StreamOptions,
        on_settled: impl FnMut(Settled<'_, T>) + Send + 'static,
    ) -> StreamSender<T> {
        let window = SendWindow::new(options);
        let (batches, incoming) = mpsc::channel(window.max_batches());
        let (settling, settled) = watch::channel(0);
        let on_settled = Box::new(on_settled);
        let mut driver = StreamDriver::new(self.clone(), options, incoming, on_settled, settling);
        let closing = CloseWindowOnDrop(window.clone());
        let task = async move {
            // Dropped before the driver, which frees permits: a waiting sender must see
            // that the window is closed rather than get one of them.
            let _closing = closing;
            driver.run().await
        };
        StreamSender {
            batches,
            window,
            next_sequence: 1,
            settled,
            dropped: 0,
            least: if options.committed_only {
                Durability::Committed
            } else {
                Durability::Spooled
            },
            driver: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }
}

impl<T: Clone + std::fmt::Debug + Send + 'static> StreamSender<T> {
    /// Hands over a batch. Waits while too much is in flight.
    ///
    /// # Errors
    /// [`ClientError::Ended`] if the retry policy gave up; [`Self::finish`] says why.
    pub async fn send(&mut self, events: Vec<Event>, tag: T) -> Result<(), ClientError> {
        let handed_over = Instant::now();
        let (encoded, count) = self.encode(events);
        let permit = self.window.enter(encoded.len()).await?;
        self.hand_over(encoded, count, tag, handed_over, permit)
    }

    /// As [`Self::send`], with an encoded `StreamRequest` of this many events; for
    /// benchmarks. Its sequence must be the sender's next one; the first is 1.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_encoded(
        &mut self,
        encoded: Bytes,
        events: usize,
        tag: T,
    ) -> Result<(), ClientError> {
        let handed_over = Instant::now();
        let permit = self.window.enter(encoded.len()).await?;
        self.hand_over(encoded, events, tag, handed_over, permit)
    }

    /// Hands over a batch if the window has room now. Otherwise drops it, counts its events
    /// in [`Totals::dropped`], and returns false. For agents that must not wait.
    ///
    /// Nothing else in this client drops events.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn offer(&mut self, events: Vec<Event>, tag: T) -> Result<bool, ClientError> {
        let handed_over = Instant::now();
        let (encoded, count) = self.encode(events);
        let Some(permit) = self.window.try_enter(encoded.len())? else {
            self.dropped += count as u64;
            return Ok(false);
        };
        self.hand_over(encoded, count, tag, handed_over, permit)?;
        Ok(true)
    }

    fn encode(&self, events: Vec<Event>) -> (Bytes, usize) {
        let count = events.len();
        let request = StreamRequest {
            sequence: self.next_sequence,
            events,
            least_durability: self.least.into(),
        };
        (Bytes::from(request.encode_to_vec()), count)
    }

    fn hand_over(
        &mut self,
        encoded: Bytes,
        events: usize,
        tag: T,
        handed_over: Instant,
        permit: WindowPermit,
    ) -> Result<(), ClientError> {
        let batch = PendingBatch {
            sequence: self.next_sequence,
            encoded,
            tag,
            events,
            handed_over,
            _permit: permit,
        };
        // The channel has a place for each batch that has a permit.
        let sent = self.batches.try_send(batch);
        sent.map_err(|_| ClientError::Ended)?;
        self.next_sequence += 1;
        Ok(())
    }

    /// As [`Self::flush`], for at most `limit`.
    ///
    /// # Errors
    /// [`ClientError::Late`] if something is not settled by then; the sender goes on
    /// sending it.
    pub async fn flush_within(&mut self, limit: Duration) -> Result<(), ClientError> {
        let flushed = tokio::time::timeout(limit, self.flush()).await;
        flushed.unwrap_or(Err(ClientError::Late(limit)))
    }

    /// Waits until everything handed over is settled.
    ///
    /// # Errors
    /// [`ClientError::Ended`] if the retry policy gave up.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.mark().reached().await
    }

    /// A mark behind the last batch, to wait for while more are sent.
    pub(crate) fn mark(&self) -> StreamMark {
        StreamMark {
            settled: self.settled.clone(),
            last: self.next_sequence - 1,
        }
    }

    /// Waits until everything handed over is settled, and ends the stream.
    ///
    /// # Errors
    /// [`Undelivered`], with what was settled before the retry policy gave up.
    pub async fn finish(self) -> Result<Totals<T>, Box<Undelivered<T>>> {
        drop(self.batches);
        let driven = self.driver.await;
        let mut result = driven.unwrap_or_else(|_| Err(Undelivered::unknown()));
        match &mut result {
            Ok(totals) => totals.dropped = self.dropped,
            Err(undelivered) => undelivered.settled.dropped = self.dropped,
        }
        result
    }
}
