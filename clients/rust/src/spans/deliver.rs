//! The task that batches and sends buffered spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::buffer::{BufferPlace, SpanMessage};
use crate::proto::Event;
use crate::{ClientError, StreamSender, Totals, Undelivered};

/// Limits of a batch. Far below the usual limits of a daemon, because a batch that is
/// refused for its size ends delivery. A larger span is sent alone.
pub(super) const MAX_BATCH_EVENTS: usize = 100;
pub(super) const MAX_BATCH_BYTES: usize = 256 * 1024;

/// The batch that is sent next.
struct SpanBatcher {
    stream: StreamSender<()>,
    batch: Vec<Event>,
    /// The batch's places in the buffer, freed when the stream has taken it.
    places: Vec<BufferPlace>,
    bytes: usize,
    dropped: Arc<AtomicU64>,
}

/// Sends until it is told to finish or the retry policy gives up.
pub(super) async fn deliver(
    stream: StreamSender<()>,
    mut messages: mpsc::Receiver<SpanMessage>,
    dropped: Arc<AtomicU64>,
) -> Result<Totals<()>, Box<Undelivered<()>>> {
    let mut batcher = SpanBatcher {
        stream,
        batch: Vec::new(),
        places: Vec::new(),
        bytes: 0,
        dropped,
    };
    // The stream reports the error when it is finished.
    let _ = batcher.run(&mut messages).await;
    let SpanBatcher {
        stream,
        batch,
        dropped,
        ..
    } = batcher;
    messages.close();
    let mut never_sent = batch.len();
    // Also waits for threads that have a place and have not queued their events yet.
    while let Some(message) = messages.recv().await {
        if let SpanMessage::Events(events, _) = message {
            never_sent += events.len();
        }
    }
    dropped.fetch_add(never_sent as u64, Relaxed);
    stream.finish().await
}

impl SpanBatcher {
    async fn run(&mut self, messages: &mut mpsc::Receiver<SpanMessage>) -> Result<(), ClientError> {
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(_) => {
                    // The queue is empty: send the batch rather than wait to fill it.
                    self.send().await?;
                    match messages.recv().await {
                        Some(message) => message,
                        None => return Ok(()),
                    }
                }
            };
            match message {
                SpanMessage::Events(events, place) => self.add(events, place).await?,
                SpanMessage::Flush(told, _permit) => {
                    self.send().await?;
                    // The caller waits for the mark; this task goes on sending.
                    let _ = told.send(self.stream.mark());
                }
                SpanMessage::Finish => return self.send().await,
            }
        }
    }

    async fn add(&mut self, events: Vec<Event>, place: BufferPlace) -> Result<(), ClientError> {
        let full = self.batch.len() + events.len() > MAX_BATCH_EVENTS
            || self.bytes + place.bytes > MAX_BATCH_BYTES;
        let sent = if full { self.send().await } else { Ok(()) };
        self.batch.extend(events);
        self.bytes += place.bytes;
        self.places.push(place);
        sent
    }

    async fn send(&mut self) -> Result<(), ClientError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() as u64;
        let sent = self.stream.send(batch, ()).await;
        if sent.is_err() {
            self.dropped.fetch_add(count, Relaxed);
        }
        self.places.clear();
        self.bytes = 0;
        sent
    }
}
