//! Where spans wait for the task that sends them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::client::ClientError;
use crate::client::stream::Mark;
use crate::proto::Event;

/// Bytes that may wait to be sent.
pub(super) const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Flushes that may stand in the queue; more wait before it.
const MAX_FLUSHES: usize = 16;

/// What the task is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Events, and their room in the buffer.
    Events(Vec<Event>, Room),
    /// Tell how to wait until all before it is settled.
    Flush(oneshot::Sender<Mark>, OwnedSemaphorePermit),
    /// No more will be asked for.
    Finish,
}

/// The way to the task that sends.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    /// It has a place for whatever has room, so it is never full.
    pub(super) messages: mpsc::Sender<Message>,
    free: Arc<Mutex<Free>>,
    kept: Free,
    flushes: Arc<Semaphore>,
    pub(super) dropped: Arc<AtomicU64>,
}

/// Places and bytes that nothing takes. Both are counted under one lock: a step that
/// looks at one and then takes the other could take what is kept for others.
#[derive(Debug, Clone, Copy)]
struct Free {
    places: usize,
    bytes: usize,
}

/// A place in the buffer and so many bytes of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    free: Arc<Mutex<Free>>,
    pub(super) bytes: usize,
}

impl Buffer {
    pub(super) fn new(max_waiting: usize) -> (Self, mpsc::Receiver<Message>) {
        let others = MAX_FLUSHES + 1; // the one is `Finish`
        let all = Free {
            places: max_waiting.clamp(2, Semaphore::MAX_PERMITS - others),
            bytes: MAX_WAITING_BYTES,
        };
        let (messages, receiver) = mpsc::channel(all.places + others);
        let buffer = Self {
            messages,
            free: Arc::new(Mutex::new(all)),
            kept: Free {
                places: all.places.div_ceil(8),
                bytes: all.bytes.div_ceil(8),
            },
            flushes: Arc::new(Semaphore::new(MAX_FLUSHES)),
            dropped: Arc::default(),
        };
        (buffer, receiver)
    }

    /// Takes events if there is room, else drops them all; never waits.
    pub(super) fn offer(&self, events: Vec<Event>, of_a_step: bool) {
        let count = events.len() as u64;
        if self.try_send(events, of_a_step).is_none() {
            self.dropped.fetch_add(count, Relaxed);
        }
    }

    fn try_send(&self, events: Vec<Event>, of_a_step: bool) -> Option<()> {
        let bytes = events.iter().map(Event::encoded_len).sum();
        let room = self.enter(bytes, of_a_step)?;
        self.messages.try_send(Message::Events(events, room)).ok()
    }

    fn enter(&self, bytes: usize, of_a_step: bool) -> Option<Room> {
        let kept = of_a_step.then_some(self.kept);
        let kept = kept.unwrap_or(Free {
            places: 0,
            bytes: 0,
        });
        let mut free = lock(&self.free);
        let left = Free {
            places: free.places.checked_sub(1)?,
            bytes: free.bytes.checked_sub(bytes)?,
        };
        if left.places < kept.places || left.bytes < kept.bytes {
            return None;
        }
        *free = left;
        Some(Room {
            free: Arc::clone(&self.free),
            bytes,
        })
    }

    /// A mark behind all that was taken so far. Flushes take no place of a span: those
    /// whose callers have given up stay in the queue until they are reached.
    pub(super) async fn mark(&self) -> Result<Mark, ClientError> {
        let permit = Arc::clone(&self.flushes).acquire_owned().await;
        let permit = permit.map_err(|_| ClientError::Ended)?;
        let (told, mark) = oneshot::channel();
        let sent = self.messages.send(Message::Flush(told, permit)).await;
        sent.map_err(|_| ClientError::Ended)?;
        mark.await.map_err(|_| ClientError::Ended)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut free = lock(&self.free);
        free.places += 1;
        free.bytes += self.bytes;
    }
}

/// Nothing panics while it is held.
fn lock(free: &Mutex<Free>) -> MutexGuard<'_, Free> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}
