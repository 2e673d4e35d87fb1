//! What `--slots-model` measures and computes. They define its JSON.

use serde::Serialize;

use super::batches::BatchTotals;
use super::parts::{CpuPart, PartReading};
use super::{Coordination, ModelTrial};
use crate::bench::figures::{Machine, Spread};
use crate::capacity::{CostPoint, SlotCosts, SpreadRate, SpreadSettings, WorkCost};

const MICROS_PER_SECOND: f64 = 1e6;

/// All results.
#[derive(Debug, Serialize)]
pub(super) struct ModelReport {
    /// What the computed rates are not.
    pub note: &'static str,
    /// What the computation takes for true.
    pub assumptions: &'static [&'static str],
    /// The command line that repeats the benchmark.
    pub command: String,
    /// The time of the benchmark, RFC 3339.
    pub at: String,
    pub machine: Machine,
    /// The daemon's version.
    pub runtraced: &'static str,
    /// Postgres' version and its settings that affect writes, by name.
    pub postgres: Vec<(String, String)>,
    /// The machines and settings of the computed rates.
    pub settings: SpreadSettings,
    pub workloads: Vec<WorkloadModel>,
}

/// The results with one workload.
#[derive(Debug, Serialize)]
pub(super) struct WorkloadModel {
    pub workload: &'static str,
    /// Events of each round.
    pub events: u64,
    pub rounds: usize,
    pub trials: Vec<TrialFigures>,
    /// What the trials with slots explain, by part. In microseconds.
    pub parts: Vec<PartCost>,
    pub coordination: Coordination,
    /// What the rates are computed from.
    pub costs: SlotCosts,
    /// Computed.
    pub rates: Vec<SpreadRate>,
}

/// What was measured in one way.
#[derive(Debug, Serialize)]
pub(super) struct TrialFigures {
    pub trial: ModelTrial,
    /// The rate of this machine.
    pub events_per_second: Spread,
    pub events_per_transaction: Spread,
    /// CPU time for an event in microseconds, in the order of [`CpuPart::ALL`].
    pub cpu_us: Vec<Spread>,
    /// Bytes of write-ahead log for an event.
    pub log_bytes: Spread,
    /// Bytes of an event in the memory of the daemon.
    pub event_bytes: Spread,
}

/// What a part takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct PartCost {
    pub part: CpuPart,
    pub cost_us: WorkCost,
}

/// One delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelRound {
    pub events: u64,
    pub seconds: f64,
    pub used: PartReading,
    pub batches: BatchTotals,
}

impl TrialFigures {
    pub fn of(trial: ModelTrial, rounds: &[ModelRound]) -> Self {
        let spread = |of: &dyn Fn(&ModelRound) -> f64| Spread::of(rounds.iter().map(of));
        let micros = |part: CpuPart| {
            let place = part as usize;
            spread(&|one| one.used.seconds[place] * MICROS_PER_SECOND / one.events as f64)
        };
        Self {
            trial,
            events_per_second: spread(&|one| one.events as f64 / one.seconds),
            events_per_transaction: spread(&|one| one.events as f64 / one.batches.transactions),
            cpu_us: CpuPart::ALL.map(micros).into(),
            log_bytes: spread(&|one| one.used.log_bytes / one.events as f64),
            event_bytes: spread(&|one| one.batches.bytes / one.batches.events),
        }
    }

    /// What a part took, in the middle.
    pub fn point(&self, part: CpuPart) -> CostPoint {
        CostPoint {
            micros: self.cpu_us[part as usize].median,
            transactions: 1.0 / self.events_per_transaction.median,
        }
    }

    /// All parts of the daemon, or all of Postgres.
    pub fn total_us(&self, of_daemon: bool) -> f64 {
        let parts = CpuPart::ALL.into_iter();
        parts
            .filter(|part| part.is_of_daemon() == of_daemon)
            .map(|part| self.point(part).micros)
            .sum()
    }
}

/// What each part takes, from trials with large and with small transactions.
pub(super) fn part_costs(large: &TrialFigures, small: &TrialFigures) -> Vec<PartCost> {
    let cost = |part| PartCost {
        part,
        cost_us: WorkCost::of_two(large.point(part), small.point(part)),
    };
    CpuPart::ALL.map(cost).into()
}

/// What a transaction takes in addition if it changes the slot: what the trial takes more than the costs
/// explain.
pub(super) fn change_of_slot(parts: &[PartCost], changing: &TrialFigures) -> f64 {
    let part = CpuPart::WriterSessions;
    let point = changing.point(part);
    let explained = parts[part as usize]
        .cost_us
        .of_event(1.0 / point.transactions);
    ((point.micros - explained) / point.transactions).max(0.0)
}

/// What the model computes with.
pub(super) fn slot_costs(
    parts: &[PartCost],
    large: &TrialFigures,
    coordination: &Coordination,
) -> SlotCosts {
    let sum = |of_daemon: bool| {
        let parts = parts
            .iter()
            .filter(|one| one.part.is_of_daemon() == of_daemon);
        parts.fold(WorkCost::default(), |sum, one| sum.and(one.cost_us))
    };
    SlotCosts {
        worker: sum(false),
        daemon: sum(true),
        change_of_slot: coordination.change_of_slot_us,
        shared: WorkCost {
            per_event: coordination.session_us * coordination.session_names_per_event,
            per_transaction: coordination.ledger_transaction_us,
        },
        event_bytes: large.event_bytes.median,
        log_bytes: large.log_bytes.median,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trial in which each part takes 10 µs for an event and 1,000 µs for a transaction, and writers'
    /// sessions `more` for one.
    fn trial(transactions: f64, more: f64) -> TrialFigures {
        let mut used = PartReading::default();
        for (part, seconds) in CpuPart::ALL.into_iter().zip(&mut used.seconds) {
            let more = if part == CpuPart::WriterSessions {
                more
            } else {
                0.0
            };
            *seconds = (1_000.0 * 10.0 + transactions * (1_000.0 + more)) / 1e6;
        }
        used.log_bytes = 900_000.0;
        let round = ModelRound {
            events: 1_000,
            seconds: 2.0,
            used,
            batches: BatchTotals {
                transactions,
                events: 1_000.0,
                bytes: 1.5e6,
            },
        };
        TrialFigures::of(ModelTrial::Slots, &[round])
    }

    fn equal(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-6, "{found} instead of {wanted}");
    }

    #[test]
    fn trials_tell_what_events_transactions_and_changes_cost() {
        let large = trial(1.0, 0.0);
        equal(large.events_per_second.median, 500.0);
        let parts = part_costs(&large, &trial(10.0, 0.0));
        for part in &parts {
            equal(part.cost_us.per_event, 10.0);
            equal(part.cost_us.per_transaction, 1_000.0);
        }
        let change = change_of_slot(&parts, &trial(10.0, 300.0));
        equal(change, 300.0);
        let coordination = Coordination {
            change_of_slot_us: change,
            ledger_transaction_us: 200.0,
            session_us: 50.0,
            session_names_per_event: 0.04,
            sums_us_per_event: 7.0,
        };
        let costs = slot_costs(&parts, &large, &coordination);
        // Two parts are of the daemon, five of Postgres.
        equal(costs.daemon.per_event, 20.0);
        equal(costs.worker.per_event, 50.0);
        equal(costs.worker.per_transaction, 5_000.0);
        equal(costs.shared.per_event, 2.0);
        equal(costs.shared.per_transaction, 200.0);
        equal(costs.event_bytes, 1_500.0);
        equal(costs.log_bytes, 900.0);
    }

    #[test]
    fn a_change_that_does_not_show_costs_nothing() {
        let parts = part_costs(&trial(1.0, 0.0), &trial(10.0, 0.0));
        equal(change_of_slot(&parts, &trial(10.0, -100.0)), 0.0);
    }
}
