//! The task that sends what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::buffer::{Message, Room};
use crate::client::{ClientError, StreamSender, Totals, Undelivered};
use crate::proto::Event;

/// Limits of a batch, far below what daemons usually take: one that is refused for its
/// size ends delivery. What is larger by itself goes alone.
pub(super) const MAX_BATCH_EVENTS: usize = 100;
pub(super) const MAX_BATCH_BYTES: usize = 256 * 1024;

/// What is sent next.
struct Delivery {
    stream: StreamSender<()>,
    batch: Vec<Event>,
    /// Those of the batch; given back when it has one in the stream.
    rooms: Vec<Room>,
    bytes: usize,
    dropped: Arc<AtomicU64>,
}

/// Sends what waits until it is told to finish, or delivery is given up.
pub(super) async fn deliver(
    stream: StreamSender<()>,
    mut messages: mpsc::Receiver<Message>,
    dropped: Arc<AtomicU64>,
) -> Result<Totals<()>, Box<Undelivered<()>>> {
    let mut delivery = Delivery {
        stream,
        batch: Vec::new(),
        rooms: Vec::new(),
        bytes: 0,
        dropped,
    };
    // Why it failed the stream says.
    let _ = delivery.run(&mut messages).await;
    let Delivery {
        stream,
        batch,
        dropped,
        ..
    } = delivery;
    messages.close();
    let mut never_sent = batch.len();
    // This waits for threads that were let in and have not put down what they bring.
    while let Some(message) = messages.recv().await {
        if let Message::Events(events, _) = message {
            never_sent += events.len();
        }
    }
    dropped.fetch_add(never_sent as u64, Relaxed);
    stream.finish().await
}

impl Delivery {
    async fn run(&mut self, messages: &mut mpsc::Receiver<Message>) -> Result<(), ClientError> {
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(_) => {
                    // No more waits, so what is there need not wait for more.
                    self.send().await?;
                    match messages.recv().await {
                        Some(message) => message,
                        None => return Ok(()),
                    }
                }
            };
            match message {
                Message::Events(events, room) => self.add(events, room).await?,
                Message::Flush(told, _permit) => {
                    self.send().await?;
                    // Who asked waits by itself: what comes next is sent meanwhile.
                    let _ = told.send(self.stream.mark());
                }
                Message::Finish => return self.send().await,
            }
        }
    }

    async fn add(&mut self, events: Vec<Event>, room: Room) -> Result<(), ClientError> {
        let full = self.batch.len() + events.len() > MAX_BATCH_EVENTS
            || self.bytes + room.bytes > MAX_BATCH_BYTES;
        let sent = if full { self.send().await } else { Ok(()) };
        self.batch.extend(events);
        self.bytes += room.bytes;
        self.rooms.push(room);
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
        self.rooms.clear();
        self.bytes = 0;
        sent
    }
}
