//! The buffer between spans and the task that sends them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::ClientError;
use crate::proto::Event;
use crate::stream::StreamMark;

/// Most bytes in the buffer: a bound on the memory that an outage costs the agent.
pub(super) const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Most flushes in the queue; further ones wait outside it, so that they take no place of
/// a span.
const MAX_FLUSHES: usize = 16;
/// The buffer keeps one in this many places and bytes for starts and ends of runs: losing
/// them costs more than losing a step.
const RESERVED_SHARE: usize = 8;

/// A message to the task that sends.
#[derive(Debug)]
pub(super) enum SpanMessage {
    /// Events, and their place in the buffer.
    Events(Vec<Event>, BufferPlace),
    /// Send a mark that is reached when everything before it is settled.
    Flush(oneshot::Sender<StreamMark>, OwnedSemaphorePermit),
    /// Send what is there and end.
    Finish,
}

/// A bounded queue to the task that sends. Never blocks.
#[derive(Debug, Clone)]
pub(super) struct SpanBuffer {
    /// As large as all places together, so it is never full.
    pub(super) messages: mpsc::Sender<SpanMessage>,
    free: Arc<Mutex<FreeCapacity>>,
    reserved: FreeCapacity,
    flushes: Arc<Semaphore>,
    pub(super) dropped: Arc<AtomicU64>,
}

/// Unused places and bytes. One lock guards both: otherwise a step that checks one and
/// then takes the other could take what is reserved for runs.
#[derive(Debug, Clone, Copy)]
struct FreeCapacity {
    places: usize,
    bytes: usize,
}

/// A place in the buffer and a number of its bytes, until it is dropped.
#[derive(Debug)]
pub(super) struct BufferPlace {
    free: Arc<Mutex<FreeCapacity>>,
    pub(super) bytes: usize,
}

impl SpanBuffer {
    pub(super) fn new(max_waiting: usize) -> (Self, mpsc::Receiver<SpanMessage>) {
        let others = MAX_FLUSHES + 1; // one for `Finish`
        let all = FreeCapacity {
            places: max_waiting.clamp(2, Semaphore::MAX_PERMITS - others),
            bytes: MAX_WAITING_BYTES,
        };
        let (messages, receiver) = mpsc::channel(all.places + others);
        let buffer = Self {
            messages,
            free: Arc::new(Mutex::new(all)),
            reserved: FreeCapacity {
                places: all.places.div_ceil(RESERVED_SHARE),
                bytes: all.bytes.div_ceil(RESERVED_SHARE),
            },
            flushes: Arc::new(Semaphore::new(MAX_FLUSHES)),
            dropped: Arc::default(),
        };
        (buffer, receiver)
    }

    /// Queues events, or drops all of them if the buffer is full.
    pub(super) fn offer(&self, events: Vec<Event>, of_a_step: bool) {
        let count = events.len() as u64;
        if self.try_send(events, of_a_step).is_none() {
            self.dropped.fetch_add(count, Relaxed);
        }
    }

    fn try_send(&self, events: Vec<Event>, of_a_step: bool) -> Option<()> {
        let bytes = events.iter().map(Event::encoded_len).sum();
        let place = self.enter(bytes, of_a_step)?;
        let message = SpanMessage::Events(events, place);
        self.messages.try_send(message).ok()
    }

    fn enter(&self, bytes: usize, of_a_step: bool) -> Option<BufferPlace> {
        let reserved = of_a_step.then_some(self.reserved);
        let reserved = reserved.unwrap_or(FreeCapacity {
            places: 0,
            bytes: 0,
        });
        let mut free = lock(&self.free);
        let left = FreeCapacity {
            places: free.places.checked_sub(1)?,
            bytes: free.bytes.checked_sub(bytes)?,
        };
        if left.places < reserved.places || left.bytes < reserved.bytes {
            return None;
        }
        *free = left;
        Some(BufferPlace {
            free: Arc::clone(&self.free),
            bytes,
        })
    }

    /// A mark behind everything queued so far. A flush whose caller gave up stays in the
    /// queue until the task reaches it.
    pub(super) async fn mark(&self) -> Result<StreamMark, ClientError> {
        let permit = Arc::clone(&self.flushes).acquire_owned().await;
        let permit = permit.map_err(|_| ClientError::Ended)?;
        let (told, mark) = oneshot::channel();
        let sent = self.messages.send(SpanMessage::Flush(told, permit)).await;
        sent.map_err(|_| ClientError::Ended)?;
        mark.await.map_err(|_| ClientError::Ended)
    }
}

impl Drop for BufferPlace {
    fn drop(&mut self) {
        let mut free = lock(&self.free);
        free.places += 1;
        free.bytes += self.bytes;
    }
}

/// Nothing panics while holding the lock, so poisoning cannot happen.
fn lock(free: &Mutex<FreeCapacity>) -> MutexGuard<'_, FreeCapacity> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}
