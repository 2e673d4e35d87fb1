//! One shard: a queue and the thread that empties it into Postgres, or into the
//! spool while Postgres is away.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;

use super::batch::Durability;
use super::parked::Parked;
use super::spooler::Spooler;
use super::ticket::Tracker;
use crate::event::Event;
use crate::store::{Fate, Unsettled, Writer};

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

/// The part of a client's batch that goes to one shard.
#[derive(Debug)]
pub(super) struct Unit {
    events: Vec<(u32, Event)>,
    /// What has become of each event; empty until something is known of any.
    states: Vec<State>,
    bytes: usize,
    admitted: Instant,
    /// The least that the client wants.
    least: Durability,
    tracker: Option<Arc<Tracker>>,
}

#[derive(Debug)]
enum State {
    Open,
    Written(Fate),
    Spooled,
}

impl Unit {
    /// An empty one, with room for so many events and no more: most of the budget
    /// waits in units.
    pub fn new(least: Durability, events: usize) -> Self {
        Self {
            events: Vec::with_capacity(events),
            states: Vec::new(),
            bytes: 0,
            admitted: Instant::now(),
            least,
            tracker: None,
        }
    }

    pub fn push(&mut self, index: u32, event: Event) {
        self.bytes += event.weight_bytes();
        self.events.push((index, event));
    }

    pub fn tracked_by(mut self, tracker: Arc<Tracker>) -> Self {
        self.tracker = Some(tracker);
        self
    }

    pub fn least(&self) -> Durability {
        self.least
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Events of which it is not known yet what becomes of them.
    fn open(&self) -> impl Iterator<Item = &Event> {
        let states = self.states.iter().map(Some);
        let all = self.events.iter().zip(states.chain(iter::repeat(None)));
        all.filter(|(_, state)| matches!(state, None | Some(State::Open)))
            .map(|((_, event), _)| event)
    }

    /// What has become of the open events, in their order.
    fn update(&mut self, states: impl Iterator<Item = State>) {
        let mut states = states.peekable();
        if states.peek().is_none() {
            return;
        }
        self.states.resize_with(self.events.len(), || State::Open);
        for state in &mut self.states {
            if matches!(state, State::Open)
                && let Some(new) = states.next()
            {
                *state = new;
            }
        }
    }

    /// Answers for it if nothing is open; gives it back if something is.
    fn settle(self) -> Option<Self> {
        if self.open().next().is_some() {
            return Some(self);
        }
        let indexes = self.events.iter().map(|(index, _)| *index);
        let fates = self.states.into_iter().map(|state| match state {
            State::Written(fate) => Some(fate),
            State::Open | State::Spooled => None,
        });
        if let Some(tracker) = &self.tracker {
            tracker.settle(indexes.zip(fates));
        }
        None
    }
}

/// Says what has become of the open events of units; returns those that still
/// have some.
fn update(units: Vec<Unit>, states: impl IntoIterator<Item = State>) -> Vec<Unit> {
    let mut states = states.into_iter();
    let mut rest = Vec::new();
    for mut unit in units {
        let open = unit.open().count();
        unit.update(states.by_ref().take(open));
        rest.extend(unit.settle());
    }
    rest
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
    pub patience: Duration,
    /// When parked units are tried again while the database is away, however
    /// many new ones come: the spool may have room again.
    pub retry_at: Instant,
}

impl Shard {
    /// Empties the queue until it is closed and empty, or until the writer gives up.
    pub fn run(mut self, runtime: &Runtime) {
        let mut open = true;
        self.writer.set_deadline(self.patience);
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
            let oldest = units.first().map(|unit| unit.admitted.elapsed());
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
            self.writer.set_deadline(self.patience);
            units = self.write(runtime, units);
            match &self.spooler {
                Some(spooler) if units.is_empty() => self.patience = spooler.config.after,
                _ => self.patience = self.writer.longest(self.patience * 2),
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
            Ok(fates) => update(units, fates.into_iter().map(State::Written)),
            Err(Unsettled { fates, source }) => {
                if let (Some(error), Some(spooler)) = (source, &self.spooler) {
                    spooler.gate.close(&error);
                }
                let state = |fate: Option<Fate>| fate.map_or(State::Open, State::Written);
                update(units, fates.into_iter().map(state))
            }
        }
    }

    /// Spools what may be spooled; returns the rest.
    fn spool(&self, units: Vec<Unit>) -> Vec<Unit> {
        let Some(spooler) = &self.spooler else {
            return units;
        };
        let spoolable = |unit: &Unit| unit.least == Durability::Spooled;
        let (units, mut rest): (Vec<_>, Vec<_>) = units.into_iter().partition(spoolable);
        let events: Vec<&Event> = units.iter().flat_map(Unit::open).collect();
        if events.is_empty() {
            return rest;
        }
        let stored = spooler.store(&events);
        rest.extend(update(
            units,
            iter::repeat_with(|| State::Spooled).take(stored),
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
    let (mut events, mut bytes) = (first.len(), first.bytes);
    let mut units = vec![first];
    let deadline = (!limits.linger.is_zero()).then(|| Instant::now() + limits.linger);
    while events < limits.max_events && bytes < limits.max_bytes {
        let Some(unit) = next(deadline) else { break };
        events += unit.len();
        bytes += unit.bytes;
        units.push(unit);
    }
    units
}
