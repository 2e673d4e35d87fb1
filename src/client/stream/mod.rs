//! Many batches in flight over one `TraceIngest.Stream`, which is opened anew
//! whenever it breaks.

mod driver;
mod totals;
mod window;

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;
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
    least: Durability,
    dropped: u64,
    driver: AbortOnDropHandle<Result<Totals<T>, Box<Undelivered<T>>>>,
}

impl Client {
    /// A sender over one stream. The stream is opened with the first batch.
    pub fn stream<T: Clone + std::fmt::Debug + Send + 'static>(
        &self,
        options: StreamOptions,
    ) -> StreamSender<T> {
        self.stream_observed(options, |_| {})
    }

    /// The same; `on_settled` is called for each batch whose ack comes, in
    /// order. It must not block.
    pub fn stream_observed<T: Clone + std::fmt::Debug + Send + 'static>(
        &self,
        options: StreamOptions,
        on_settled: impl FnMut(Settled<'_, T>) + Send + 'static,
    ) -> StreamSender<T> {
        let window = Window::new(options);
        let (batches, incoming) = mpsc::channel(window.max_batches());
        let mut driver = Driver::new(self.clone(), options, incoming, Box::new(on_settled));
        let closing = window.clone();
        let task = async move {
            let result = driver.run().await;
            // A sender that waits for room learns that none will come, before there is
            // some: else a flush would take what was given up for settled.
            closing.close();
            result
        };
        StreamSender {
            batches,
            window,
            next_sequence: 1,
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
        self.hand_over(encoded, count, tag, handed_over, room).await
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
        // The channel has a place for each batch that has room.
        self.hand_over(encoded, count, tag, handed_over, room)
            .await?;
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

    async fn hand_over(
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
        self.next_sequence += 1;
        let sent = self.batches.send(batch).await;
        sent.map_err(|_| ClientError::Ended)
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
    /// [`ClientError::Ended`] like [`Self::send`].
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.window.emptied().await
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
