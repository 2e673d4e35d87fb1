//! Measures how rates change with one setting, and with rows already in the tables.

use std::ops::Range;

use sqlx::AssertSqlSafe;

use super::args::BenchArgs;
use super::database::ScratchDatabase;
use super::figures::{GrowthFigures, ScalingFigures, Spread};
use super::measure::{BenchHarness, MeasurePlan};
use super::progress::BenchProgress;
use super::workload::{IdVersion, Workload, WorkloadKind, WorkloadSpec};
use super::{start_harness, stop_daemon, workload_spec};

/// Rounds per value: the fewest that give a median and a spread.
const ROUNDS: usize = 3;
/// Connections to try: from half to twice the default.
const CONNECTION_COUNTS: [usize; 3] = [1, 2, 4];
/// Values of `--batch-events` to try.
const BATCH_EVENTS: [u32; 5] = [100, 1_000, 5_000, 10_000, 20_000];
/// Divides the rows of each round, because scaling has many values to measure.
const SCALING_ROWS_DIVISOR: usize = 2;
/// Seed of the first round into grown tables. It differs from the seeds for empty tables, so
/// that all ids are new.
const FIRST_GROWN_SEED: u64 = 1_000;

/// Measures `steps` by the number of connections, and by the largest batch.
///
/// # Errors
/// When any part fails.
pub async fn scaling(
    args: &BenchArgs,
    scratch: &ScratchDatabase,
    progress: &BenchProgress,
) -> anyhow::Result<Vec<ScalingFigures>> {
    let mut connections = ScalingFigures {
        kind: WorkloadKind::Steps,
        what: "connections".into(),
        points: Vec::new(),
    };
    let spec = WorkloadSpec {
        rows: args.round_rows(WorkloadKind::Steps) / SCALING_ROWS_DIVISOR,
        ..workload_spec(args, WorkloadKind::Steps)
    };
    let plan = MeasurePlan {
        rounds: ROUNDS,
        sweep: false,
        latency_hold: None,
    };
    for count in CONNECTION_COUNTS {
        let (bench, daemon) = start_harness(args, scratch, count, &[], progress.clone()).await?;
        let figures = bench.workload(&spec, plan).await?;
        stop_daemon(daemon).await?;
        let direct = figures
            .spread(|round| round.direct.rows_per_second())
            .median;
        let through = figures
            .spread(|round| round.through.rows_per_second())
            .median;
        connections
            .points
            .push((count as f64, Some(direct), through));
    }
    let mut events = ScalingFigures {
        kind: WorkloadKind::Steps,
        what: "events per transaction (maximum)".into(),
        points: Vec::new(),
    };
    for max_events in BATCH_EVENTS {
        let flag = format!("--batch-events={max_events}");
        let started =
            start_harness(args, scratch, args.connections, &[&flag], progress.clone()).await?;
        let (bench, daemon) = started;
        let figures = bench.workload(&spec, plan).await?;
        stop_daemon(daemon).await?;
        let through = figures
            .spread(|round| round.through.rows_per_second())
            .median;
        events.points.push((f64::from(max_events), None, through));
    }
    Ok(vec![connections, events])
}

/// Measures rates into empty tables and into tables that hold `--grow-to` steps, for both
/// UUID versions.
///
/// # Errors
/// When any part fails.
pub async fn growth(
    args: &BenchArgs,
    scratch: &ScratchDatabase,
    progress: &BenchProgress,
) -> anyhow::Result<Vec<GrowthFigures>> {
    let mut all = Vec::new();
    for (name, ids) in [("v7", IdVersion::V7), ("v4", IdVersion::V4)] {
        let (bench, daemon) =
            start_harness(args, scratch, args.connections, &[], progress.clone()).await?;
        let spec = WorkloadSpec {
            ids,
            ..workload_spec(args, WorkloadKind::Steps)
        };
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS as u64 {
            scratch.truncate().await?;
            let rate = measure_rate(&bench, &spec, round, "empty tables").await?;
            // The first round warms up.
            if round > 0 {
                rates[0].push(rate);
            }
        }
        scratch.truncate().await?;
        progress.stage(&format!(
            "filling the tables with {} steps, {name} ids",
            args.grow_to
        ));
        fill_tables(scratch, 0..args.grow_to, ids, None).await?;
        for round in 0..ROUNDS as u64 {
            let seed = FIRST_GROWN_SEED + round;
            rates[1].push(measure_rate(&bench, &spec, seed, "grown tables").await?);
        }
        scratch.truncate().await?;
        stop_daemon(daemon).await?;
        let [empty, grown] = rates.map(|rates| Spread::of(rates).median);
        all.push(GrowthFigures {
            ids: name.into(),
            steps_before: args.grow_to,
            empty_rows_per_second: empty,
            grown_rows_per_second: grown,
        });
    }
    Ok(all)
}

pub(super) async fn measure_rate(
    bench: &BenchHarness,
    spec: &WorkloadSpec,
    seed: u64,
    what: &str,
) -> anyhow::Result<f64> {
    let workload = Workload::new(&WorkloadSpec { seed, ..*spec });
    // Every event of `steps` becomes one row.
    let rows = workload.events();
    let (_, measured) = bench.deliver_measured(&workload, what, rows).await?;
    Ok(measured.rows_per_second())
}

/// Steps of each generated run, as in `steps`.
pub(super) const STEPS_PER_RUN: u64 = 20;
/// Time of the oldest generated v7 id, 2023-11-14: before all ids of the workloads.
const OLD_IDS_UNIX_MS: u64 = 1_700_000_000_000;
/// Steps per INSERT statement, to keep each transaction small.
const STEPS_PER_INSERT: u64 = 1_000_000;

/// Inserts steps like those of `steps`, generated by the server. Their v7 ids are older than
/// those of the workloads. `month`: in the layout by month, where they go.
pub(super) async fn fill_tables(
    scratch: &ScratchDatabase,
    steps: Range<u64>,
    ids: IdVersion,
    month: Option<i32>,
) -> anyhow::Result<()> {
    let id = |salt: &str, number: &str| match ids {
        IdVersion::V4 => format!("md5('{salt}' || {number})::uuid"),
        IdVersion::V7 => format!(
            "(lpad(to_hex({OLD_IDS_UNIX_MS} + {number}), 12, '0') || '7' || substr(md5('{salt}' || {number}), 1, 3) \
             || '8' || substr(md5('{salt}' || {number}), 4, 15))::uuid"
        ),
    };
    let mut conn = scratch.connect().await?;
    if let Some(month) = month {
        let set = format!("SET runtraced.bucket = '{month}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut conn).await?;
    }
    for from in steps.clone().step_by(STEPS_PER_INSERT as usize) {
        let to = (from + STEPS_PER_INSERT).min(steps.end) - 1;
        let runs = format!(
            "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at) \
             SELECT {}, 'old', 'old', 'completed', '2025-01-01' FROM generate_series({}, {}) n",
            id("r", "n::bigint"),
            from.div_ceil(STEPS_PER_RUN),
            to / STEPS_PER_RUN
        );
        let rows = format!(
            "INSERT INTO agent_steps (id, run_id, step_type, name, input, output, status, created_at, started_at, ended_at) \
             SELECT {}, {}, 'tool_call', 'search_contracts', \
                    jsonb_build_object('query', repeat(md5(n::text), 9)), \
                    jsonb_build_object('result', repeat(md5(n::text), 14)), \
                    'completed', t.at, t.at, t.at \
             FROM generate_series({from}, {to}) n, \
                  LATERAL (SELECT '2025-01-01'::timestamptz + n * interval '1 ms' AS at) t",
            id("s", "n::bigint"),
            id("r", &format!("(n / {STEPS_PER_RUN})::bigint"))
        );
        for statement in [runs, rows] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut conn)
                .await?;
        }
    }
    let filled = month.map_or_else(
        || "agent_steps".to_owned(),
        |month| format!("runtraced_{}_{:02}.agent_steps", month / 100, month % 100),
    );
    let vacuum = format!("VACUUM ANALYZE agent_runs, {filled}");
    sqlx::raw_sql(AssertSqlSafe(vacuum))
        .execute(&mut conn)
        .await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut conn).await?;
    Ok(())
}
