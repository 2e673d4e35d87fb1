//! `runtraced bench --outage`: Postgres stops at full load, with idle streams
//! open, and comes back. How much memory the daemon takes, what its spool takes, and
//! that all which was acknowledged is there afterwards.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use super::database::Scratch;
use super::load::{Pace, deliver};
use super::process::resident_bytes;
use super::progress::Progress;
use super::svg::{self, Axis, Scale, Series};
use super::workload::{Kind, Shape, Workload};
use super::{BenchArgs, private_config, write};
use crate::cli::child::{ChildDaemon, TemporaryFolder};
use crate::cli::output;
use crate::client::RetryPolicy;
use crate::proto::StreamRequest;
use crate::proto::trace_ingest_client::TraceIngestClient;
use crate::store::postgres::{PrivatePostgres, StopMode};

/// Load before the outage, and after it.
const HEALTHY: Duration = Duration::from_secs(20);
/// How long the spool may take to become empty.
const REPLAY_LIMIT: Duration = Duration::from_secs(1_800);
const SAMPLE: Duration = Duration::from_millis(500);
/// Streams that are open and send nothing, and how many share a connection.
const IDLE_STREAMS: usize = 1_000;
const IDLE_PER_CONNECTION: usize = 50;
/// Rows of one piece of the load: made while the one before is sent.
const PIECE_ROWS: usize = 20_000;
/// What the daemon may have beyond its budget.
const BESIDE_BUDGET_BYTES: u64 = 100 << 20;
const DEFAULT_BUDGET_BYTES: u64 = 64 << 20;

/// The daemon at one moment.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Sample {
    /// Seconds from the beginning.
    at: f64,
    resident_bytes: u64,
    spool_bytes: u64,
    acked_events: u64,
}

/// What was measured.
#[derive(Debug, serde::Serialize)]
struct Figures {
    outage_seconds: f64,
    idle_streams: usize,
    budget_bytes: u64,
    /// Seconds from the beginning at which Postgres went, came, and had all.
    away_at: f64,
    back_at: f64,
    replayed_at: f64,
    acked_events: u64,
    acked_while_away: u64,
    samples: Vec<Sample>,
}

/// What all clients share.
#[derive(Debug, Default)]
struct Shared {
    acked: AtomicU64,
    ended: AtomicBool,
}

/// Runs it, unless it is stopped before.
///
/// # Errors
/// When anything that was acknowledged is not there, or a part fails.
pub async fn run(args: &BenchArgs, stopped: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    if args.database_url.is_some() {
        bail!("--outage stops its Postgres, so it takes a private one and no --database-url");
    }
    // Declared first, so removed last.
    let folder = TemporaryFolder::new("bench", false);
    let mut server = PrivatePostgres::start(&private_config(args, folder.path())?).await?;
    let figures = tokio::select! {
        figures = measure(args, &mut server, folder.path()) => figures,
        () = stopped => Err(anyhow::anyhow!("interrupted")),
    };
    server.stop(StopMode::Immediate).await?;
    let figures = figures?;
    output::print(&text(&figures))?;
    write(
        args.json.as_deref(),
        &serde_json::to_string_pretty(&figures)?,
    )?;
    write(args.plot.as_deref(), &plot(&figures))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    args: &BenchArgs,
    server: &mut PrivatePostgres,
    folder: &Path,
) -> anyhow::Result<Figures> {
    let progress = Progress::new();
    let scratch = Scratch::named(server.url())?;
    scratch.create().await?;
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
    let shared = Arc::<Shared>::default();
    let mut load = JoinSet::new();
    for number in 0..args.streams.max(1) as u64 {
        load.spawn(client(
            endpoint.clone(),
            args.seed << 32 | number << 20,
            patient(Duration::from_secs(args.outage)),
            shared.clone(),
        ));
    }
    let begin = Instant::now();
    let ended = Arc::new(AtomicBool::new(false));
    let samples = tokio::spawn(sample(
        daemon.pid(),
        spool.clone(),
        begin,
        shared.clone(),
        ended.clone(),
    ));
    let since = || begin.elapsed().as_secs_f64();

    progress.stage("full load");
    sleep(HEALTHY).await;
    let (away_at, before) = (since(), shared.acked.load(Relaxed));
    server.stop(StopMode::Immediate).await?;
    progress.stage("Postgres is away");
    sleep(Duration::from_secs(args.outage)).await;
    let while_away = shared.acked.load(Relaxed) - before;
    let back_at = since();
    server.restart().await?;
    progress.stage("Postgres is back");
    sleep(HEALTHY).await;
    shared.ended.store(true, Relaxed);
    let mut sent = 0;
    while let Some(client) = load.join_next().await {
        sent += client??;
    }
    progress.stage("waiting for the spool to become empty");
    wait_for_all(&scratch, sent).await?;
    let replayed_at = since();
    ended.store(true, Relaxed);
    let samples = samples.await?;
    progress.clear();
    tokio::task::spawn_blocking(|| daemon.stop()).await??;
    Ok(Figures {
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

/// Streams that stay open as long as what is returned.
async fn idle_streams(endpoint: &str) -> anyhow::Result<Vec<Box<dyn std::any::Any + Send>>> {
    let mut open: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
    for _ in 0..IDLE_STREAMS / IDLE_PER_CONNECTION {
        let channel: Channel = Endpoint::from_shared(endpoint.to_owned())?
            .connect()
            .await?;
        for _ in 0..IDLE_PER_CONNECTION {
            let mut client = TraceIngestClient::new(channel.clone());
            let silent = tokio_stream::pending::<StreamRequest>();
            open.push(Box::new(client.stream(silent).await?));
        }
    }
    Ok(open)
}

/// Clients of a daemon whose spool is full wait for longer than Postgres is away.
fn patient(outage: Duration) -> RetryPolicy {
    RetryPolicy {
        first_delay: Duration::from_millis(50),
        max_delay: Duration::from_secs(1),
        give_up_after: outage + REPLAY_LIMIT,
    }
}

/// Sends new runs piece by piece, each until all of it is acknowledged; returns
/// how many events that were.
async fn client(
    endpoint: String,
    seed: u64,
    retry: RetryPolicy,
    shared: Arc<Shared>,
) -> anyhow::Result<u64> {
    let mut sent = 0;
    for number in 0.. {
        if shared.ended.load(Relaxed) {
            break;
        }
        let shape = Shape {
            kind: Kind::Steps,
            rows: PIECE_ROWS,
            streams: 1,
            request_events: 100,
            seed: seed + number,
            ids: super::workload::Ids::V7,
        };
        let piece = tokio::task::spawn_blocking(move || Workload::new(&shape)).await?;
        let all = shared.clone();
        let progress = move |events| _ = all.acked.fetch_add(events, Relaxed);
        deliver(&endpoint, &piece.streams, Pace::Full, retry, progress).await?;
        sent += piece.events();
    }
    Ok(sent)
}

async fn sample(
    daemon: u32,
    spool: PathBuf,
    begin: Instant,
    shared: Arc<Shared>,
    ended: Arc<AtomicBool>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !ended.load(Relaxed) {
        samples.push(Sample {
            at: begin.elapsed().as_secs_f64(),
            resident_bytes: resident_bytes(daemon),
            spool_bytes: size_of_files(&spool),
            acked_events: shared.acked.load(Relaxed),
        });
        sleep(SAMPLE).await;
    }
    samples
}

/// Files may go while they are looked at.
fn size_of_files(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

/// Everything that was acknowledged, once, and nothing else: each event is the
/// start of a run or a step.
async fn wait_for_all(scratch: &Scratch, events: u64) -> anyhow::Result<()> {
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
            "{spooled} events are still in the spool"
        );
        sleep(SAMPLE).await;
    }
    let [_, runs, steps, ..] = scratch.counts().await?;
    ensure!(
        runs + steps == events,
        "{runs} runs and {steps} steps are there, {events} were acknowledged"
    );
    Ok(())
}

fn text(figures: &Figures) -> String {
    let mb = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let most = |value: fn(&Sample) -> u64| figures.samples.iter().map(value).max().unwrap_or(0);
    let away = figures.back_at - figures.away_at;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Postgres away for {away:.0} s at full load, {} idle streams: {} events acknowledged in all, {} of them \
         meanwhile ({:.0} a second); every one is there once, {:.0} s after Postgres came back ({:.0} s of which under load).",
        figures.idle_streams,
        figures.acked_events,
        figures.acked_while_away,
        figures.acked_while_away as f64 / away,
        figures.replayed_at - figures.back_at,
        HEALTHY.as_secs_f64(),
    );
    let _ = writeln!(
        text,
        "Peak memory of the daemon {:.0} MiB (budget {:.0} + 100 MiB); peak spool {:.0} MiB.",
        mb(most(|s| s.resident_bytes)),
        mb(figures.budget_bytes),
        mb(most(|s| s.spool_bytes)),
    );
    text
}

fn plot(figures: &Figures) -> String {
    let x = Axis::new("seconds", Scale::Linear);
    let over_time = |name: &str, value: fn(&Sample) -> f64| Series {
        name: name.into(),
        points: figures.samples.iter().map(|s| (s.at, value(s))).collect(),
    };
    let ends = [0.0, figures.replayed_at];
    let limit = (figures.budget_bytes + BESIDE_BUDGET_BYTES) as f64 / f64::from(1 << 20);
    let memory = [
        over_time("resident memory of the daemon", |s| {
            s.resident_bytes as f64 / f64::from(1 << 20)
        }),
        Series {
            name: "budget + 100 MiB".into(),
            points: ends.map(|at| (at, limit)).into(),
        },
    ];
    let spool = [over_time("spool on disk", |s| {
        s.spool_bytes as f64 / f64::from(1 << 20)
    })];
    let rate = figures.samples.windows(5).map(|s| {
        let (first, last) = (s[0], s[4]);
        let events = last.acked_events as f64 - first.acked_events as f64;
        (last.at, events.max(0.0) / (last.at - first.at))
    });
    let rate = [Series {
        name: "events acknowledged a second".into(),
        points: rate.collect(),
    }];
    let title = format!(
        "Postgres away from {:.0} s to {:.0} s",
        figures.away_at, figures.back_at
    );
    svg::file(
        &title,
        &[
            svg::named(&x, &Axis::new("MiB", Scale::Linear), &memory),
            svg::named(&x, &Axis::new("MiB", Scale::Linear), &spool),
            svg::named(&x, &Axis::new("events/s", Scale::Linear), &rate),
        ],
    )
}
