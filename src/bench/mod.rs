//! `runtraced bench`: measures how many rows per second become durable, and
//! compares that with plain COPY of the same rows on the same machine.

mod args;
mod contender;
mod database;
mod direct;
mod division_cost;
mod exports;
mod extras;
mod figures;
mod histories;
mod html;
mod load;
mod machine;
mod markdown;
mod measure;
mod months_cost;
mod otel_cost;
mod outage;
mod process;
mod progress;
mod prune_cost;
mod read_cost;
mod rows;
mod slots_model;
mod svg;
mod table;
mod turns;
mod waits;
pub mod workload;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

pub use args::BenchArgs;
use database::ScratchDatabase;
use figures::BenchReport;
use measure::{BenchHarness, MeasurePlan};
use process::WatchedProcesses;
use progress::BenchProgress;
use workload::{WorkloadKind, WorkloadSpec};

use crate::console::child::{ChildDaemon, TemporaryFolder};
use crate::console::output;
use crate::postgres::{PrivateConfig, PrivatePostgres, StopMode};

/// How long each rate is held while ack latency is measured.
const LATENCY_HOLD: Duration = Duration::from_secs(20);
/// The same with `--quick`.
const QUICK_LATENCY_HOLD: Duration = Duration::from_secs(4);
/// Events per request of `huge`. With 100 events of 100 KB, requests would only measure the
/// limit on the size of a message.
const HUGE_REQUEST_EVENTS: usize = 10;

/// Runs `runtraced bench`.
///
/// # Errors
/// When any part fails. Everything is stopped and removed in that case too.
pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    if args.plot.is_some() && args.outage == 0 {
        bail!("--plot needs --outage SECONDS with more than 0 seconds");
    }
    let in_other_ways = args.outage > 0
        || args.otel_cost
        || args.read_cost
        || args.prune_cost
        || args.months_cost
        || args.slots_cost
        || args.servers_cost
        || args.slots_model;
    let kinds = args.workloads();
    if args.measures_histories() && (in_other_ways || !kinds.iter().all(|kind| kind.is_history())) {
        bail!("--workload history and chat have figures of their own: measure them alone");
    }
    if args.outage > 0 {
        let stopped = async {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        };
        return outage::run(&args, stopped).await;
    }
    // Declared before the server, so that it is removed after the server has stopped.
    let folder = TemporaryFolder::new("bench", false);
    let mut server = None;
    let url = match &args.database_url {
        Some(url) => url.clone(),
        None => {
            let private = PrivatePostgres::start(&private_config(&args, folder.path())?).await?;
            let url = private.url().to_owned();
            server = Some(private);
            url
        }
    };
    let measured = tokio::select! {
        measured = measure_and_print(&args, &url) => measured,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
    };
    let removed = match server {
        Some(mut server) => Ok(server.stop(StopMode::Immediate).await?),
        None => ScratchDatabase::for_this_process(&url)?.remove().await,
    };
    measured?;
    removed?;
    Ok(ExitCode::SUCCESS)
}

async fn measure_and_print(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    if args.measures_histories() {
        return histories::run(args, url).await;
    }
    if args.otel_cost {
        return otel_cost::run(args, url).await;
    }
    if args.read_cost {
        return read_cost::run(args, url).await;
    }
    if args.months_cost {
        return months_cost::run(args, url).await;
    }
    if args.slots_cost {
        return division_cost::run(args, url, &division_cost::SLOTS).await;
    }
    if args.servers_cost {
        return division_cost::run(args, url, &division_cost::SERVERS).await;
    }
    if args.slots_model {
        return slots_model::run(args, url).await;
    }
    if args.prune_cost {
        return prune_cost::run(args, url).await;
    }
    let report = measure_on(args, url).await?;
    output::print(&table::text(&report))?;
    write_file(
        args.json.as_deref(),
        &serde_json::to_string_pretty(&report)?,
    )?;
    write_file(args.html.as_deref(), &html::page(&report))?;
    if let Some(page) = &args.markdown {
        let text = std::fs::read_to_string(page)
            .with_context(|| format!("cannot read {}", page.display()))?;
        write_file(Some(page), &markdown::update(&text, &report)?)?;
    }
    Ok(())
}

fn write_file(path: Option<&Path>, text: &str) -> anyhow::Result<()> {
    match path {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        }
        None => Ok(()),
    }
}

fn private_config(args: &BenchArgs, folder: &Path) -> anyhow::Result<PrivateConfig> {
    let mut config = PrivateConfig::new(folder);
    for setting in &args.set {
        let Some((name, value)) = setting.split_once('=') else {
            bail!("--set {setting}: expected NAME=VALUE");
        };
        config.settings.push((name.into(), value.into()));
    }
    Ok(config)
}

async fn measure_on(args: &BenchArgs, url: &str) -> anyhow::Result<BenchReport> {
    let machine = machine::describe();
    let scratch = ScratchDatabase::for_this_process(url)?;
    scratch.create(args.template.as_deref()).await?;
    let progress = BenchProgress::new();
    let mut report = BenchReport {
        command: machine::command_line(),
        at: machine::now(),
        machine,
        runtraced: env!("CARGO_PKG_VERSION").into(),
        postgres: scratch.settings().await?,
        connections: args.connections,
        streams: args.streams,
        request_events: args.request_events,
        rounds: args.rounds,
        seed: args.seed,
        workloads: Vec::new(),
        scaling: Vec::new(),
        growth: Vec::new(),
    };
    for kind in args.workloads() {
        let (bench, daemon) =
            start_harness(args, &scratch, args.connections, &[], progress.clone()).await?;
        let plan = MeasurePlan {
            rounds: args.round_count(kind),
            sweep: true,
            latency_hold: latency_hold(args, kind),
        };
        let figures = bench.workload(&workload_spec(args, kind), plan).await?;
        stop_daemon(daemon).await?;
        report.workloads.push(figures);
    }
    if args.full {
        report.scaling = extras::scaling(args, &scratch, &progress).await?;
    }
    if args.grow_to > 0 {
        report.growth = extras::growth(args, &scratch, &progress).await?;
    }
    progress.clear();
    Ok(report)
}

/// How long to hold each rate for a workload; `None`: do not measure its latency.
fn latency_hold(args: &BenchArgs, kind: WorkloadKind) -> Option<Duration> {
    let measured = !args.no_latency && matches!(kind, WorkloadKind::Steps | WorkloadKind::Agent);
    measured.then_some(if args.quick {
        QUICK_LATENCY_HOLD
    } else {
        LATENCY_HOLD
    })
}

fn workload_spec(args: &BenchArgs, kind: WorkloadKind) -> WorkloadSpec {
    WorkloadSpec {
        kind,
        rows: args.round_rows(kind),
        streams: args.streams.max(1),
        request_events: if kind == WorkloadKind::Huge {
            HUGE_REQUEST_EVENTS
        } else {
            args.request_events
        },
        seed: args.seed,
        ids: args.ids,
    }
}

/// Starts a daemon on the scratch database, with one writer per connection.
async fn start_harness(
    args: &BenchArgs,
    scratch: &ScratchDatabase,
    connections: usize,
    more_flags: &[&str],
    progress: BenchProgress,
) -> anyhow::Result<(BenchHarness, ChildDaemon)> {
    let all = std::slice::from_ref(scratch);
    start_harness_on(args, all, connections, more_flags, progress).await
}

/// The same on a store of several databases of one server. The harness looks at the first.
async fn start_harness_on(
    args: &BenchArgs,
    databases: &[ScratchDatabase],
    connections: usize,
    more_flags: &[&str],
    progress: BenchProgress,
) -> anyhow::Result<(BenchHarness, ChildDaemon)> {
    let scratch = databases.first().context("no database")?;
    let urls: Vec<&str> = databases.iter().map(|one| one.url.as_str()).collect();
    progress.stage("starting a daemon");
    let writers = connections.to_string();
    // Without a spool, an ack means that the events are committed.
    let mut flags: Vec<&OsStr> = ["--spool-bytes=0", "--writers", &writers]
        .map(OsStr::new)
        .into();
    flags.extend(args.serve.iter().map(OsStr::new));
    flags.extend(more_flags.iter().map(OsStr::new));
    let mut daemon = ChildDaemon::spawn(&flags, &[("DATABASE_URL", &urls.join(" "))])?;
    let listening = daemon.ready().await?;
    let bench = BenchHarness {
        scratch: scratch.clone(),
        endpoint: format!("http://{}", listening.grpc),
        page: format!("http://{}", listening.http),
        watched: WatchedProcesses {
            daemon: daemon.pid(),
            postmaster: scratch.postmaster_pid().await?,
        },
        connections,
        progress,
    };
    Ok((bench, daemon))
}

/// Stops the daemon, and fails if it logged a warning or an error.
async fn stop_daemon(daemon: ChildDaemon) -> anyhow::Result<()> {
    let complaints = daemon.complaints();
    tokio::task::spawn_blocking(|| daemon.stop()).await??;
    if complaints > 0 {
        bail!("the daemon logged {complaints} warnings or errors; the figures are not valid");
    }
    Ok(())
}

/// A command line, quoted for a shell.
fn shell_command(words: impl IntoIterator<Item = OsString>) -> String {
    let quoted = words.into_iter().map(|word| {
        let word = word.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
