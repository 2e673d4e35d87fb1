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
//! it is full steps are dropped and counted; its last eighth, one place at the least, is
//! kept for starts and ends of runs. The task gives up as the client's
//! [`RetryPolicy`](super::RetryPolicy) says, for good: an agent that is to outlive a long
//! outage has a long `give_up_after`. So it does where a message is above the daemon's
//! `--max-message-bytes` or `--max-message-events`, for the daemon ends the stream and does
//! not say for which: a message is a single span, or several of 256 KiB and 100 events at
//! the most.

mod buffer;
mod deliver;
mod fields;
mod layer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{ClientError, StreamSender, Totals, Undelivered};
use buffer::{Buffer, Message};
pub use layer::SpanLayer;

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
        let task = tokio::spawn(deliver::deliver(stream, messages, dropped));
        Self { buffer, task }
    }

    /// Events that were never sent, for there was no room or delivery was given up. A step
    /// is one, or two with its tokens; the start and the end of a run are one each.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.buffer.dropped.load(Relaxed)
    }

    /// Waits until every span that has ended is settled, for so long at most. Spans that
    /// end meanwhile are sent, and not waited for.
    ///
    /// # Errors
    /// [`ClientError::Late`] when something is not settled by then; it stays on its
    /// way. [`ClientError::Ended`] when delivery was given up; [`Self::finish`] says why.
    pub async fn flush(&self, limit: Duration) -> Result<(), ClientError> {
        let flush = async { self.buffer.mark().await?.reached().await };
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
