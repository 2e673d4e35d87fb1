//! `runtraced bench --slots-model`: the CPU time of each part, with slots in transactions of two sizes,
//! and what slots on several servers would reach if they existed.

mod batches;
mod coordination;
mod figures;
mod parts;
mod text;

use self::batches::BatchTotals;
use self::figures::{
    ModelReport, ModelRound, TrialFigures, WorkloadModel, change_of_slot, part_costs, slot_costs,
};
use self::parts::PartWatch;
use super::contender::{Contender, ContenderSetup, remove_all};
use super::load::Pace;
use super::measure::BenchHarness;
use super::progress::BenchProgress;
use super::workload::{Workload, WorkloadKind, WorkloadSpec};
use super::{BenchArgs, machine, workload_spec, write_file};
use crate::capacity::{SpreadSettings, rates};
use crate::console::output;

/// Slots of the databases that have some.
const SLOTS: u8 = 4;
/// `--batch-events` for small transactions.
const SMALL_BATCH: &str = "--batch-events=100";

/// The machines of the computed rates, as `runtraced plan` takes them if nobody says, and the
/// daemon's defaults.
const SETTINGS: SpreadSettings = SpreadSettings {
    worker_cores: 16.0,
    shared_cores: 16.0,
    daemon_cores: 4.0,
    budget_bytes: 67_108_864.0,
    batch_events: 10_000.0,
    most_writers: 16,
};

/// One way to write the same events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelTrial {
    /// No slots.
    OneSlot,
    /// A writer for each slot.
    Slots,
    /// The same with small transactions.
    SmallTransactions,
    /// Small transactions of one writer, which has all slots in turn.
    ChangingSlots,
}

/// What work that all slots share takes, and what slots add.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Coordination {
    /// For a transaction that has another slot than the one before it on its connection.
    pub change_of_slot_us: f64,
    /// For a transaction with its row of the ledger and the statements for sessions, even if it names none.
    pub ledger_transaction_us: f64,
    /// For each session in it.
    pub session_us: f64,
    /// How often events name sessions.
    pub session_names_per_event: f64,
    /// For the sums of runs. Daemons take a twentieth of a processor for them, so they are not in the rates.
    pub sums_us_per_event: f64,
}

impl ModelTrial {
    const ALL: [Self; 4] = [
        Self::OneSlot,
        Self::Slots,
        Self::SmallTransactions,
        Self::ChangingSlots,
    ];

    fn setup(self, args: &BenchArgs) -> ContenderSetup<'static> {
        let (suffix, slots, writers, flags): (_, _, _, &[&str]) = match self {
            Self::OneSlot => ("_one", 1, args.connections, &[]),
            Self::Slots => ("_large", SLOTS, SLOTS.into(), &[]),
            Self::SmallTransactions => ("_small", SLOTS, SLOTS.into(), &[SMALL_BATCH]),
            Self::ChangingSlots => ("_changing", SLOTS, 1, &[SMALL_BATCH]),
        };
        ContenderSetup {
            suffix,
            slots,
            servers: 1,
            writers,
            flags,
        }
    }
}

/// Measures, computes, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    let machine = machine::describe();
    let progress = BenchProgress::new();
    let mut contenders = Vec::new();
    let measured = async {
        for trial in ModelTrial::ALL {
            let setup = trial.setup(args);
            contenders.push(Contender::start(args, url, &setup, &progress).await?);
        }
        let mut workloads = Vec::new();
        for kind in args.workloads() {
            workloads.push(model(args, &contenders, kind).await?);
        }
        anyhow::Ok((contenders[0].bench.scratch.settings().await?, workloads))
    }
    .await;
    let removed = remove_all(contenders).await;
    let (postgres, workloads) = measured?;
    removed?;
    let report = ModelReport {
        note: text::NOTE,
        assumptions: &text::ASSUMPTIONS,
        command: machine::command_line(),
        at: machine::now(),
        machine,
        runtraced: env!("CARGO_PKG_VERSION"),
        postgres,
        settings: SETTINGS,
        workloads,
    };
    progress.clear();
    output::print(&text::text(&report))?;
    write_file(
        args.json.as_deref(),
        &serde_json::to_string_pretty(&report)?,
    )
}

async fn model(
    args: &BenchArgs,
    contenders: &[Contender],
    kind: WorkloadKind,
) -> anyhow::Result<WorkloadModel> {
    let measured = measure(args, contenders, kind).await?;
    let events = measured.iter().flatten().next().map_or(0, |one| one.events);
    let trials: Vec<TrialFigures> = ModelTrial::ALL
        .into_iter()
        .zip(&measured)
        .map(|(trial, rounds)| TrialFigures::of(trial, rounds))
        .collect();
    let of = |trial: ModelTrial| &trials[trial as usize];
    let parts = part_costs(of(ModelTrial::Slots), of(ModelTrial::SmallTransactions));
    let change = change_of_slot(&parts, of(ModelTrial::ChangingSlots));
    let coordination = coordinate(contenders, events as f64, change).await?;
    let costs = slot_costs(&parts, of(ModelTrial::Slots), &coordination);
    Ok(WorkloadModel {
        workload: kind.name(),
        events,
        rounds: args.round_count(kind),
        rates: rates(&costs, &SETTINGS),
        trials,
        parts,
        coordination,
        costs,
    })
}

/// Measures what slots share, over the rows of the last round.
async fn coordinate(
    contenders: &[Contender],
    events: f64,
    change_of_slot_us: f64,
) -> anyhow::Result<Coordination> {
    let scratch = |trial: ModelTrial| &contenders[trial as usize].bench.scratch;
    contenders[0].bench.progress.stage("what slots share");
    // Of the last trial: the daemons of the others have perhaps made their sums.
    let sums = coordination::measure_sums(scratch(ModelTrial::ChangingSlots)).await?;
    let plain = scratch(ModelTrial::OneSlot);
    let names = coordination::count_session_names(plain).await?;
    let shared = coordination::measure_ledger_and_sessions(plain).await?;
    Ok(Coordination {
        change_of_slot_us,
        ledger_transaction_us: shared.per_transaction,
        session_us: shared.per_event,
        session_names_per_event: names / events,
        sums_us_per_event: sums / events,
    })
}

/// Measures all trials in turns, after one round that warms up. One list for each trial.
async fn measure(
    args: &BenchArgs,
    contenders: &[Contender],
    kind: WorkloadKind,
) -> anyhow::Result<Vec<Vec<ModelRound>>> {
    let mut all: Vec<Vec<ModelRound>> = vec![Vec::new(); contenders.len()];
    for round in 0..=args.round_count(kind) as u64 {
        let workload = Workload::new(&WorkloadSpec {
            seed: args.seed + round,
            ..workload_spec(args, kind)
        });
        for (contender, rounds) in contenders.iter().zip(&mut all) {
            let measured = deliver(&contender.bench, &workload, round).await?;
            if round > 0 {
                rounds.push(measured);
            }
        }
    }
    Ok(all)
}

/// Delivers a workload into empty tables.
async fn deliver(
    bench: &BenchHarness,
    workload: &Workload,
    round: u64,
) -> anyhow::Result<ModelRound> {
    bench.scratch.truncate().await?;
    let mut watch = PartWatch::open(bench).await?;
    let batches = BatchTotals::ask(&bench.page).await?;
    let before = watch.read().await?;
    let stage = format!("{}: round {round}", workload.kind.name());
    let delivery = bench.deliver(workload, &stage, Pace::Full).await?;
    watch.checkpoint().await?;
    Ok(ModelRound {
        events: workload.events(),
        seconds: delivery.took.as_secs_f64(),
        used: watch.read().await?.since(before),
        batches: BatchTotals::ask(&bench.page).await?.since(batches),
    })
}
