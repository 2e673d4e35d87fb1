//! What rate slots on several servers would reach, computed from measured CPU time.
//!
//! Such a store does not exist: its slots are all in one database. So this is a model, and whoever
//! prints its figures must say so.

use serde::Serialize;

/// The most slots that a store can have.
pub const MOST_SLOTS: u64 = 64;
/// Slots for each server. Whole slots would move to a server that is added, so one is too few.
const SLOTS_PER_SERVER: u64 = 4;
/// Of the events that a daemon holds, this share is in transactions. The others arrive or wait.
const SHARE_IN_TRANSACTIONS: f64 = 0.5;
const MICROS_PER_SECOND: f64 = 1e6;

/// CPU time of work, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct WorkCost {
    pub per_event: f64,
    pub per_transaction: f64,
}

/// CPU time and transactions for an event, as measured with one size of transactions.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct CostPoint {
    pub micros: f64,
    pub transactions: f64,
}

/// What the model computes with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SlotCosts {
    /// A server's Postgres.
    pub worker: WorkCost,
    /// A daemon.
    pub daemon: WorkCost,
    /// Postgres, in addition, for a transaction whose connection had another slot before. In microseconds.
    pub change_of_slot: f64,
    /// The server that has what is in no slot: the ledger and sessions.
    pub shared: WorkCost,
    /// Bytes of an event in the memory of a daemon.
    pub event_bytes: f64,
    /// Bytes of write-ahead log for an event.
    pub log_bytes: f64,
}

/// The machines and settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SpreadSettings {
    /// Processors of a server that has slots.
    pub worker_cores: f64,
    /// Processors of the server that has what is in no slot.
    pub shared_cores: f64,
    /// Processors of a machine for a daemon.
    pub daemon_cores: f64,
    /// The daemon's `--memory-budget-bytes`.
    pub budget_bytes: f64,
    /// The daemon's `--batch-events`.
    pub batch_events: f64,
    /// The most writers of a daemon.
    pub most_writers: u64,
}

/// What is busy first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpreadLimit {
    /// The processors of the servers that have slots.
    Workers,
    /// Those of the server that has what is in no slot.
    SharedServer,
}

/// What a number of servers reaches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SpreadRate {
    /// Servers that have slots.
    pub workers: u64,
    /// All slots.
    pub slots: u64,
    /// Events of a transaction.
    pub batch_events: f64,
    /// Events a second.
    pub events_per_second: f64,
    /// The rate, relative to that of one server times the number of servers.
    pub of_linear: f64,
    /// What is busy first.
    pub limit: SpreadLimit,
    /// Processors that are busy of the server that has what is in no slot.
    pub shared_busy_cores: f64,
    /// Daemons whose processors are all busy.
    pub daemons: u64,
    /// Connections of all daemons to each server.
    pub connections: u64,
    /// Bytes of write-ahead log a second on each server.
    pub log_bytes_per_second: f64,
}

impl WorkCost {
    /// The costs that explain two measurements with transactions of different sizes. A cost is never
    /// less than 0: if the measurements do not show one, it is 0.
    #[must_use]
    pub fn of_two(large: CostPoint, small: CostPoint) -> Self {
        let more = small.transactions - large.transactions;
        let per_transaction = if more > 0.0 {
            ((small.micros - large.micros) / more).max(0.0)
        } else {
            0.0
        };
        let per_event = large.micros - per_transaction * large.transactions;
        Self {
            per_event: per_event.max(0.0),
            per_transaction,
        }
    }

    /// Microseconds for an event in a transaction of so many.
    #[must_use]
    pub fn of_event(self, batch_events: f64) -> f64 {
        self.per_event + self.per_transaction / batch_events
    }

    /// Both works.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            per_event: self.per_event + other.per_event,
            per_transaction: self.per_transaction + other.per_transaction,
        }
    }
}

/// The slots of a store on so many servers: a power of two, four for each server or more while 64
/// are enough. `None`: there are more servers than slots can be.
fn slots_to_spread(servers: u64) -> Option<u64> {
    let wanted = servers.saturating_mul(SLOTS_PER_SERVER);
    (servers <= MOST_SLOTS).then(|| wanted.next_power_of_two().min(MOST_SLOTS))
}

/// What 1, 2, 4 … servers reach, up to as many as there can be slots.
#[must_use]
pub fn rates(costs: &SlotCosts, settings: &SpreadSettings) -> Vec<SpreadRate> {
    let powers = (0..=MOST_SLOTS.ilog2()).map(|power| 1_u64 << power);
    let mut rates: Vec<SpreadRate> = powers.map(|n| rate(costs, settings, n)).collect();
    let one = rates.first().map_or(0.0, |first| first.events_per_second);
    for rate in &mut rates {
        rate.of_linear = rate.events_per_second / (one * float(rate.workers));
    }
    rates
}

fn rate(costs: &SlotCosts, settings: &SpreadSettings, workers: u64) -> SpreadRate {
    let slots = slots_to_spread(workers).unwrap_or(MOST_SLOTS);
    let held = settings.budget_bytes / costs.event_bytes * SHARE_IN_TRANSACTIONS;
    let batch = (held / float(slots)).clamp(1.0, settings.batch_events);
    let mut worker = costs.worker;
    if connection_slots(settings, workers, slots) > 1 {
        worker.per_transaction += costs.change_of_slot;
    }
    let (of_worker, of_shared) = (worker.of_event(batch), costs.shared.of_event(batch));
    let by_workers = float(workers) * settings.worker_cores * MICROS_PER_SECOND / of_worker;
    let by_shared = settings.shared_cores * MICROS_PER_SECOND / of_shared;
    let events_per_second = by_workers.min(by_shared);
    let daemon_cores = events_per_second * costs.daemon.of_event(batch) / MICROS_PER_SECOND;
    let daemons = whole(daemon_cores / settings.daemon_cores);
    let writers = slots.min(settings.most_writers);
    SpreadRate {
        workers,
        slots,
        batch_events: batch,
        events_per_second,
        of_linear: 1.0,
        limit: if by_shared < by_workers {
            SpreadLimit::SharedServer
        } else {
            SpreadLimit::Workers
        },
        shared_busy_cores: events_per_second * of_shared / MICROS_PER_SECOND,
        daemons,
        connections: daemons * writers.div_ceil(workers),
        log_bytes_per_second: events_per_second * costs.log_bytes / float(workers),
    }
}

/// The slots that one connection serves: those of its writer that are on its server.
fn connection_slots(settings: &SpreadSettings, workers: u64, slots: u64) -> u64 {
    let of_writer = slots.div_ceil(settings.most_writers);
    of_writer.min(slots / workers)
}

/// A number of machines: at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count that no cast harms
fn whole(needed: f64) -> u64 {
    needed.ceil().max(1.0) as u64
}

#[allow(clippy::cast_precision_loss)] // far fewer than 2^53
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
