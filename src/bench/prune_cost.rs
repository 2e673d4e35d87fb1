//! `runtraced bench --prune-cost`: what `runtraced prune` and writers cost each other. The table
//! begins with ten deliveries. Each round deletes the oldest tenth of the runs while new ones arrive.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinHandle;

use super::database::ScratchDatabase;
use super::figures::Spread;
use super::measure::BenchHarness;
use super::progress::BenchProgress;
use super::turns::{WriteFigures, WritersBeside, write};
use super::workload::{Workload, WorkloadKind, WorkloadSpec};
use super::{BenchArgs, start_harness, stop_daemon, workload_spec, write_file};
use crate::console::output;
use crate::reap::{PruneFilter, ReapPace, prune};

/// Deliveries in the table before the first round. A round deletes a tenth of the table.
const DELIVERIES: i64 = 10;
/// The age of what is deleted.
const DAY: Duration = Duration::from_secs(86_400);
/// Share of its time in which `runtraced prune` works, if it is not told another.
const SHARE_PERCENT: u32 = 50;
/// Seed of the first delivery. Each delivery has an own one, because its events must be new.
const FIRST_SEED: u64 = 20_000;

/// What deletions and writers cost each other with one workload.
#[derive(Debug, serde::Serialize)]
struct PruneCost {
    workload: WorkloadKind,
    /// Events of each delivery.
    events: u64,
    /// Rows that were deleted in each round.
    deleted: Spread,
    /// Rows that were deleted a second.
    deleted_per_second: Spread,
    #[serde(flatten)]
    writers: WritersBeside,
}

/// What one round deleted.
#[derive(Clone, Copy, Debug)]
struct Deleted {
    rows: f64,
    seconds: f64,
}

/// Measures, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    let scratch = ScratchDatabase::for_this_process(url)?;
    let progress = BenchProgress::new();
    let mut all = Vec::new();
    scratch.create(None).await?;
    for kind in args.workloads() {
        let started = start_harness(args, &scratch, args.connections, &[], progress.clone()).await;
        let (bench, daemon) = started?;
        scratch.truncate().await?;
        all.push(measure(args, kind, &bench).await?);
        stop_daemon(daemon).await?;
    }
    progress.clear();
    output::print(&all.iter().map(text).collect::<String>())?;
    write_file(args.json.as_deref(), &serde_json::to_string_pretty(&all)?)
}

async fn measure(
    args: &BenchArgs,
    kind: WorkloadKind,
    bench: &BenchHarness,
) -> anyhow::Result<PruneCost> {
    let spec = workload_spec(args, kind);
    let rounds = args.round_count(kind) as u64;
    let mut seeds = FIRST_SEED..;
    let mut next = || {
        let seed = seeds.next().unwrap_or(FIRST_SEED);
        Workload::new(&WorkloadSpec { seed, ..spec })
    };
    for _ in 0..DELIVERIES {
        write(bench, &next(), 0).await?;
    }
    let (mut deleted, mut pairs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let pruning = start_pruning(&bench.scratch).await?;
        let mut beside = Vec::new();
        while beside.is_empty() || !pruning.is_finished() {
            beside.push(write(bench, &next(), round).await?);
        }
        deleted.push(pruning.await??);
        let mut alone = Vec::new();
        for _ in &beside {
            alone.push(write(bench, &next(), round).await?);
        }
        pairs.push((
            WriteFigures::of_equal(&alone),
            WriteFigures::of_equal(&beside),
        ));
    }
    Ok(PruneCost {
        workload: kind,
        events: Workload::new(&spec).events(),
        deleted: Spread::of(deleted.iter().map(|one| one.rows)),
        deleted_per_second: Spread::of(deleted.iter().map(|one| one.rows / one.seconds)),
        writers: WritersBeside::of(&pairs),
    })
}

/// Lets a tenth of the runs be old, those that have not changed for longest, and begins to delete
/// them.
async fn start_pruning(
    scratch: &ScratchDatabase,
) -> anyhow::Result<JoinHandle<anyhow::Result<Deleted>>> {
    let mut conn = scratch.connect().await?;
    let aged = sqlx::query(
        "UPDATE agent_runs SET changed_at = now() - interval '2 days'
         WHERE id IN (SELECT id FROM agent_runs ORDER BY changed_at
                      LIMIT (SELECT count(*) / $1 FROM agent_runs))",
    );
    aged.bind(DELIVERIES).execute(&mut conn).await?;
    Ok(tokio::spawn(async move {
        let begun = Instant::now();
        let filter = PruneFilter {
            older_than: DAY,
            status: None,
            agent: None,
            customer: None,
        };
        let pace = ReapPace::of_share(SHARE_PERCENT);
        let pruned = prune(&mut conn, &filter, false, &pace).await?;
        let rows = pruned.rows.values().iter().sum::<u64>() as f64;
        ensure!(rows > 0.0, "nothing was deleted");
        Ok(Deleted {
            rows,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }))
}

fn text(cost: &PruneCost) -> String {
    format!(
        "{}: {} events a delivery\n\
         \x20 rows deleted a round: {}\n\
         \x20 rows deleted a second: {}\n\
         {}",
        cost.workload.name(),
        cost.events,
        cost.deleted.text(0),
        cost.deleted_per_second.text(0),
        cost.writers.text("prune"),
    )
}
