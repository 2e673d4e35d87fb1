//! `runtraced bench`: rows made durable a second, beside what plain COPY
//! reaches with the very same rows, in the same run on the same machine.

mod args;
mod database;
mod direct;
mod exports;
mod extras;
mod figures;
mod html;
mod load;
mod machine;
mod markdown;
mod measure;
mod outage;
mod process;
mod progress;
mod rows;
mod svg;
mod table;
mod waits;
pub mod workload;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

pub use args::BenchArgs;
use database::Scratch;
use figures::Report;
use measure::{Bench, Effort};
use process::Watched;
use progress::Progress;
use workload::{Kind, Shape};

use super::child::{ChildDaemon, TemporaryFolder};
use super::output;
use crate::store::postgres::{PrivateConfig, PrivatePostgres, StopMode};

/// Runs the command.
///
/// # Errors
/// When a part of it fails; everything is stopped and removed nevertheless.
pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    if args.plot.is_some() && args.outage == 0 {
        bail!("--plot is the plot of --outage");
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
    // Declared first, so removed last.
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
        measured = measure_on(&args, &url) => measured,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
    };
    let removed = match server {
        Some(mut server) => Ok(server.stop(StopMode::Immediate).await?),
        None => Scratch::named(&url)?.remove().await,
    };
    let report = measured?;
    removed?;
    output::print(&table::text(&report))?;
    write(
        args.json.as_deref(),
        &serde_json::to_string_pretty(&report)?,
    )?;
    write(args.html.as_deref(), &html::page(&report))?;
    if let Some(page) = &args.markdown {
        let text = std::fs::read_to_string(page)
            .with_context(|| format!("cannot read {}", page.display()))?;
        write(Some(page), &markdown::update(&text, &report)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: Option<&Path>, text: &str) -> anyhow::Result<()> {
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
            bail!("--set {setting}: that is no NAME=VALUE");
        };
        config.settings.push((name.into(), value.into()));
    }
    Ok(config)
}

async fn measure_on(args: &BenchArgs, url: &str) -> anyhow::Result<Report> {
    let machine = machine::this();
    let scratch = Scratch::named(url)?;
    scratch.create().await?;
    let progress = Progress::new();
    let mut report = Report {
        command: machine::command(),
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
            start(args, &scratch, args.connections, &[], progress.clone()).await?;
        let effort = Effort {
            rounds: args.round_count(kind),
            sweep: true,
            latency: latency(args, kind),
        };
        let figures = bench.workload(&shape(args, kind), effort).await?;
        stop(daemon).await?;
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

fn latency(args: &BenchArgs, kind: Kind) -> Option<Duration> {
    let asked = !args.no_latency && matches!(kind, Kind::Steps | Kind::Agent);
    asked.then(|| Duration::from_secs(if args.quick { 4 } else { 20 }))
}

fn shape(args: &BenchArgs, kind: Kind) -> Shape {
    Shape {
        kind,
        rows: args.round_rows(kind),
        streams: args.streams.max(1),
        // Requests of 100 events of 100 KB would only measure the limit of a message.
        request_events: if kind == Kind::Huge {
            10
        } else {
            args.request_events
        },
        seed: args.seed,
        ids: args.ids,
    }
}

/// Starts a daemon with so many writers on the scratch database.
async fn start(
    args: &BenchArgs,
    scratch: &Scratch,
    connections: usize,
    more_flags: &[&str],
    progress: Progress,
) -> anyhow::Result<(Bench, ChildDaemon)> {
    progress.stage("starting a daemon");
    let writers = connections.to_string();
    // Without a spool every ack means committed.
    let mut flags: Vec<&OsStr> = ["--spool-bytes=0", "--writers", &writers]
        .map(OsStr::new)
        .into();
    flags.extend(args.serve.iter().map(OsStr::new));
    flags.extend(more_flags.iter().map(OsStr::new));
    let mut daemon = ChildDaemon::spawn(&flags, &[("DATABASE_URL", &scratch.url)])?;
    let listening = daemon.ready().await?;
    let bench = Bench {
        scratch: scratch.clone(),
        endpoint: format!("http://{}", listening.grpc),
        watched: Watched {
            daemon: daemon.pid(),
            postmaster: scratch.postmaster().await?,
        },
        connections,
        progress,
    };
    Ok((bench, daemon))
}

/// Stops it, and fails if it had anything to complain of.
async fn stop(daemon: ChildDaemon) -> anyhow::Result<()> {
    let complaints = daemon.complaints();
    tokio::task::spawn_blocking(|| daemon.stop()).await??;
    if complaints > 0 {
        bail!("the daemon logged {complaints} warnings or errors");
    }
    Ok(())
}

/// The words of a command line, for a shell.
fn shell_words(words: impl IntoIterator<Item = OsString>) -> String {
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
