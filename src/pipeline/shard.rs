//! One shard: a queue and the thread that empties it into Postgres, or into the
//! spool while Postgres is away.

use std::iter;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;

use super::batch::Durability;
use super::parked::Parked;
use super::spooler::Spooler;
use super::unit::{Unit, UnitState, update};
use crate::event::Event;
use crate::store::{EventOutcome, PartlyWritten, Writer};

/// After so long without events a writer brings the ledger up to date.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// How often units are looked at that neither Postgres nor the spool takes.
const PARKED_INTERVAL: Duration = Duration::from_millis(100);

/// When a writer stops gathering and commits.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Events of one transaction; a client's batch is not torn for it.
    pub max_events: usize,
    /// Bytes of one transaction, likewise.
    pub max_bytes: usize,
    /// How long to wait for more after the first. Zero takes what is there:
    /// the next batch fills while one commits.
    pub linger: Duration,
}

/// The thread's state.
pub(super) struct Shard {
    /// Boxed, for a queue has memory for all that it may hold.
    pub queue: Receiver<Box<Unit>>,
    pub writer: Writer,
    pub limits: BatchLimits,
    pub spooler: Option<Spooler>,
    /// What neither Postgres nor the spool could take.
    pub parked: Parked,
    /// The longest that a transaction of parked units may take.
    pub timeout: Duration,
    /// When parked units are tried again while the database is away, however
    /// many new ones come: the spool may have room again.
    pub retry_at: Instant,
}

impl Shard {
    /// Empties the queue until it is closed and empty, or until the writer gives up.
    pub fn run(mut self, runtime: &Runtime) {
        let mut open = true;
        self.writer.set_deadline(self.timeout);
        while open || !self.parked.is_empty() {
            if self.writer.gave_up() && !self.parked.is_empty() {
                // Dropping the units tells their clients to send again.
                tracing::warn!(
                    events = self.parked.events(),
                    "not settled at shutdown; clients are told to resend"
                );
                return;
            }
            match self.next() {
                Next::Units(units) => self.handle(runtime, units),
                Next::Parked(units) => self.handle_parked(runtime, units),
                // A client that does not let go keeps the queue open.
                Next::Nothing if self.writer.gave_up() => break,
                Next::Nothing => self.write_counts(runtime),
                Next::Closed => open = false,
            }
        }
        if !self.writer.gave_up() {
            self.write_counts(runtime);
        }
    }

    /// What is to be done next; parked units come before new ones once the
    /// database is back.
    fn next(&mut self) -> Next {
        if self.parked.is_empty() {
            return match self.queue.recv_timeout(IDLE_INTERVAL) {
                Ok(first) => Next::Units(gather(*first, self.limits, |limit| self.wait(limit))),
                Err(RecvTimeoutError::Timeout) => Next::Nothing,
                Err(RecvTimeoutError::Disconnected) => Next::Closed,
            };
        }
        let closed = self.is_closed();
        let left = if self.parked.is_spoolable() {
            self.retry_at.saturating_duration_since(Instant::now())
        } else {
            PARKED_INTERVAL
        };
        if closed && !left.is_zero() {
            match self.queue.recv_timeout(left) {
                Ok(first) => {
                    return Next::Units(gather(*first, self.limits, |limit| self.wait(limit)));
                }
                // No more will come, so this does not wait by itself.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(left),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let Some(first) = self.parked.pop(closed) else {
            return Next::Nothing;
        };
        Next::Parked(gather(first, self.limits, |_| self.parked.pop(closed)))
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Unit> {
        let unit = match deadline {
            None => self.queue.try_recv().ok(),
            Some(deadline) => self.queue.recv_deadline(deadline).ok(),
        };
        unit.map(|unit| *unit)
    }

    /// Whether the database is known to be away.
    fn is_closed(&self) -> bool {
        let gate = self.spooler.as_ref().map(|spooler| &spooler.gate);
        gate.is_some_and(|gate| gate.is_closed())
    }

    /// Writes units, or spools them, or parks them.
    fn handle(&mut self, runtime: &Runtime, mut units: Vec<Unit>) {
        let after = self.spooler.as_ref().map(|spooler| spooler.config.after);
        if let Some(after) = after {
            self.writer.set_deadline(after);
            let oldest = units.first().map(|unit| unit.age());
            if oldest.is_some_and(|age| age > after) {
                // Postgres is too slow for what comes.
                units = self.spool(units);
            }
        }
        if !units.is_empty() && !self.is_closed() {
            units = self.write(runtime, units);
        }
        if !units.is_empty() {
            units = self.spool(units);
        }
        self.parked.extend(units);
    }

    /// The same of units that were parked: each time the database is late they
    /// give it more time, or they might never be written.
    fn handle_parked(&mut self, runtime: &Runtime, mut units: Vec<Unit>) {
        if !self.is_closed() {
            self.writer.set_deadline(self.timeout);
            units = self.write(runtime, units);
            match &self.spooler {
                Some(spooler) if units.is_empty() => self.timeout = spooler.config.after,
                _ => self.timeout = self.writer.cap_deadline(self.timeout * 2),
            }
        }
        if !units.is_empty() {
            units = self.spool(units);
        }
        if !units.is_empty() {
            self.retry_at = Instant::now() + PARKED_INTERVAL;
        }
        self.parked.extend(units);
    }

    /// Writes units; returns those that are not settled.
    fn write(&mut self, runtime: &Runtime, units: Vec<Unit>) -> Vec<Unit> {
        let events: Vec<&Event> = units.iter().flat_map(Unit::open).collect();
        match runtime.block_on(self.writer.write(&events)) {
            Ok(outcomes) => update(units, outcomes.into_iter().map(UnitState::Written)),
            Err(PartlyWritten { outcomes, source }) => {
                if let (Some(error), Some(spooler)) = (source, &self.spooler) {
                    spooler.gate.close(&error);
                }
                let state = |outcome: Option<EventOutcome>| {
                    outcome.map_or(UnitState::Open, UnitState::Written)
                };
                update(units, outcomes.into_iter().map(state))
            }
        }
    }

    /// Spools what may be spooled; returns the rest.
    fn spool(&self, units: Vec<Unit>) -> Vec<Unit> {
        let Some(spooler) = &self.spooler else {
            return units;
        };
        let spoolable = |unit: &Unit| unit.least() == Durability::Spooled;
        let (units, mut rest): (Vec<_>, Vec<_>) = units.into_iter().partition(spoolable);
        let events: Vec<&Event> = units.iter().flat_map(Unit::open).collect();
        if events.is_empty() {
            return rest;
        }
        let stored = spooler.store(&events);
        rest.extend(update(
            units,
            iter::repeat_with(|| UnitState::Spooled).take(stored),
        ));
        rest
    }

    fn write_counts(&mut self, runtime: &Runtime) {
        if self.is_closed() {
            return;
        }
        // Not written now, they go with the next transaction.
        if let Err(error) = runtime.block_on(self.writer.write_counts()) {
            tracing::debug!(error = %crate::store::reason(&error), "the ledger is not up to date");
            if let Some(spooler) = &self.spooler {
                spooler.gate.counts_failed(&error);
            }
        }
    }
}

enum Next {
    Units(Vec<Unit>),
    /// They were tried before.
    Parked(Vec<Unit>),
    Nothing,
    /// No more will come.
    Closed,
}

/// Adds what is waiting to the first, up to the limits. `next` is given until
/// when to wait for more.
fn gather(
    first: Unit,
    limits: BatchLimits,
    mut next: impl FnMut(Option<Instant>) -> Option<Unit>,
) -> Vec<Unit> {
    let (mut events, mut bytes) = (first.len(), first.bytes());
    let mut units = vec![first];
    let deadline = (!limits.linger.is_zero()).then(|| Instant::now() + limits.linger);
    while events < limits.max_events && bytes < limits.max_bytes {
        let Some(unit) = next(deadline) else { break };
        events += unit.len();
        bytes += unit.bytes();
        units.push(unit);
    }
    units
}
