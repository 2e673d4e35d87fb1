//! `runtraced bench --outage`: stops Postgres under full load, with idle streams open, and
//! starts it again. Measures the daemon's memory and spool, and checks that every
//! acknowledged event is in Postgres at the end.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use runtraced_client::RetryPolicy;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use super::database::ScratchDatabase;
use super::load::{Pace, deliver};
use super::process::resident_bytes;
use super::progress::BenchProgress;
use super::svg::{self, AxisScale, PlotAxis, PlotSeries};
use super::workload::{Workload, WorkloadKind, WorkloadSpec};
use super::{BenchArgs, private_config, write_file};
use crate::console::child::{ChildDaemon, TemporaryFolder};
use crate::console::output;
use crate::postgres::{PrivatePostgres, StopMode};
use crate::proto::StreamRequest;
use crate::proto::trace_ingest_client::TraceIngestClient;

/// Duration of the load before the outage, and again after it.
const HEALTHY_LOAD: Duration = Duration::from_secs(20);
/// How long the replayer may take to empty the spool.
const REPLAY_LIMIT: Duration = Duration::from_secs(1_800);
/// Interval between samples, and between looks at the spool.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// Streams that are open and send nothing.
const IDLE_STREAMS: usize = 1_000;
/// Idle streams on one connection.
const IDLE_STREAMS_PER_CONNECTION: usize = 50;
/// Rows of one workload of a client. A client generates the next one when all events of the
/// last are acknowledged.
const WORKLOAD_ROWS: usize = 20_000;
/// Memory that the daemon may use beyond its budget.
const MEMORY_BEYOND_BUDGET_BYTES: u64 = 100 << 20;
/// Events per request, as in the other benchmarks.
const REQUEST_EVENTS: usize = 100;
/// Samples over which the plot averages the rate of acks.
const RATE_WINDOW_SAMPLES: usize = 5;
/// Bits of a seed that count the workloads of a client, and the clients: see [`client_seed`].
const WORKLOAD_BITS: u32 = 20;
const CLIENT_BITS: u32 = 12;
const BYTES_PER_MIB: f64 = 1_048_576.0;
/// The default of `--memory-budget-bytes`.
const DEFAULT_BUDGET_BYTES: u64 = 64 << 20;

/// The state of the daemon at one moment.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct OutageSample {
    /// Seconds since the load began.
    at: f64,
    resident_bytes: u64,
    spool_bytes: u64,
    acked_events: u64,
}

/// The results: the JSON of `--json`.
#[derive(Debug, serde::Serialize)]
struct OutageReport {
    outage_seconds: f64,
    idle_streams: usize,
    budget_bytes: u64,
    /// Seconds since the load began when Postgres stopped, was back, and held every event.
    away_at: f64,
    back_at: f64,
    replayed_at: f64,
    acked_events: u64,
    acked_while_away: u64,
    samples: Vec<OutageSample>,
}

/// State shared by all clients.
#[derive(Debug, Default)]
struct LoadState {
    acked: AtomicU64,
    ended: AtomicBool,
}

/// Runs the measurement until it is done or `stopped` resolves.
///
/// # Errors
/// When an acknowledged event is missing, or any part fails.
pub async fn run(args: &BenchArgs, stopped: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    if args.database_url.is_some() {
        bail!("--outage stops Postgres, so it needs a private one: leave out --database-url");
    }
    // Declared before the server, so that it is removed after the server has stopped.
    let folder = TemporaryFolder::new("bench", false);
    let mut server = PrivatePostgres::start(&private_config(args, folder.path())?).await?;
    let figures = tokio::select! {
        figures = measure(args, &mut server, folder.path()) => figures,
        () = stopped => Err(anyhow::anyhow!("interrupted")),
    };
    server.stop(StopMode::Immediate).await?;
    let figures = figures?;
    output::print(&text(&figures))?;
    write_file(
        args.json.as_deref(),
        &serde_json::to_string_pretty(&figures)?,
    )?;
    write_file(args.plot.as_deref(), &plot(&figures))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    args: &BenchArgs,
    server: &mut PrivatePostgres,
    folder: &Path,
) -> anyhow::Result<OutageReport> {
    let progress = BenchProgress::new();
    let scratch = ScratchDatabase::for_this_process(server.url())?;
    scratch.create(None).await?;
    let spool = folder.join("spool");
    let mut daemon = ChildDaemon::spawn(
        &flags(args, &spool)
            .iter()
            .map(OsString::as_os_str)
            .collect::<Vec<_>>(),
        &[("DATABASE_URL", &scratch.url)],
    )?;
    let endpoint = format!("http://{}", daemon.ready().await?.grpc);
    let _idle = idle_streams(&endpoint).await?;
    let shared = Arc::<LoadState>::default();
    let mut load = JoinSet::new();
    for number in 0..args.streams.max(1) as u64 {
        load.spawn(send_until_ended(
            endpoint.clone(),
            client_seed(args.seed, number),
            retry_policy(Duration::from_secs(args.outage)),
            shared.clone(),
        ));
    }
    let begin = Instant::now();
    let ended = Arc::new(AtomicBool::new(false));
    let samples = tokio::spawn(sample_daemon(
        daemon.pid(),
        spool.clone(),
        begin,
        shared.clone(),
        ended.clone(),
    ));
    let since = || begin.elapsed().as_secs_f64();

    progress.stage("full load");
    sleep(HEALTHY_LOAD).await;
    let (away_at, before) = (since(), shared.acked.load(Relaxed));
    server.stop(StopMode::Immediate).await?;
    progress.stage("Postgres is down");
    sleep(Duration::from_secs(args.outage)).await;
    let while_away = shared.acked.load(Relaxed) - before;
    let back_at = since();
    server.restart().await?;
    progress.stage("Postgres is back");
    sleep(HEALTHY_LOAD).await;
    shared.ended.store(true, Relaxed);
    let mut sent = 0;
    while let Some(client) = load.join_next().await {
        sent += client??;
    }
    progress.stage("waiting until the spool is empty");
    wait_until_replayed(&scratch, sent).await?;
    let replayed_at = since();
    ended.store(true, Relaxed);
    let samples = samples.await?;
    progress.clear();
    tokio::task::spawn_blocking(|| daemon.stop()).await??;
    Ok(OutageReport {
        outage_seconds: args.outage as f64,
        idle_streams: IDLE_STREAMS,
        budget_bytes: DEFAULT_BUDGET_BYTES,
        away_at,
        back_at,
        replayed_at,
        acked_events: sent,
        acked_while_away: while_away,
        samples,
    })
}

fn flags(args: &BenchArgs, spool: &Path) -> Vec<OsString> {
    let mut flags: Vec<OsString> = vec![
        "--writers".into(),
        args.connections.to_string().into(),
        "--spool-dir".into(),
        spool.into(),
        format!("--memory-budget-bytes={DEFAULT_BUDGET_BYTES}").into(),
    ];
    flags.extend(args.serve.iter().map(OsStr::new).map(OsStr::to_owned));
    flags
}

/// Opens [`IDLE_STREAMS`] streams. They close when the returned values are dropped.
async fn idle_streams(endpoint: &str) -> anyhow::Result<Vec<Box<dyn std::any::Any + Send>>> {
    let mut open: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
    for _ in 0..IDLE_STREAMS / IDLE_STREAMS_PER_CONNECTION {
        let channel: Channel = Endpoint::from_shared(endpoint.to_owned())?
            .connect()
            .await?;
        for _ in 0..IDLE_STREAMS_PER_CONNECTION {
            let mut client = TraceIngestClient::new(channel.clone());
            let silent = tokio_stream::pending::<StreamRequest>();
            open.push(Box::new(client.stream(silent).await?));
        }
    }
    Ok(open)
}

/// Seeds of one client's workloads count up from this one. Clients and seeds do not share any,
/// so all ids are new.
fn client_seed(seed: u64, client: u64) -> u64 {
    seed << (CLIENT_BITS + WORKLOAD_BITS) | client << WORKLOAD_BITS
}

/// The clients must not give up while the spool is full, which can take longer than the outage.
fn retry_policy(outage: Duration) -> RetryPolicy {
    RetryPolicy {
        first_delay: Duration::from_millis(50),
        max_delay: Duration::from_secs(1),
        give_up_after: outage + REPLAY_LIMIT,
    }
}

/// Sends one workload of new runs after another until [`LoadState::ended`]. Returns the number
/// of events sent, all of them acknowledged.
async fn send_until_ended(
    endpoint: String,
    seed: u64,
    retry: RetryPolicy,
    shared: Arc<LoadState>,
) -> anyhow::Result<u64> {
    let mut sent = 0;
    for number in 0.. {
        if shared.ended.load(Relaxed) {
            break;
        }
        let spec = WorkloadSpec {
            kind: WorkloadKind::Steps,
            rows: WORKLOAD_ROWS,
            streams: 1,
            request_events: REQUEST_EVENTS,
            seed: seed + number,
            ids: super::workload::IdVersion::V7,
        };
        let workload = tokio::task::spawn_blocking(move || Workload::new(&spec)).await?;
        let all = shared.clone();
        let progress = move |events| _ = all.acked.fetch_add(events, Relaxed);
        deliver(&endpoint, &workload.streams, Pace::Full, retry, progress).await?;
        sent += workload.events();
    }
    Ok(sent)
}

async fn sample_daemon(
    daemon: u32,
    spool: PathBuf,
    begin: Instant,
    shared: Arc<LoadState>,
    ended: Arc<AtomicBool>,
) -> Vec<OutageSample> {
    let mut samples = Vec::new();
    while !ended.load(Relaxed) {
        samples.push(OutageSample {
            at: begin.elapsed().as_secs_f64(),
            resident_bytes: resident_bytes(daemon),
            spool_bytes: folder_bytes(&spool),
            acked_events: shared.acked.load(Relaxed),
        });
        sleep(SAMPLE_INTERVAL).await;
    }
    samples
}

/// The size of all files in a folder, in bytes. Skips files that are removed meanwhile.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

/// Waits until the spool is empty, then checks that Postgres holds every acknowledged event
/// exactly once and nothing else. Each event of `steps` is one row: a run or a step.
async fn wait_until_replayed(scratch: &ScratchDatabase, events: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + REPLAY_LIMIT;
    loop {
        let mut conn = scratch.connect().await?;
        let spooled: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(spooled + in_flight), 0)::bigint FROM ingest_reconciliation",
        )
        .fetch_one(&mut conn)
        .await?;
        if spooled == 0 {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "{spooled} events are still in the spool after {} s",
            REPLAY_LIMIT.as_secs()
        );
        sleep(SAMPLE_INTERVAL).await;
    }
    let [_, runs, steps, ..] = scratch.row_counts().await?;
    ensure!(
        runs + steps == events,
        "Postgres holds {runs} runs and {steps} steps; {events} events were acknowledged"
    );
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_MIB
}

fn text(figures: &OutageReport) -> String {
    let largest =
        |value: fn(&OutageSample) -> u64| figures.samples.iter().map(value).max().unwrap_or(0);
    let away = figures.back_at - figures.away_at;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Postgres was down for {away:.0} s under full load, with {} idle streams. Acknowledged: {} events in total, {} of them \
         during the outage ({:.0} per second). All of them are in Postgres exactly once, {:.0} s after it came back ({:.0} s of that under load).",
        figures.idle_streams,
        figures.acked_events,
        figures.acked_while_away,
        figures.acked_while_away as f64 / away,
        figures.replayed_at - figures.back_at,
        HEALTHY_LOAD.as_secs_f64(),
    );
    let _ = writeln!(
        text,
        "Peak memory of the daemon: {:.0} MiB (limit: budget of {:.0} MiB + {:.0} MiB). Peak spool: {:.0} MiB.",
        mib(largest(|s| s.resident_bytes)),
        mib(figures.budget_bytes),
        mib(MEMORY_BEYOND_BUDGET_BYTES),
        mib(largest(|s| s.spool_bytes)),
    );
    text
}

fn plot(figures: &OutageReport) -> String {
    let x = PlotAxis::new("seconds", AxisScale::Linear);
    let over_time = |name: &str, value: fn(&OutageSample) -> f64| PlotSeries {
        name: name.into(),
        points: figures.samples.iter().map(|s| (s.at, value(s))).collect(),
    };
    let ends = [0.0, figures.replayed_at];
    let limit = mib(figures.budget_bytes + MEMORY_BEYOND_BUDGET_BYTES);
    let memory = [
        over_time("resident memory of the daemon", |s| mib(s.resident_bytes)),
        PlotSeries {
            name: "budget + 100 MiB".into(),
            points: ends.map(|at| (at, limit)).into(),
        },
    ];
    let spool = [over_time("spool on disk", |s| mib(s.spool_bytes))];
    let rate = figures.samples.windows(RATE_WINDOW_SAMPLES).map(|s| {
        let (first, last) = (s[0], s[RATE_WINDOW_SAMPLES - 1]);
        let events = last.acked_events as f64 - first.acked_events as f64;
        (last.at, events.max(0.0) / (last.at - first.at))
    });
    let rate = [PlotSeries {
        name: "events acknowledged per second".into(),
        points: rate.collect(),
    }];
    let title = format!(
        "Postgres down from {:.0} s to {:.0} s",
        figures.away_at, figures.back_at
    );
    svg::svg_file(
        &title,
        &[
            svg::chart_with_names(&x, &PlotAxis::new("MiB", AxisScale::Linear), &memory),
            svg::chart_with_names(&x, &PlotAxis::new("MiB", AxisScale::Linear), &spool),
            svg::chart_with_names(&x, &PlotAxis::new("events/s", AxisScale::Linear), &rate),
        ],
    )
}
