//! Many batches in flight over one `TraceIngest.Stream`, which is opened anew
//! whenever it breaks.

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
use driver::{Batch, Driver};
pub use totals::{Refused, Totals, Undelivered};
use window::{Room, Window};

/// Limits of a [`StreamSender`].
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    /// How many batches may wait for their ack.
    pub max_batches_in_flight: u32,
    /// How many encoded bytes may wait for their ack; a larger batch goes alone.
    pub max_bytes_in_flight: u32,
    /// How many refused events [`Totals`] keeps; the rest are only counted.
    pub max_refused_kept: usize,
    /// Acks are to mean Postgres; those from the daemon's spool are quicker
    /// while it is away.
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

/// A batch whose ack has come.
#[derive(Debug)]
pub struct Settled<'a, T> {
    /// What the caller gave with the batch.
    pub tag: &'a T,
    /// How many events it had.
    pub events: usize,
    /// The time from [`StreamSender::send`] to the ack.
    pub waited: Duration,
    /// The lowest durability among the batches of that ack.
    pub durability: Durability,
}

/// Sends batches, each with a tag of the caller's by which it is told which
/// batch was settled or held a refused event. Dropping it abandons what was
/// not acknowledged; [`finish`](Self::finish) waits for it.
#[derive(Debug)]
pub struct StreamSender<T: std::fmt::Debug> {
    batches: mpsc::Sender<Batch<T>>,
    window: Window,
    next_sequence: u64,
    settled: watch::Receiver<u64>,
    least: Durability,
    dropped: u64,
    driver: AbortOnDropHandle<Result<Totals<T>, Box<Undelivered<T>>>>,
}

/// A point in a stream: the last batch that was handed over when it was made.
#[derive(Debug)]
pub(in crate::client) struct Mark {
    settled: watch::Receiver<u64>,
    last: u64,
}

impl Mark {
    /// Waits until all before it is settled.
    pub(in crate::client) async fn reached(mut self) -> Result<(), ClientError> {
        // It fails when the driver is gone and has not come so far.
        let settled = self.settled.wait_for(|settled| *settled >= self.last).await;
        settled.map(drop).map_err(|_| ClientError::Ended)
    }
}

/// Closes a window when it is dropped: also where `on_settled` panics.
struct Closing(Window);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Client {
    /// A sender over one stream. The stream is opened with the first batch.
    ///
    /// # Panics
    /// Outside a Tokio runtime: a task of it sends.
    pub fn stream<T: Clone + std::fmt::Debug + Send + 'static>(
        &self,
        options: StreamOptions,
    ) -> StreamSender<T> {
        self.stream_observed(options, |_| {})
    }

    /// The same; `on_settled` is called for each batch whose ack comes, in
    /// order. It must not block. If it panics delivery is given up.
    ///
    /// # Panics
    /// As [`Self::stream`].
    pub fn stream_observed<T: Clone + std::fmt::Debug + Send + 'static>(
        &self,
        options: StreamOptions,
        on_settled: impl FnMut(Settled<'_, T>) + Send + 'static,
    ) -> StreamSender<T> {
        let window = Window::new(options);
        let (batches, incoming) = mpsc::channel(window.max_batches());
        let (settling, settled) = watch::channel(0);
        let on_settled = Box::new(on_settled);
        let mut driver = Driver::new(self.clone(), options, incoming, on_settled, settling);
        let closing = Closing(window.clone());
        let task = async move {
            // Dropped before the driver: a sender that waits for room learns that none
            // will come, before what was given up leaves some.
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
    /// Hands over a batch; waits while too much is in flight.
    ///
    /// # Errors
    /// [`ClientError::Ended`] when delivery was given up; [`Self::finish`] says why.
    pub async fn send(&mut self, events: Vec<Event>, tag: T) -> Result<(), ClientError> {
        let handed_over = Instant::now();
        let (encoded, count) = self.encode(events);
        let room = self.window.enter(encoded.len()).await?;
        self.hand_over(encoded, count, tag, handed_over, room)
    }

    /// The same with a whole `StreamRequest` of so many events, encoded before: a
    /// benchmark's. Its sequence must be the next of this sender, the first is 1.
    pub(crate) async fn send_encoded(
        &mut self,
        encoded: Bytes,
        events: usize,
        tag: T,
    ) -> Result<(), ClientError> {
        let handed_over = Instant::now();
        let room = self.window.enter(encoded.len()).await?;
        self.hand_over(encoded, events, tag, handed_over, room)
    }

    /// Hands over a batch if there is room now; else drops it, counts its events
    /// in [`Totals::dropped`], and returns false. For agents that must not wait:
    /// the only way in which this client drops anything.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn offer(&mut self, events: Vec<Event>, tag: T) -> Result<bool, ClientError> {
        let handed_over = Instant::now();
        let (encoded, count) = self.encode(events);
        let Some(room) = self.window.try_enter(encoded.len())? else {
            self.dropped += count as u64;
            return Ok(false);
        };
        self.hand_over(encoded, count, tag, handed_over, room)?;
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
        room: Room,
    ) -> Result<(), ClientError> {
        let batch = Batch {
            sequence: self.next_sequence,
            encoded,
            tag,
            events,
            handed_over,
            _room: room,
        };
        // The channel has a place for each batch that has room.
        let sent = self.batches.try_send(batch);
        sent.map_err(|_| ClientError::Ended)?;
        self.next_sequence += 1;
        Ok(())
    }

    /// As [`Self::flush`], for so long at most.
    ///
    /// # Errors
    /// [`ClientError::Late`] when something is not settled by then; it stays on
    /// its way.
    pub async fn flush_within(&mut self, limit: Duration) -> Result<(), ClientError> {
        let flushed = tokio::time::timeout(limit, self.flush()).await;
        flushed.unwrap_or(Err(ClientError::Late(limit)))
    }

    /// Waits until everything handed over is settled.
    ///
    /// # Errors
    /// [`ClientError::Ended`] when delivery was given up before.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.mark().reached().await
    }

    /// The point up to which batches are handed over, to be waited for while more go.
    pub(in crate::client) fn mark(&self) -> Mark {
        Mark {
            settled: self.settled.clone(),
            last: self.next_sequence - 1,
        }
    }

    /// Waits until everything handed over is settled, and ends the stream.
    ///
    /// # Errors
    /// [`Undelivered`] with what was settled before delivery was given up.
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
