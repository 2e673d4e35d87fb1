//! The replayer: probes the database while it is away, and writes the spooled events to
//! it once it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::spooler::SpoolConfig;
use crate::event::Event;
use crate::store::{EventOutcome, PartlyWritten, Writer};

/// The time between two probes of a database that is away.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// The time between two reads of an empty spool.
const IDLE_INTERVAL: Duration = Duration::from_millis(200);
/// The pause after a failed read of the disk.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Moves spooled events to Postgres.
pub(super) struct Replayer {
    pub config: SpoolConfig,
    pub gate: Arc<Gate>,
    pub writer: Writer,
    /// Disconnected when all shards have ended.
    pub shards: Receiver<()>,
    /// Cancelled when replaying must stop. The next daemon continues it.
    pub draining: CancellationToken,
    /// The memory budget. If it is in use, clients wait, and replaying takes at most half
    /// of the time.
    pub budget: Arc<Semaphore>,
    pub budget_bytes: usize,
    /// The time limit of a transaction. It grows after each timeout; otherwise a large
    /// frame might never be written.
    pub timeout: Duration,
}

impl Replayer {
    /// Runs until the shards have ended, then writes the last counts.
    pub fn run(mut self, runtime: &Runtime) {
        // Events read from the spool and not settled.
        let mut events = Vec::new();
        let mut pause = Duration::ZERO;
        // The channel only signals the end of the shards; nothing is sent.
        while let Ok(()) | Err(RecvTimeoutError::Timeout) = self.shards.recv_timeout(pause) {
            pause = self.step(runtime, &mut events);
        }
        if !self.gate.is_closed() && !self.writer.gave_up() {
            self.write_counts(runtime);
        }
    }

    /// Probes the database or writes one frame. Returns the pause before the next step.
    fn step(&mut self, runtime: &Runtime, events: &mut Vec<Event>) -> Duration {
        if self.gate.is_closed() {
            self.writer.set_deadline(self.config.after);
            return match runtime.block_on(self.writer.probe()) {
                Ok(()) => {
                    self.gate.open();
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::debug!(error = %crate::store::reason(&error), "the database is still away");
                    PROBE_INTERVAL
                }
            };
        }
        if self.draining.is_cancelled() {
            return IDLE_INTERVAL;
        }
        if events.is_empty() && !self.next_frame(events) {
            self.write_counts(runtime);
            return if self.config.spool.usage().events > 0 {
                DISK_PAUSE
            } else {
                IDLE_INTERVAL
            };
        }
        let begin = Instant::now();
        self.write(runtime, events);
        let clients_wait = self.budget.available_permits() < self.budget_bytes;
        if clients_wait {
            begin.elapsed()
        } else {
            Duration::ZERO
        }
    }

    /// Reads the next frame into `events`. Returns false if there is none.
    fn next_frame(&self, events: &mut Vec<Event>) -> bool {
        loop {
            let frame = match self.config.spool.read() {
                Ok(Some(frame)) => frame,
                Ok(None) => return false,
                Err(error) => {
                    // ERROR: acknowledged events stay in the spool until a person helps.
                    tracing::error!(%error, "cannot read the spool");
                    return false;
                }
            };
            match (self.config.decode)(&frame.payload) {
                Some(decoded) if !decoded.is_empty() => {
                    *events = decoded;
                    return true;
                }
                Some(_) => self.config.spool.ack(),
                None => {
                    // ERROR: nothing is lost, but only a person can get these events into
                    // Postgres.
                    tracing::error!(
                        sequence = frame.sequence,
                        events = frame.events,
                        "a spool frame holds events that this version cannot read; its file is quarantined"
                    );
                    self.config.spool.quarantine();
                }
            }
        }
    }

    /// Writes `events`, and leaves in it those that could not be written.
    fn write(&mut self, runtime: &Runtime, events: &mut Vec<Event>) {
        let borrowed: Vec<&Event> = events.iter().collect();
        self.writer.set_deadline(self.timeout);
        let written = runtime.block_on(self.writer.write(&borrowed));
        match written {
            Ok(outcomes) => {
                if outcomes
                    .iter()
                    .any(|outcome| matches!(outcome, EventOutcome::Refused(_)))
                {
                    // An event is neither committed nor a dead letter; the writer has
                    // logged that as an error. Quarantine keeps it.
                    self.config.spool.quarantine();
                } else {
                    self.config.spool.ack();
                }
                events.clear();
                self.timeout = self.config.after;
            }
            Err(PartlyWritten { outcomes, source }) => {
                let mut outcomes = outcomes.iter();
                // Settled events are counted already and must not be written again.
                events.retain(|_| outcomes.next().is_none_or(Option::is_none));
                if let Some(error) = source {
                    self.gate.close(&error);
                }
                self.timeout = self.writer.cap_deadline(self.timeout * 2);
            }
        }
    }

    fn write_counts(&mut self, runtime: &Runtime) {
        self.writer.set_deadline(self.config.after);
        if let Err(error) = runtime.block_on(self.writer.write_counts()) {
            self.gate.counts_failed(&error);
        }
    }
}
