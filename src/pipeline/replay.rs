//! The replayer: asks for the database while it is away, and writes what was
//! spooled once it is back.

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

/// How often a database that is away is asked.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// How often an empty spool is looked at.
const IDLE_INTERVAL: Duration = Duration::from_millis(200);
/// How long to leave a disk alone that could not be read.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Empties the spool into Postgres.
pub(super) struct Replayer {
    pub config: SpoolConfig,
    pub gate: Arc<Gate>,
    pub writer: Writer,
    /// Disconnected when all shards have ended.
    pub shards: Receiver<()>,
    /// From then on nothing more is replayed: the next daemon does it.
    pub draining: CancellationToken,
    /// Whether clients wait: then replaying takes half of the time at most.
    pub budget: Arc<Semaphore>,
    pub budget_bytes: usize,
    /// The longest that a transaction may take: more each time that it is late,
    /// or a frame might never be written.
    pub timeout: Duration,
}

impl Replayer {
    /// Runs until the shards have ended, and writes the last counts.
    pub fn run(mut self, runtime: &Runtime) {
        // Read from the spool and not yet settled.
        let mut events = Vec::new();
        let mut pause = Duration::ZERO;
        // Disconnected when the last shard has ended; nothing is ever sent.
        while let Ok(()) | Err(RecvTimeoutError::Timeout) = self.shards.recv_timeout(pause) {
            pause = self.step(runtime, &mut events);
        }
        if !self.gate.is_closed() && !self.writer.gave_up() {
            self.write_counts(runtime);
        }
    }

    /// Does one thing, and says how long to wait before the next.
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

    /// Reads the next frame; false if there is none.
    fn next_frame(&self, events: &mut Vec<Event>) -> bool {
        loop {
            let frame = match self.config.spool.read() {
                Ok(Some(frame)) => frame,
                Ok(None) => return false,
                Err(error) => {
                    // ERROR: what was acknowledged stays in the spool until a person helps.
                    tracing::error!(%error, "the spool cannot be read");
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
                    // ERROR: kept, but not by itself in Postgres.
                    tracing::error!(
                        sequence = frame.sequence,
                        events = frame.events,
                        "a frame of the spool holds events that this version does not know; its file is kept"
                    );
                    self.config.spool.quarantine();
                }
            }
        }
    }

    /// Writes what is in hand; what could not be written stays there.
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
                    // Neither stored nor kept as a dead letter, which was told as an error.
                    self.config.spool.quarantine();
                } else {
                    self.config.spool.ack();
                }
                events.clear();
                self.timeout = self.config.after;
            }
            Err(PartlyWritten { outcomes, source }) => {
                let mut outcomes = outcomes.iter();
                // Those that are settled are counted: they are not to be again.
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
