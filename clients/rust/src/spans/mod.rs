//! Spans of the [`tracing`] crate as runs and steps. An agent that already uses `tracing`
//! needs this layer only.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use runtraced_client::{Client, RetryPolicy, SpanLayer, StreamOptions};
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
//! A span with a field `run.agent`, set when the span is created, is a run of that agent.
//! Below another run it is a child run. Every other span below a run is a step, below its
//! enclosing step. All other spans are ignored. The layer reports the start of a run at
//! once, and the rest of a span when its last handle is dropped.
//!
//! | field | becomes |
//! | --- | --- |
//! | `run.type`, `run.name`, `run.session` (a UUID), `run.input` | the field of that name of the run, if set when the span is created |
//! | `run.output`; `step.name`, `step.input`, `step.output` | the field of that name; without a name, the span's name; JSON objects and arrays of steps stay JSON |
//! | `step.type` | `thinking`, `tool_call`, `tool_result`, `llm_call`, `handoff` or `other`; any other text is the kind of an `other` step; without it, `llm_call` if there is a model, else `other` |
//! | `gen_ai.request.model` | the model of a step |
//! | `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens` | a token count of a step; the reported total of a run |
//! | `error`, or `otel.status_code = "ERROR"` | status failed, and the error |
//! | any other | a key of the metadata |
//!
//! An event of level ERROR fails the span it is in, but not the spans around it. So does a
//! panic. Other events are ignored.
//!
//! Steps appear when they have ended, and the layer sends no heartbeats. If no span of a run
//! ends for longer than the daemon's `--run-timeout`, the run counts as abandoned until one
//! does.
//!
//! **The layer never blocks the agent.** Spans go into a buffer, and a task sends them. While
//! the buffer is full, steps are dropped and counted. The last eighth of the buffer, at least
//! one place, is reserved for starts and ends of runs.
//!
//! **The task gives up for good** when the client's [`RetryPolicy`](super::RetryPolicy) does.
//! An agent that must survive long outages needs a long `give_up_after`. The task also gives
//! up if a message exceeds the daemon's `--max-message-bytes` or `--max-message-events`: the
//! daemon ends the stream and does not say which message it refused. A message is a single
//! span, or several spans of at most 256 KiB and 100 events together.

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
use buffer::{SpanBuffer, SpanMessage};
pub use layer::SpanLayer;

/// Waits for the spans of a [`SpanLayer`]. They are sent even if this handle is dropped.
#[derive(Debug)]
pub struct SpanDelivery {
    buffer: SpanBuffer,
    task: JoinHandle<Result<Totals<()>, Box<Undelivered<()>>>>,
}

impl SpanDelivery {
    fn new(stream: StreamSender<()>, max_waiting: usize) -> Self {
        let (buffer, messages) = SpanBuffer::new(max_waiting);
        let dropped = Arc::clone(&buffer.dropped);
        let task = tokio::spawn(deliver::deliver(stream, messages, dropped));
        Self { buffer, task }
    }

    /// Events that were never sent because the buffer was full or the retry policy gave up.
    /// A step is one event, or two with its tokens; the start and the end of a run are one
    /// each.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.buffer.dropped.load(Relaxed)
    }

    /// Waits, for at most `limit`, until every span that has ended is settled. Spans that
    /// end meanwhile are sent, but not waited for.
    ///
    /// # Errors
    /// [`ClientError::Late`] if something is not settled by then; the task goes on sending
    /// it. [`ClientError::Ended`] if the retry policy gave up; [`Self::finish`] says why.
    pub async fn flush(&self, limit: Duration) -> Result<(), ClientError> {
        let flush = async { self.buffer.mark().await?.reached().await };
        let flushed = tokio::time::timeout(limit, flush).await;
        flushed.unwrap_or(Err(ClientError::Late(limit)))
    }

    /// Waits until every span that has ended is settled, and returns the outcomes of all.
    /// Spans that end later are dropped.
    ///
    /// # Errors
    /// [`Undelivered`], with what was settled before the retry policy gave up.
    pub async fn finish(self) -> Result<Totals<()>, Box<Undelivered<()>>> {
        // If this fails, the task has ended already.
        let _ = self.buffer.messages.send(SpanMessage::Finish).await;
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
