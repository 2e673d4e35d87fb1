//! One shard: a queue, and the thread that writes its events to Postgres, or to the spool
//! while Postgres is away.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;

use super::batch::Durability;
use super::held::HeldUnits;
use super::isolation::Isolation;
use super::parked::ParkedUnits;
use super::route::RoutingTable;
use super::spooler::Spooler;
use super::unit::{EventState, Unit, update};
use crate::event::Event;
use crate::histograms::{Histograms, WritePhase, WriterKind};
use crate::own_spans::OwnSpans;
use crate::store::{EventOutcome, Unwritten, Writer};

/// A writer without events updates the ledger after this time.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// The time between two attempts to settle parked units.
const PARKED_INTERVAL: Duration = Duration::from_millis(100);

/// When a writer stops gathering units and commits.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Events per transaction. A unit is never split, so the last one may exceed this.
    pub max_events: usize,
    /// Bytes per transaction. The last unit may exceed this, too.
    pub max_bytes: usize,
    /// How long to wait for more units after the first. Zero: take the units that are
    /// queued, and commit immediately. More units queue up while one batch commits.
    pub linger: Duration,
}

/// The state of the thread.
pub(super) struct Shard {
    /// The units are boxed because a queue allocates its whole capacity.
    pub queue: Receiver<Box<Unit>>,
    pub writer: Writer,
    /// It learns from the writers how the database keeps rows.
    pub routes: Arc<RoutingTable>,
    pub histograms: Arc<Histograms>,
    pub own_spans: OwnSpans,
    pub limits: BatchLimits,
    pub spooler: Option<Spooler>,
    /// Units that wait for the write batch of their slot.
    pub held: HeldUnits,
    /// Units that neither Postgres nor the spool could take.
    pub parked: ParkedUnits,
    /// Units that hold events that Postgres refuses.
    pub isolation: Isolation,
    /// The time limit of a transaction of parked units.
    pub timeout: Duration,
    /// When to try parked units again while the database is away. New units do not delay
    /// this: the spool may accept events again.
    pub retry_at: Instant,
}

impl Shard {
    /// Runs until the queue is closed and empty, or until the writer gives up.
    pub fn run(mut self, runtime: &Runtime) {
        let mut open = true;
        self.writer.set_deadline(self.timeout);
        while open || self.has_units() {
            let waiting = self.held.events() + self.parked.events() + self.isolation.events();
            if self.writer.gave_up() && waiting > 0 {
                // Dropping the units tells their clients to send the events again.
                tracing::warn!(
                    events = waiting,
                    "events not settled at shutdown; their clients must send them again"
                );
                return;
            }
            match self.next() {
                NextWork::Units(units) => self.handle(runtime, units),
                NextWork::Parked(units) => self.handle_parked(runtime, units),
                // A client that keeps its call open keeps the queue open.
                NextWork::Idle if self.writer.gave_up() => break,
                NextWork::Idle if self.isolation.is_empty() => self.write_counts(runtime),
                NextWork::Idle => {}
                NextWork::Closed => open = false,
            }
            if !self.isolation.is_empty() {
                self.isolate(runtime);
            }
        }
        if !self.writer.gave_up() {
            self.write_counts(runtime);
        }
    }

    fn has_units(&self) -> bool {
        !(self.held.is_empty() && self.parked.is_empty() && self.isolation.is_empty())
    }

    /// Takes the next work. Once the database is back, parked units come before new ones.
    fn next(&mut self) -> NextWork {
        if let Some(first) = self.held.pop_oldest() {
            return self.gather_queued(first);
        }
        if self.parked.is_empty() {
            let wait = if self.isolation.is_empty() {
                IDLE_INTERVAL
            } else {
                Duration::ZERO
            };
            return match self.queue.recv_timeout(wait) {
                Ok(first) => self.gather_queued(*first),
                Err(RecvTimeoutError::Timeout) => NextWork::Idle,
                Err(RecvTimeoutError::Disconnected) => NextWork::Closed,
            };
        }
        let closed = self.gate_is_closed();
        let pause = if self.parked.has_spoolable() {
            self.retry_at.saturating_duration_since(Instant::now())
        } else {
            PARKED_INTERVAL
        };
        if closed && !pause.is_zero() {
            match self.queue.recv_timeout(pause) {
                Ok(first) => return self.gather_queued(*first),
                // A disconnected queue returns at once.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(pause),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let Some(first) = self.parked.pop(closed) else {
            return NextWork::Idle;
        };
        NextWork::Parked(gather(first, self.limits, |_| self.parked.pop(closed)))
    }

    /// Gathers units of the same part, which are of one slot.
    fn gather_queued(&mut self, first: Unit) -> NextWork {
        let (part, limits) = (first.part(), self.limits);
        NextWork::Units(gather(first, limits, |deadline| {
            self.next_of(part, deadline)
        }))
    }

    fn next_of(&mut self, part: usize, deadline: Option<Instant>) -> Option<Unit> {
        if let Some(unit) = self.held.pop_of(part) {
            return Some(unit);
        }
        loop {
            let unit = *match deadline {
                None => self.queue.try_recv().ok(),
                Some(deadline) => self.queue.recv_deadline(deadline).ok(),
            }?;
            if unit.part() == part {
                return Some(unit);
            }
            self.held.push(unit);
        }
    }

    pub(super) fn gate_is_closed(&self) -> bool {
        let gate = self.spooler.as_ref().map(|spooler| &spooler.gate);
        gate.is_some_and(|gate| gate.is_closed())
    }

    /// Writes units; spools those that cannot be written; parks the rest.
    fn handle(&mut self, runtime: &Runtime, mut units: Vec<Unit>) {
        self.set_fresh_deadline();
        units = self.isolation.divert(units);
        if let Some(after) = self.spooler.as_ref().map(|spooler| spooler.config.after) {
            let oldest = units.first().map(|unit| unit.age());
            if oldest.is_some_and(|age| age > after) {
                // Postgres is too slow for the load.
                units = self.spool(units);
            }
        }
        if !units.is_empty() && !self.gate_is_closed() {
            for unit in &units {
                self.histograms.phase(WritePhase::Queue, unit.age());
            }
            units = self.write(runtime, units);
        }
        if !units.is_empty() {
            units = self.spool(units);
        }
        self.parked.extend(units);
    }

    /// Sets the time limit of transactions of units that were not parked.
    pub(super) fn set_fresh_deadline(&mut self) {
        if let Some(spooler) = &self.spooler {
            self.writer.set_deadline(spooler.config.after);
        }
    }

    /// Does the same for parked units. Their time limit doubles after each failure;
    /// otherwise a large transaction might never finish.
    fn handle_parked(&mut self, runtime: &Runtime, mut units: Vec<Unit>) {
        if !self.gate_is_closed() {
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

    /// Writes units. If Postgres refuses them, their refused events are isolated next.
    /// Returns the units that cannot be written now.
    pub(super) fn write(&mut self, runtime: &Runtime, units: Vec<Unit>) -> Vec<Unit> {
        let events: Vec<&Event> = units.iter().flat_map(Unit::open).collect();
        let bytes = units.iter().map(Unit::bytes).sum();
        self.histograms
            .write_batch(WriterKind::Shard, events.len(), bytes);
        match self.write_told(runtime, &units, &events) {
            Ok(outcomes) => {
                self.routes.set_slots(self.writer.slots());
                update(units, outcomes.into_iter().map(EventState::Written))
            }
            Err(Unwritten::Refused(part)) => {
                self.isolation.refuse(units, &part);
                Vec::new()
            }
            Err(Unwritten::Away(error)) => {
                if let (Some(error), Some(spooler)) = (error, &self.spooler) {
                    spooler.gate.close(&error);
                }
                units
            }
        }
    }

    /// Writes events of units in one transaction, and tells of it.
    pub(super) fn write_told(
        &mut self,
        runtime: &Runtime,
        units: &[Unit],
        events: &[&Event],
    ) -> Result<Vec<EventOutcome>, Unwritten> {
        if !self.own_spans.is_on() {
            return runtime.block_on(self.writer.write(events));
        }
        let oldest = units.iter().map(Unit::admitted).min();
        let begin = oldest.unwrap_or_else(Instant::now);
        let mut span = self.own_spans.write_batch(WriterKind::Shard, begin);
        span.caused_by(units.iter().filter_map(Unit::request));
        span.count("runtraced.requests", units.len());
        span.count("runtraced.events", events.len());
        span.lap("queue");
        let result = runtime.block_on(self.writer.write(events));
        span.add(self.writer.take_transactions());
        span.end(result.as_ref().err().map(Unwritten::word));
        result
    }

    /// Spools the units that may be spooled. Returns those that are not settled.
    pub(super) fn spool(&self, units: Vec<Unit>) -> Vec<Unit> {
        let Some(spooler) = &self.spooler else {
            return units;
        };
        let spoolable = |unit: &Unit| unit.min_durability() == Durability::Spooled;
        let (units, mut rest): (Vec<_>, Vec<_>) = units.into_iter().partition(spoolable);
        let events: Vec<&Event> = units.iter().flat_map(Unit::open).collect();
        if events.is_empty() {
            return rest;
        }
        let stored = spooler.store(&events);
        rest.extend(update(
            units,
            iter::repeat_with(|| EventState::Spooled).take(stored),
        ));
        rest
    }

    fn write_counts(&mut self, runtime: &Runtime) {
        if self.gate_is_closed() {
            return;
        }
        // If this fails, the next transaction writes the counts.
        if let Err(error) = runtime.block_on(self.writer.write_counts()) {
            tracing::debug!(error = %crate::store::reason(&error), "cannot update the ledger");
            if let Some(spooler) = &self.spooler {
                spooler.gate.counts_failed(&error);
            }
        }
    }
}

enum NextWork {
    Units(Vec<Unit>),
    /// Units that were tried before.
    Parked(Vec<Unit>),
    Idle,
    /// The queue is closed and empty.
    Closed,
}

/// Gathers units after the first, up to the limits. `next` waits for another unit until
/// the deadline that it gets; `None`: it does not wait.
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
