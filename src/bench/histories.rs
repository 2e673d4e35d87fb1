//! `runtraced bench --workload history,chat`: what `--content-once` saves, and what it costs. The
//! same requests go to a daemon without the flag and to one with it. Then the rows of the first
//! are copied with plain COPY.

use anyhow::ensure;
use sqlx::AssertSqlSafe;

use super::database::{SHARED_TABLES, ScratchDatabase, TABLES};
use super::direct;
use super::exports::connections_per_stream;
use super::load::Pace;
use super::measure::DEFAULT_COPY_ROWS;
use super::progress::BenchProgress;
use super::rows::WorkloadRows;
use super::workload::{HistorySpec, HistoryWorkload, WorkloadKind};
use super::{BenchArgs, start_harness, stop_daemon, write_file};
use crate::console::output;

/// Model calls of a conversation. The figures of the last two are compared.
const HISTORY_CALLS: [usize; 4] = [20, 50, 100, 200];
const CHAT_CALLS: [usize; 1] = [50];
/// A model call takes about as long as so many rows of `steps`.
const CALL_COST: usize = 250;
const FLAG: &str = "--content-once";
const MEGABYTE: f64 = 1e6;

/// What conversations of one length take.
#[derive(Debug, serde::Serialize)]
struct HistoryFigures {
    workload: WorkloadKind,
    calls: usize,
    conversations: usize,
    /// Of all requests, in bytes.
    received: f64,
    /// Of all texts, each counted once.
    new: f64,
    plain: StoredFigures,
    once: StoredFigures,
    /// Seconds that plain COPY takes for the rows that are stored plainly.
    copy_seconds: f64,
}

/// What one daemon made of them.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct StoredFigures {
    /// Size of all tables with their indexes, less that of empty ones.
    bytes: f64,
    seconds: f64,
}

/// Measures, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    let scratch = ScratchDatabase::for_this_process(url)?;
    scratch.create(None).await?;
    let progress = BenchProgress::new();
    let mut all = Vec::new();
    for kind in args.workloads() {
        let lengths = match kind {
            WorkloadKind::History => &HISTORY_CALLS[..],
            _ => &CHAT_CALLS,
        };
        for &calls in lengths {
            all.push(measure(args, &scratch, kind, calls, &progress).await?);
        }
    }
    progress.clear();
    output::print(&text(&all))?;
    write_file(args.json.as_deref(), &serde_json::to_string_pretty(&all)?)
}

async fn measure(
    args: &BenchArgs,
    scratch: &ScratchDatabase,
    kind: WorkloadKind,
    calls: usize,
    progress: &BenchProgress,
) -> anyhow::Result<HistoryFigures> {
    let all_calls = args.round_rows(kind) / CALL_COST;
    let spec = HistorySpec {
        kind,
        calls,
        conversations: all_calls.div_ceil(calls).max(1),
        streams: args.streams.max(1) * connections_per_stream(kind),
        seed: args.seed,
    };
    let made = HistoryWorkload::new(&spec);
    let plain = store(args, scratch, &made, &[], progress).await?;
    let copy_seconds = copy(args, scratch, progress).await?;
    let once = store(args, scratch, &made, &[FLAG], progress).await?;
    Ok(HistoryFigures {
        workload: kind,
        calls,
        conversations: spec.conversations,
        received: made.workload.bytes() as f64,
        new: made.new_bytes as f64,
        plain,
        once,
        copy_seconds,
    })
}

/// Delivers everything to a daemon of its own, and leaves the rows.
async fn store(
    args: &BenchArgs,
    scratch: &ScratchDatabase,
    made: &HistoryWorkload,
    flags: &[&str],
    progress: &BenchProgress,
) -> anyhow::Result<StoredFigures> {
    scratch.truncate().await?;
    let empty = table_bytes(scratch).await?;
    let mut args = args.clone();
    args.serve.retain(|flag| flag != FLAG);
    let started = start_harness(&args, scratch, args.connections, flags, progress.clone()).await;
    let (bench, daemon) = started?;
    let stage = format!("{} {}", made.workload.kind.name(), flags.join(" "));
    let delivery = bench.deliver(&made.workload, &stage, Pace::Full).await?;
    stop_daemon(daemon).await?;
    Ok(StoredFigures {
        bytes: table_bytes(scratch).await? - empty,
        seconds: delivery.took.as_secs_f64(),
    })
}

/// Copies the rows that are there into empty tables, as fast as plain COPY does.
async fn copy(
    args: &BenchArgs,
    scratch: &ScratchDatabase,
    progress: &BenchProgress,
) -> anyhow::Result<f64> {
    progress.stage("plain COPY");
    let rows = WorkloadRows::read(scratch).await?;
    ensure!(rows.count() > 0, "the daemon has written no rows");
    scratch.truncate().await?;
    let plans = rows.split(args.connections, DEFAULT_COPY_ROWS);
    Ok(direct::copy_all(scratch, plans).await?.as_secs_f64())
}

async fn table_bytes(scratch: &ScratchDatabase) -> anyhow::Result<f64> {
    let tables = TABLES.iter().chain(&SHARED_TABLES);
    let sizes: Vec<String> = tables
        .map(|table| format!("pg_total_relation_size('{table}')"))
        .collect();
    let query = format!("SELECT ({})::double precision", sizes.join(" + "));
    let mut conn = scratch.connect().await?;
    let bytes = sqlx::query_scalar(AssertSqlSafe(query));
    Ok(bytes.fetch_one(&mut conn).await?)
}

fn text(all: &[HistoryFigures]) -> String {
    let lines: String = all.iter().map(line).collect();
    let growth: String = all
        .windows(2)
        .filter_map(|pair| growth(&pair[0], &pair[1]))
        .collect();
    format!("{lines}{growth}")
}

fn line(of: &HistoryFigures) -> String {
    let rate = |seconds: f64| of.received / MEGABYTE / seconds;
    let stored = |name: &str, stored: StoredFigures| {
        format!(
            "\x20 {name}: {:.1} MB in tables and indexes, {:.2} of what is received, {:.2} of what is new; {:.1} MB/s received\n",
            stored.bytes / MEGABYTE,
            stored.bytes / of.received,
            stored.bytes / of.new,
            rate(stored.seconds),
        )
    };
    format!(
        "{}: {} conversations of {} model calls, {:.1} MB received, {:.1} MB of it new\n{}{}\
         \x20 plain COPY of the plainly stored rows: {:.1} MB/s received\n",
        of.workload.name(),
        of.conversations,
        of.calls,
        of.received / MEGABYTE,
        of.new / MEGABYTE,
        stored("without --content-once", of.plain),
        stored("with --content-once", of.once),
        rate(of.copy_seconds),
    )
}

/// How much more a conversation takes that is twice as long.
fn growth(some: &HistoryFigures, more: &HistoryFigures) -> Option<String> {
    let comparable = some.workload == more.workload && more.calls == 2 * some.calls;
    let each = |of: &HistoryFigures, bytes: f64| bytes / of.conversations as f64;
    let ratio =
        |bytes: fn(&HistoryFigures) -> f64| each(more, bytes(more)) / each(some, bytes(some));
    comparable.then(|| {
        format!(
            "{}: a conversation of {} calls is {:.2} times as large as one of {} as received, {:.2} without --content-once, {:.2} with it\n",
            more.workload.name(),
            more.calls,
            ratio(|of| of.received),
            some.calls,
            ratio(|of| of.plain.bytes),
            ratio(|of| of.once.bytes),
        )
    })
}
