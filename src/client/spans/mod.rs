//! Spans of the [`tracing`] crate as runs and steps: an agent that is instrumented
//! already needs a layer and no more.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use runtraced::client::{Client, RetryPolicy, SpanLayer, StreamOptions};
//! use tracing::info_span;
//! use tracing_subscriber::{Layer as _, filter::LevelFilter, prelude::*};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:4317", RetryPolicy::default()).await?;
//! let (layer, delivery) = SpanLayer::new(client.stream(StreamOptions::default()), 10_000);
//! tracing_subscriber::registry()
//!     .with(layer.with_filter(LevelFilter::INFO))
//!     .init();
//!
//! info_span!("Find the release date", run.agent = "researcher").in_scope(|| {
//!     let call = info_span!("plan", gen_ai.request.model = "large-1", step.output = "search");
//! });
//!
//! delivery.flush(Duration::from_secs(5)).await?; // before the program ends
//! # Ok(())
//! # }
//! ```
//!
//! A span with a field `run.agent`, set when it is made, is a run of that agent; below
//! another run it is that one's child. Every other span below a run is a step, below
//! the step around it. All others are left alone. The start of a run is told at once,
//! the rest of a span when its last handle is dropped.
//!
//! | field | becomes |
//! | --- | --- |
//! | `run.type`, `run.name`, `run.session` (a UUID), `run.input` | what they say, of the run, if set when the span is made |
//! | `run.output`; `step.name`, `step.input`, `step.output` | what they say; a name without them is the span's; JSON objects and arrays of steps stay JSON |
//! | `step.type` | `thinking`, `tool_call`, `tool_result`, `llm_call`, `handoff` or `other`; any other text is the kind of an `other` step; without it `llm_call` where there is a model, else `other` |
//! | `gen_ai.request.model` | the model of a step |
//! | `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens` | a token count of a step, the reported total of a run |
//! | `error`, or `otel.status_code = "ERROR"` | failed, and why |
//! | any other | a key of the metadata |
//!
//! An event of level ERROR fails the span it is in, and no other; so does a panic. Other
//! events are left alone.
//!
//! Steps are seen when they have ended, and there are no heartbeats: a run in which no span
//! ends for longer than the daemon's `--run-timeout` counts as abandoned until one does.
//!
//! **Nothing of this waits.** Spans go into a buffer, from which a task sends them. While
//! it is full steps are dropped and counted; its last eighth is kept for starts and ends
//! of runs. The task gives up as the client's [`RetryPolicy`](super::RetryPolicy) says, for
//! good: an agent that is to outlive a long outage has a long `give_up_after`.

mod fields;
mod layer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{ClientError, StreamSender, Totals, Undelivered};
use crate::proto::Event;
pub use layer::SpanLayer;

/// Bytes that may wait to be sent: far less than the daemon takes in one message.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Messages that become one batch at most.
const MAX_BATCH_MESSAGES: usize = 256;

/// What the task is told.
#[derive(Debug)]
enum Message {
    /// Events, and their room in the buffer.
    Events(Vec<Event>, OwnedSemaphorePermit),
    /// Wait until all before it is settled, for so long at most.
    Flush(Duration, oneshot::Sender<Result<(), ClientError>>),
    /// No more will be asked for.
    Finish,
}

/// The way to the task that sends.
#[derive(Debug, Clone)]
struct Buffer {
    messages: mpsc::Sender<Message>,
    bytes: Arc<Semaphore>,
    dropped: Arc<AtomicU64>,
}

impl Buffer {
    fn new(max_waiting: usize) -> (Self, mpsc::Receiver<Message>) {
        let (messages, receiver) = mpsc::channel(max_waiting.clamp(1, Semaphore::MAX_PERMITS));
        let buffer = Self {
            messages,
            bytes: Arc::new(Semaphore::new(MAX_WAITING_BYTES)),
            dropped: Arc::default(),
        };
        (buffer, receiver)
    }

    /// Takes events if there is room, else drops them all; never waits.
    fn offer(&self, events: Vec<Event>, of_a_step: bool) {
        let count = events.len() as u64;
        if self.try_send(events, of_a_step).is_none() {
            self.dropped.fetch_add(count, Relaxed);
        }
    }

    fn try_send(&self, events: Vec<Event>, of_a_step: bool) -> Option<()> {
        let len = events.iter().map(Event::encoded_len).sum();
        let kept_free = |all: usize| if of_a_step { all / 8 } else { 0 };
        let messages = kept_free(self.messages.max_capacity());
        let bytes = kept_free(MAX_WAITING_BYTES).saturating_add(len);
        if self.messages.capacity() <= messages || self.bytes.available_permits() < bytes {
            return None;
        }
        let bytes = Arc::clone(&self.bytes);
        let room = bytes
            .try_acquire_many_owned(u32::try_from(len).ok()?)
            .ok()?;
        self.messages.try_send(Message::Events(events, room)).ok()
    }
}

/// Waits for what a [`SpanLayer`] was told. Without it that is sent all the same.
#[derive(Debug)]
pub struct SpanDelivery {
    buffer: Buffer,
    task: JoinHandle<Result<Totals<()>, Box<Undelivered<()>>>>,
}

impl SpanDelivery {
    fn new(stream: StreamSender<()>, max_waiting: usize) -> Self {
        let (buffer, messages) = Buffer::new(max_waiting);
        let dropped = Arc::clone(&buffer.dropped);
        let task = tokio::spawn(deliver(stream, messages, dropped));
        Self { buffer, task }
    }

    /// Events that were never sent, for there was no room or delivery was given up. A step
    /// is one, or two with its tokens; the start and the end of a run are one each.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.buffer.dropped.load(Relaxed)
    }

    /// Waits until every span that has ended is settled, for so long at most.
    ///
    /// # Errors
    /// [`ClientError::Late`] when something is not settled by then; it stays on its
    /// way. [`ClientError::Ended`] when delivery was given up; [`Self::finish`] says why.
    pub async fn flush(&self, limit: Duration) -> Result<(), ClientError> {
        let flush = async {
            let (done, flushed) = oneshot::channel();
            let message = Message::Flush(limit, done);
            let sent = self.buffer.messages.send(message).await;
            sent.map_err(|_| ClientError::Ended)?;
            flushed.await.unwrap_or(Err(ClientError::Ended))
        };
        let flushed = tokio::time::timeout(limit, flush).await;
        flushed.unwrap_or(Err(ClientError::Late(limit)))
    }

    /// Waits until every span that has ended is settled, and tells what became of all.
    /// Spans that end later are dropped.
    ///
    /// # Errors
    /// [`Undelivered`] with what was settled before delivery was given up.
    pub async fn finish(self) -> Result<Totals<()>, Box<Undelivered<()>>> {
        // Where it cannot be sent the task has ended.
        let _ = self.buffer.messages.send(Message::Finish).await;
        let mut result = self
            .task
            .await
            .unwrap_or_else(|_| Err(Undelivered::unknown()));
        let totals = match &mut result {
            Ok(totals) => totals,
            Err(undelivered) => &mut undelivered.settled,
        };
        totals.dropped = self.buffer.dropped.load(Relaxed);
        result
    }
}

/// Sends what waits until it is told to finish, or delivery is given up.
async fn deliver(
    mut stream: StreamSender<()>,
    mut messages: mpsc::Receiver<Message>,
    dropped: Arc<AtomicU64>,
) -> Result<Totals<()>, Box<Undelivered<()>>> {
    let mut waiting = Vec::new();
    let mut finish = false;
    while !finish && messages.recv_many(&mut waiting, MAX_BATCH_MESSAGES).await > 0 {
        // Rooms are given back when the batch has one in the stream.
        let (mut batch, mut rooms, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for message in waiting.drain(..) {
            match message {
                Message::Events(events, room) => {
                    batch.extend(events);
                    rooms.push(room);
                }
                Message::Flush(limit, done) => flushes.push((limit, done)),
                Message::Finish => finish = true,
            }
        }
        let count = batch.len() as u64;
        if count > 0 && stream.send(batch, ()).await.is_err() {
            dropped.fetch_add(count, Relaxed);
            break;
        }
        drop(rooms);
        for (limit, done) in flushes {
            let _ = done.send(stream.flush_within(limit).await);
        }
    }
    messages.close();
    while let Ok(message) = messages.try_recv() {
        if let Message::Events(events, _) = message {
            dropped.fetch_add(events.len() as u64, Relaxed);
        }
    }
    stream.finish().await
}
