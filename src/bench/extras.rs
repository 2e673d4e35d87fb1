//! What changes with one setting, and with what is in the tables.

use sqlx::AssertSqlSafe;

use super::args::BenchArgs;
use super::database::Scratch;
use super::figures::{Growth, Scaling, Spread};
use super::measure::{Bench, Effort};
use super::progress::Progress;
use super::workload::{Ids, Kind, Shape, Workload};
use super::{shape, start, stop};

/// Measurements of one value.
const ROUNDS: usize = 3;

/// Connections, and events of a transaction.
///
/// # Errors
/// When anything breaks.
pub async fn scaling(
    args: &BenchArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Scaling>> {
    let mut connections = Scaling {
        kind: Kind::Steps,
        what: "connections".into(),
        points: Vec::new(),
    };
    let shape = Shape {
        rows: args.round_rows(Kind::Steps) / 2,
        ..shape(args, Kind::Steps)
    };
    let effort = Effort {
        rounds: ROUNDS,
        sweep: false,
        latency: None,
    };
    for count in [1, 2, 4] {
        let (bench, daemon) = start(args, scratch, count, &[], progress.clone()).await?;
        let figures = bench.workload(&shape, effort).await?;
        stop(daemon).await?;
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
    let mut events = Scaling {
        kind: Kind::Steps,
        what: "events of a transaction, at most".into(),
        points: Vec::new(),
    };
    for most in [100, 1_000, 5_000, 10_000, 20_000] {
        let flag = format!("--batch-events={most}");
        let started = start(args, scratch, args.connections, &[&flag], progress.clone()).await?;
        let (bench, daemon) = started;
        let figures = bench.workload(&shape, effort).await?;
        stop(daemon).await?;
        let through = figures
            .spread(|round| round.through.rows_per_second())
            .median;
        events.points.push((f64::from(most), None, through));
    }
    Ok(vec![connections, events])
}

/// Rates beside tables that hold many steps already, for both kinds of ids.
///
/// # Errors
/// When anything breaks.
pub async fn growth(
    args: &BenchArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Growth>> {
    let mut all = Vec::new();
    for (name, ids) in [("v7", Ids::V7), ("v4", Ids::V4)] {
        let (bench, daemon) = start(args, scratch, args.connections, &[], progress.clone()).await?;
        let shape = Shape {
            ids,
            ..shape(args, Kind::Steps)
        };
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS as u64 {
            scratch.empty().await?;
            let rate = rate(&bench, &shape, round, "empty tables").await?;
            // The first warms up.
            if round > 0 {
                rates[0].push(rate);
            }
        }
        scratch.empty().await?;
        progress.stage(&format!("{} steps with {name} ids", args.grow_to));
        fill(scratch, args.grow_to, ids).await?;
        for round in 0..ROUNDS as u64 {
            let seed = 1_000 + round;
            rates[1].push(rate(&bench, &shape, seed, "grown tables").await?);
        }
        scratch.empty().await?;
        stop(daemon).await?;
        let [empty, grown] = rates.map(|rates| Spread::of(rates).median);
        all.push(Growth {
            ids: name.into(),
            steps_before: args.grow_to,
            empty_rows_per_second: empty,
            grown_rows_per_second: grown,
        });
    }
    Ok(all)
}

async fn rate(bench: &Bench, shape: &Shape, seed: u64, what: &str) -> anyhow::Result<f64> {
    let workload = Workload::new(&Shape { seed, ..*shape });
    // One row for each event of `steps`.
    let rows = workload.events();
    let (_, sample) = bench.sampled(&workload, what, rows).await?;
    Ok(sample.rows_per_second())
}

/// Rows a statement, so that progress survives a failure of none of them.
const CHUNK: u64 = 1_000_000;

/// Steps as `steps` has them, 20 a run, made by the server. Their ids lie
/// before those of the workloads, as old rows' do.
async fn fill(scratch: &Scratch, steps: u64, ids: Ids) -> anyhow::Result<()> {
    let id = |salt: &str, number: &str| match ids {
        Ids::V4 => format!("md5('{salt}' || {number})::uuid"),
        Ids::V7 => format!(
            "(lpad(to_hex(1700000000000 + {number}), 12, '0') || '7' || substr(md5('{salt}' || {number}), 1, 3) \
             || '8' || substr(md5('{salt}' || {number}), 4, 15))::uuid"
        ),
    };
    let mut conn = scratch.connect().await?;
    for from in (0..steps).step_by(CHUNK as usize) {
        let to = (from + CHUNK).min(steps) - 1;
        let runs = format!(
            "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at) \
             SELECT {}, 'old', 'old', 'completed', '2025-01-01' FROM generate_series({}, {}) n",
            id("r", "n::bigint"),
            from.div_ceil(20),
            to / 20
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
            id("r", "(n / 20)::bigint")
        );
        for statement in [runs, rows] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut conn)
                .await?;
        }
    }
    sqlx::raw_sql("VACUUM ANALYZE agent_runs, agent_steps")
        .execute(&mut conn)
        .await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut conn).await?;
    Ok(())
}
