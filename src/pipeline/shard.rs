//! One shard: a queue and the thread that empties it into Postgres.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;

use super::ticket::Tracker;
use crate::event::Event;
use crate::store::Writer;

/// After so long without events a writer brings the ledger up to date.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);

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
#[derive(Debug, Default)]
pub(super) struct Unit {
    events: Vec<(u32, Event)>,
    bytes: usize,
    tracker: Option<Arc<Tracker>>,
}

impl Unit {
    pub fn push(&mut self, index: u32, event: Event) {
        self.bytes += event.weight_bytes();
        self.events.push((index, event));
    }

    pub fn tracked_by(mut self, tracker: Arc<Tracker>) -> Self {
        self.tracker = Some(tracker);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }
}

/// Empties the queue until it is closed and empty, or until the writer gives up.
pub(super) fn run_shard(
    runtime: &Runtime,
    queue: &Receiver<Unit>,
    mut writer: Writer,
    limits: BatchLimits,
) {
    loop {
        let first = match queue.recv_timeout(IDLE_INTERVAL) {
            Ok(unit) => unit,
            // A client that does not let go keeps the queue open.
            Err(RecvTimeoutError::Timeout) if writer.gave_up() => return,
            Err(RecvTimeoutError::Timeout) => {
                write_counts(runtime, &mut writer);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let units = gather(first, queue, limits);
        let events: Vec<&Event> = units
            .iter()
            .flat_map(|unit| unit.events.iter().map(|(_, event)| event))
            .collect();
        let Ok(fates) = runtime.block_on(writer.write(&events)) else {
            // Dropping the units tells their clients to send again.
            tracing::warn!(
                events = events.len(),
                "not settled at shutdown; clients are told to resend"
            );
            return;
        };
        settle(units, fates);
    }
    write_counts(runtime, &mut writer);
}

/// Takes what is waiting, up to the limits.
fn gather(first: Unit, queue: &Receiver<Unit>, limits: BatchLimits) -> Vec<Unit> {
    let (mut events, mut bytes) = (first.len(), first.bytes);
    let mut units = vec![first];
    let deadline = (!limits.linger.is_zero()).then(|| std::time::Instant::now() + limits.linger);
    while events < limits.max_events && bytes < limits.max_bytes {
        let next = match deadline {
            None => queue.try_recv().ok(),
            Some(deadline) => queue.recv_deadline(deadline).ok(),
        };
        let Some(unit) = next else { break };
        events += unit.len();
        bytes += unit.bytes;
        units.push(unit);
    }
    units
}

fn settle(units: Vec<Unit>, fates: Vec<crate::store::Fate>) {
    let mut fates = fates.into_iter();
    for unit in units {
        let indexes = unit.events.iter().map(|(index, _)| *index);
        if let Some(tracker) = &unit.tracker {
            tracker.settle(indexes.zip(fates.by_ref()));
        }
    }
}

fn write_counts(runtime: &Runtime, writer: &mut Writer) {
    // Not written now, they go with the next transaction.
    if let Err(error) = runtime.block_on(writer.write_counts()) {
        tracing::debug!(error = %crate::store::reason(&error), "the ledger is not up to date");
    }
}
