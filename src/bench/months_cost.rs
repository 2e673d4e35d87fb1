//! `runtraced bench --months-cost`: what the layout by month costs writers, with empty tables and
//! with a year of rows, and how long a month takes to go while writers go on.

use std::time::{Duration, Instant};

use anyhow::bail;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::sleep;

use super::database::ScratchDatabase;
use super::extras::{STEPS_PER_RUN, fill_tables, measure_rate};
use super::figures::Spread;
use super::measure::BenchHarness;
use super::progress::BenchProgress;
use super::turns::{WriteFigures, write};
use super::workload::{IdVersion, Workload, WorkloadKind, WorkloadSpec};
use super::{BenchArgs, start_harness, stop_daemon, workload_spec, write_file};
use crate::console::output;
use crate::store::{self, partition_by_month};

/// Months with rows, before this one.
const MONTHS: u64 = 12;
/// Rounds of each state of the tables.
const ROUNDS: u64 = 3;
/// Seeds of the deliveries, one range for each state: their events must be new.
const SEEDS_OF_STATE: u64 = 1_000;
/// How often to try to drop a month whose locks writers hold.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Steps a second in each state of the tables, and what dropping a month takes.
#[derive(Debug, serde::Serialize)]
struct MonthsCost {
    steps_of_months: u64,
    plain: Spread,
    empty_months: Spread,
    filled_months: Spread,
    /// With empty partitions and plain tables, round by round.
    empty_to_plain: Spread,
    /// With twelve months of rows and plain tables that are empty.
    filled_to_plain: Spread,
    /// From the first attempt to drop a month until it is gone, in seconds.
    drop_seconds: f64,
    drop_attempts: u32,
    /// The longest wait for an ack while the month went, in milliseconds.
    ack_p99_while_dropping: f64,
}

/// Measures, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    let scratch = ScratchDatabase::for_this_process(url)?;
    let progress = BenchProgress::new();
    let spec = workload_spec(args, WorkloadKind::Steps);
    scratch.create(None).await?;
    let (bench, daemon) =
        start_harness(args, &scratch, args.connections, &[], progress.clone()).await?;
    let plain = rates(&bench, &spec, 0, true).await?;
    scratch.truncate().await?;
    let mut conn = scratch.connect().await?;
    partition_by_month(&mut conn).await?;
    let empty = rates(&bench, &spec, 1, true).await?;
    scratch.truncate().await?;
    progress.stage(&format!(
        "filling {MONTHS} months with {} steps",
        args.grow_to
    ));
    let oldest = fill_months(&scratch, &mut conn, args.grow_to).await?;
    let filled = rates(&bench, &spec, 2, false).await?;
    let ratio = |rates: &[f64]| Spread::of(rates.iter().zip(&plain).map(|(a, b)| a / b));
    let (dropped, ack_p99) = drop_beside_writers(&bench, &spec, oldest).await?;
    stop_daemon(daemon).await?;
    progress.clear();
    let cost = MonthsCost {
        steps_of_months: args.grow_to,
        empty_to_plain: ratio(&empty),
        filled_to_plain: ratio(&filled),
        plain: Spread::of(plain),
        empty_months: Spread::of(empty),
        filled_months: Spread::of(filled),
        drop_seconds: dropped.seconds,
        drop_attempts: dropped.attempts,
        ack_p99_while_dropping: ack_p99,
    };
    output::print(&text(&cost))?;
    write_file(args.json.as_deref(), &serde_json::to_string_pretty(&cost)?)
}

/// Steps a second, in rounds after one that warms up.
async fn rates(
    bench: &BenchHarness,
    spec: &WorkloadSpec,
    state: u64,
    truncates: bool,
) -> anyhow::Result<Vec<f64>> {
    let mut rates = Vec::new();
    for round in 0..=ROUNDS {
        if truncates {
            bench.scratch.truncate().await?;
        }
        let seed = (state + 1) * SEEDS_OF_STATE + round;
        let rate = measure_rate(bench, spec, seed, "months").await?;
        if round > 0 {
            rates.push(rate);
        }
    }
    Ok(rates)
}

/// Fills the months before this one with equal shares of rows, and returns the oldest.
async fn fill_months(
    scratch: &ScratchDatabase,
    conn: &mut PgConnection,
    steps: u64,
) -> anyhow::Result<i32> {
    let months: Vec<i32> = sqlx::query_scalar(
        "WITH month AS (
             SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - n * interval '1 month')::date AS month
             FROM generate_series(1, $1::integer) AS n)
         SELECT to_char(month, 'YYYYMM')::integer FROM month, LATERAL (SELECT public.make_month(month)) AS made
         ORDER BY 1",
    )
    .bind(i32::try_from(MONTHS)?)
    .fetch_all(conn)
    .await?;
    // Whole runs.
    let share = steps / MONTHS / STEPS_PER_RUN * STEPS_PER_RUN;
    for (at, month) in (0..).zip(&months) {
        let steps = at * share..(at + 1) * share;
        fill_tables(scratch, steps, IdVersion::V7, Some(*month)).await?;
    }
    Ok(months.first().copied().unwrap_or_default())
}

/// How long it took until a month was gone.
struct DroppedMonth {
    seconds: f64,
    attempts: u32,
}

/// Drops a month while writers deliver, none of whose events may be lost. Returns the longest
/// 99th percentile of their acks too.
async fn drop_beside_writers(
    bench: &BenchHarness,
    spec: &WorkloadSpec,
    month: i32,
) -> anyhow::Result<(DroppedMonth, f64)> {
    let mut conn = bench.scratch.connect().await?;
    sqlx::query("UPDATE agent_runs SET gone_at = now() WHERE bucket = $1")
        .bind(month)
        .execute(&mut conn)
        .await?;
    let dropping = tokio::spawn(async move { drop_month(&mut conn, month).await });
    let mut beside = Vec::new();
    while beside.is_empty() || !dropping.is_finished() {
        let seed = 10 * SEEDS_OF_STATE + beside.len() as u64;
        let workload = Workload::new(&WorkloadSpec { seed, ..*spec });
        beside.push(write(bench, &workload, beside.len() as u64).await?);
    }
    let ack_p99 = WriteFigures::of_equal(&beside).ack_p99;
    Ok((dropping.await??, ack_p99))
}

async fn drop_month(conn: &mut PgConnection, month: i32) -> anyhow::Result<DroppedMonth> {
    // Writers are at full speed by then.
    sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    for attempts in 1..=ATTEMPTS {
        let statement = AssertSqlSafe(format!("SELECT public.drop_month({month})"));
        match sqlx::query_scalar(statement).fetch_one(&mut *conn).await {
            Ok(true) => {
                return Ok(DroppedMonth {
                    seconds: begun.elapsed().as_secs_f64(),
                    attempts,
                });
            }
            Ok(false) => bail!("the month {month} was not dropped"),
            Err(error) if store::is_lock_timeout(&error) || store::is_conflict(&error) => {
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the month {month} was not dropped in {ATTEMPTS} attempts")
}

fn text(cost: &MonthsCost) -> String {
    format!(
        "steps a second\n\
         \x20 plain tables, empty:          {}\n\
         \x20 partitions, empty:            {}, {} of plain\n\
         \x20 {MONTHS} months, {} steps: {}, {} of plain\n\
         dropping a month of {} steps beside writers: {:.2} s, attempts: {}; longest p99 of acks: {:.0} ms\n",
        cost.plain.text(0),
        cost.empty_months.text(0),
        cost.empty_to_plain.text(2),
        cost.steps_of_months,
        cost.filled_months.text(0),
        cost.filled_to_plain.text(2),
        cost.steps_of_months / MONTHS,
        cost.drop_seconds,
        cost.drop_attempts,
        cost.ack_p99_while_dropping,
    )
}
