//! The replayer: tests whether the database is back while it is away, and writes the spool to
//! it once it is.

mod dead_letters;
mod isolation;
mod opening;
mod progress;
mod stall;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::dead_letters::LetterPace;
use self::isolation::{RetryPace, Seen, Trouble};
use self::opening::Opening;
use self::stall::StallWatch;
use self::window::{ReplayBatch, Window};
use super::gate::{Gate, REST};
use super::shard::BatchLimits;
use super::spooler::{FRAME_BYTES, FRAME_EVENTS, SpoolConfig};
use crate::event::Event;
use crate::histograms::{Histograms, WriterKind};
use crate::own_spans::OwnSpans;
use crate::spool::SpoolError;
use crate::store::{RefusedPart, ReplayError, ShardCounts, Writer, needs_person, reason};

/// How often a database that is away is tested.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// How often an empty spool is looked at.
const IDLE_INTERVAL: Duration = Duration::from_millis(200);
/// How long to wait after the disk could not be read.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// How many events that failed on their own may wait. Until one of them is settled, the
/// replayer goes no further.
const MAX_DEFERRED: usize = 16;

/// What the replayer works with.
pub(super) struct ReplayerParts {
    pub config: SpoolConfig,
    pub limits: BatchLimits,
    pub gate: Arc<Gate>,
    pub writer: Writer,
    /// The counts of the spool.
    pub counts: Arc<ShardCounts>,
    /// The counts of the shards.
    pub shard_counts: Vec<Arc<ShardCounts>>,
    /// Disconnected when all shards have ended.
    pub shards: Receiver<()>,
    pub histograms: Arc<Histograms>,
    pub own_spans: OwnSpans,
    /// Cancelled when nothing more is to be replayed: the next daemon does it.
    pub draining: CancellationToken,
    /// Shows whether clients wait: then the replay takes half of the time at most.
    pub budget: Arc<Semaphore>,
    pub budget_bytes: usize,
}

/// Empties the spool into Postgres.
pub(super) struct Replayer {
    parts: ReplayerParts,
    window: Window,
    pace: RetryPace,
    letters: LetterPace,
    opening: Opening,
    stall: StallWatch,
    /// When the next event that failed on its own may be tried again.
    retry_at: Instant,
}

impl Replayer {
    pub fn new(parts: ReplayerParts) -> Self {
        Self {
            window: Window::default(),
            pace: RetryPace::new(FRAME_EVENTS, parts.limits.max_events, parts.config.after),
            letters: LetterPace::default(),
            opening: Opening::new(&parts),
            parts,
            stall: StallWatch::new(),
            retry_at: Instant::now(),
        }
    }

    /// Runs until the shards have ended, and writes the last counts.
    pub fn run(mut self, runtime: &Runtime) {
        let mut pause = Duration::ZERO;
        // Disconnected when the last shard has ended; nothing is ever sent.
        while let Ok(()) | Err(RecvTimeoutError::Timeout) = self.parts.shards.recv_timeout(pause) {
            pause = self.step(runtime);
            if !self.parts.draining.is_cancelled() {
                let events = self.parts.config.spool.usage().events;
                self.stall.check(events, &self.parts.gate);
            }
        }
        if self.opening.is_done() && !self.parts.gate.is_away() && !self.parts.writer.gave_up() {
            self.write_counts(runtime);
        }
    }

    /// Does one thing, and returns how long to wait before the next.
    fn step(&mut self, runtime: &Runtime) -> Duration {
        if !self.opening.is_done() {
            return self.open(runtime);
        }
        if self.parts.gate.is_away() {
            return match self.probe(runtime) {
                Ok(()) => {
                    self.parts.gate.open();
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::debug!(error = %reason(&error), "the database is still away");
                    PROBE_INTERVAL
                }
            };
        }
        if self.parts.draining.is_cancelled() {
            return IDLE_INTERVAL;
        }
        if self.parts.gate.is_other_database() {
            self.write_counts(runtime);
            return IDLE_INTERVAL;
        }
        self.fill();
        let Some(batch) = self.next_batch() else {
            self.write_counts(runtime);
            return self.idle_interval();
        };
        let begin = Instant::now();
        match batch {
            ReplayBatch::Refused(_) => self.write_dead_letters(runtime, batch),
            _ => self.write(runtime, batch),
        }
        if self.clients_wait() {
            begin.elapsed()
        } else {
            Duration::ZERO
        }
    }

    fn clients_wait(&self) -> bool {
        self.parts.budget.available_permits() < self.parts.budget_bytes
    }

    fn idle_interval(&self) -> Duration {
        if self.window.refused() > 0 {
            PROBE_INTERVAL
        } else if self.window.deferred() > 0 {
            let left = self.retry_at.saturating_duration_since(Instant::now());
            left.min(IDLE_INTERVAL)
        } else if self.parts.config.spool.usage().events > 0 {
            DISK_PAUSE
        } else {
            IDLE_INTERVAL
        }
    }

    /// Reads frames until there are enough events for a transaction.
    fn fill(&mut self) {
        let limits = self.parts.limits;
        while self.window.queued() < limits.max_events && self.window.bytes() < limits.max_bytes {
            match self.read_frame() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    // ERROR: what was acknowledged stays in the spool until a person helps.
                    tracing::error!(%error, "the spool cannot be read");
                    break;
                }
            }
        }
        self.ack_settled();
    }

    /// Reads a frame; false if there is none.
    fn read_frame(&mut self) -> Result<bool, SpoolError> {
        let spool = &self.parts.config.spool;
        let Some(frame) = spool.read_ahead()? else {
            return Ok(false);
        };
        let instance = spool.writer_of(frame.place.segment).unwrap_or_default();
        let pushed = self.window.push(&frame, instance, self.parts.config.decode);
        if pushed.unreadable > 0 {
            // ERROR: the events are kept in a file, and never reach Postgres by themselves.
            tracing::error!(
                sequence = frame.sequence,
                events = frame.events,
                "a frame of the spool has events that this version does not know; its file will be quarantined"
            );
            self.parts.writer.count_refused(pushed.unreadable);
        }
        self.opening.settled_before += pushed.settled;
        Ok(true)
    }

    /// The events of a batch are durable in the database.
    fn settle(&mut self, batch: ReplayBatch) {
        self.window.settle(batch);
        // A frame of many refused events may take minutes.
        self.stall.moved();
    }

    /// Acknowledges the frames whose events are all settled.
    fn ack_settled(&mut self) {
        let spool = &self.parts.config.spool;
        while let Some(sound) = self.window.pop_settled() {
            if let Some(age) = spool.oldest_age() {
                self.parts.histograms.replayed(age);
            }
            if sound {
                spool.ack();
            } else {
                spool.quarantine();
            }
            self.stall.moved();
        }
    }

    /// The events to write now. While clients wait, transactions are short.
    fn next_batch(&self) -> Option<ReplayBatch> {
        if self.window.deferred() > 0 && Instant::now() >= self.retry_at {
            return Some(ReplayBatch::Deferred);
        }
        let goes_on = self.window.queued() > 0 && self.window.deferred() < MAX_DEFERRED;
        if let Some(batch) = self.letters.due(&self.window, goes_on) {
            return Some(batch);
        }
        if !goes_on || self.letters.is_full(&self.window) {
            return None;
        }
        let (mut events, mut bytes) = (self.pace.events(), self.parts.limits.max_bytes);
        if self.clients_wait() {
            (events, bytes) = (events.min(FRAME_EVENTS), bytes.min(FRAME_BYTES));
        }
        Some(ReplayBatch::Front(self.window.front(events, bytes)))
    }

    fn write(&mut self, runtime: &Runtime, batch: ReplayBatch) {
        let events = self.window.events(batch);
        let count = events.len();
        let bytes = events.iter().copied().map(Event::weight_bytes).sum();
        let histograms = &self.parts.histograms;
        histograms.write_batch(WriterKind::Replayer, count, bytes);
        let after = self.parts.config.after;
        let longest = self.parts.writer.cap_deadline(Duration::MAX);
        let deadline = match (batch, self.window.trouble()) {
            (ReplayBatch::Deferred, Some(trouble)) => {
                trouble.next_deadline(after, longest, self.committed())
            }
            _ => self.pace.timeout(),
        };
        let progress = to_json(&self.window.progress_after(batch));
        let writer = &mut self.parts.writer;
        writer.set_deadline(deadline);
        let begin = Instant::now();
        let own_spans = &self.parts.own_spans;
        let mut span = own_spans.write_batch(WriterKind::Replayer, begin);
        span.count("runtraced.events", count);
        let result = runtime.block_on(writer.replay(&events, &progress));
        span.add(writer.take_transactions());
        span.end(result.as_ref().err().map(ReplayError::word));
        match result {
            Ok(()) => {
                match batch {
                    ReplayBatch::Front(_) => self.pace.succeeded(count, begin.elapsed()),
                    _ => self.pace.took(begin.elapsed()),
                }
                self.settle(batch);
                self.ack_settled();
            }
            Err(ReplayError::Refused(part)) if count == 1 => self.refuse(batch, part),
            Err(ReplayError::Refused(part)) => {
                self.pace
                    .refused(count, part.event, Seen::now(self.committed()));
            }
            Err(ReplayError::Failed(error)) => {
                self.failed(runtime, batch, &error, deadline, begin.elapsed());
            }
            Err(ReplayError::GaveUp) => {}
        }
    }

    /// The database did not commit a batch. If it cannot commit anything, it is away.
    fn failed(
        &mut self,
        runtime: &Runtime,
        batch: ReplayBatch,
        error: &sqlx::Error,
        deadline: Duration,
        took: Duration,
    ) {
        if let Err(error) = self.probe(runtime) {
            self.parts.gate.close(&error);
        }
        let person = needs_person(error);
        if person {
            self.parts.gate.tell_refusal(error);
        }
        if let ReplayBatch::Front(count @ 2..) = batch {
            self.pace.failed(count, Seen::now(self.committed()));
            return;
        }
        let trouble = self.trouble(batch).failed(deadline);
        let committed = self.committed();
        let after = self.parts.config.after;
        let longest = self.parts.writer.cap_deadline(Duration::MAX);
        if trouble.is_hopeless(error, after, longest, committed) {
            let place = self.window.place(batch);
            // ERROR: the database works, so the event needs a person.
            tracing::error!(
                error = reason(error),
                segment = place.frame.segment,
                offset = place.frame.offset,
                event = place.event,
                "an event of the spool cannot be written although the database works; it becomes a dead letter"
            );
            self.refuse(batch, RefusedPart::new(error, None));
        } else {
            self.window.defer(batch, trouble);
            // The events behind it get half of the time.
            let pause = if person {
                REST
            } else {
                took.max(PROBE_INTERVAL)
            };
            self.retry_at = Instant::now() + pause;
        }
    }

    /// The trouble with the only event of a batch, which was not written.
    fn trouble(&mut self, batch: ReplayBatch) -> Trouble {
        let now = Seen::now(self.committed());
        match batch {
            ReplayBatch::Front(count) => Trouble::new(self.pace.failed(count, now)),
            _ => self.window.trouble().unwrap_or(Trouble::new(now)),
        }
    }

    /// How many events this daemon has committed.
    fn committed(&self) -> u64 {
        let counts = self.parts.shard_counts.iter().chain([&self.parts.counts]);
        counts.map(|counts| counts.stored()).sum()
    }

    /// Tests whether the database can commit.
    fn probe(&mut self, runtime: &Runtime) -> Result<(), sqlx::Error> {
        self.parts.writer.set_deadline(self.parts.config.after);
        let probed = runtime.block_on(self.parts.writer.probe());
        match &probed {
            Ok(()) => {
                let other = self.parts.gate.is_other_database();
                self.parts.config.spool.block(other);
            }
            Err(error) => {
                self.note_place(error);
                self.check_row(error);
            }
        }
        probed
    }

    /// Opens the spool again if its row in the ledger is gone.
    fn check_row(&mut self, error: &sqlx::Error) {
        if matches!(error, sqlx::Error::RowNotFound) {
            self.opening.start_again();
        }
    }

    fn write_counts(&mut self, runtime: &Runtime) {
        self.parts.writer.set_deadline(self.parts.config.after);
        if let Err(error) = runtime.block_on(self.parts.writer.write_counts()) {
            self.check_row(&error);
            self.parts.gate.counts_failed(&error);
        }
    }
}

fn to_json(progress: &progress::Progress) -> String {
    // Plain numbers: this cannot fail.
    serde_json::to_string(progress).unwrap_or_default()
}
