//! `runtraced bench --read-cost`: what readers of the page and writers cost each other. One
//! daemon serves both: readers alone, writers alone, and both at once, in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::database::ScratchDatabase;
use super::figures::WaitQuantiles;
use super::measure::BenchHarness;
use super::progress::BenchProgress;
use super::turns::{WriteFigures, WritersBeside, write};
use super::waits::WaitDistribution;
use super::workload::{Workload, WorkloadKind, WorkloadSpec};
use super::{BenchArgs, start_harness, stop_daemon, workload_spec, write_file};
use crate::console::output;

/// What a person with an open list asks for. Each path is asked in turn.
const PATHS: [&str; 3] = ["/api/runs", "/api/runs?status=failed", "/api/runs?limit=50"];
/// Time between an answer and the reader's next request.
const PAUSE: Duration = Duration::from_millis(50);
/// How long readers read alone in each round.
const ALONE: Duration = Duration::from_secs(5);
/// Seed of the first delivery. Each delivery has an own one, because its events must be new.
const FIRST_SEED: u64 = 10_000;

/// What readers and writers cost each other with one workload.
#[derive(Debug, serde::Serialize)]
struct ReadCost {
    workload: WorkloadKind,
    /// Events of each delivery.
    events: u64,
    /// Waits of a reader, by what it asks for.
    readers: Vec<ReaderWaits>,
    #[serde(flatten)]
    writers: WritersBeside,
}

/// Waits for the answers to one question, in ms.
#[derive(Debug, serde::Serialize)]
struct ReaderWaits {
    path: &'static str,
    /// While nobody writes.
    alone: WaitQuantiles,
    /// During deliveries.
    beside: WaitQuantiles,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
struct PageAnswer {
    path: &'static str,
    took: Duration,
}

/// Measures, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    let scratch = ScratchDatabase::for_this_process(url)?;
    scratch.create(args.template.as_deref()).await?;
    let progress = BenchProgress::new();
    let mut all = Vec::new();
    for kind in args.workloads() {
        let started = start_harness(args, &scratch, args.connections, &[], progress.clone()).await;
        let (bench, daemon) = started?;
        let reader = PageReader::new(&bench.page)?;
        all.push(measure(args, kind, &bench, &reader).await?);
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
    reader: &PageReader,
) -> anyhow::Result<ReadCost> {
    let spec = workload_spec(args, kind);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut pairs = Vec::new();
    for round in 0..=args.round_count(kind) as u64 {
        let seed = FIRST_SEED + 2 * round;
        let workload = |seed| Workload::new(&WorkloadSpec { seed, ..spec });
        let quiet = reader.read_for(ALONE).await?;
        let (first, second) = (workload(seed), workload(seed + 1));
        let (without, with, busy) = if round.is_multiple_of(2) {
            let without = write(bench, &first, round).await?;
            let (with, busy) = write_beside(bench, &second, round, reader).await?;
            (without, with, busy)
        } else {
            let (with, busy) = write_beside(bench, &first, round, reader).await?;
            (write(bench, &second, round).await?, with, busy)
        };
        // The first round warms up.
        if round > 0 {
            alone.extend(quiet);
            beside.extend(busy);
            pairs.push((without, with));
        }
    }
    Ok(ReadCost {
        workload: kind,
        events: Workload::new(&spec).events(),
        readers: PATHS
            .map(|path| {
                Ok(ReaderWaits {
                    path,
                    alone: waits(path, &alone)?,
                    beside: waits(path, &beside)?,
                })
            })
            .into_iter()
            .collect::<anyhow::Result<_>>()?,
        writers: WritersBeside::of(&pairs),
    })
}

fn waits(path: &str, answers: &[PageAnswer]) -> anyhow::Result<WaitQuantiles> {
    let of_path = answers.iter().filter(|answer| answer.path == path);
    Ok(WaitDistribution::of(of_path.map(|answer| answer.took))?.quantiles())
}

/// Delivers a workload while a reader reads. Returns what the reader got too.
async fn write_beside(
    bench: &BenchHarness,
    workload: &Workload,
    round: u64,
    reader: &PageReader,
) -> anyhow::Result<(WriteFigures, Vec<PageAnswer>)> {
    let stop = CancellationToken::new();
    let reading = tokio::spawn(reader.clone().read_until(stop.clone()));
    let written = write(bench, workload, round).await;
    stop.cancel();
    Ok((written?, reading.await??))
}

/// A person with an open page.
#[derive(Clone, Debug)]
struct PageReader {
    http: reqwest::Client,
    page: Arc<str>,
}

impl PageReader {
    fn new(page: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().build()?;
        let page = page.into();
        Ok(Self { http, page })
    }

    async fn read_for(&self, time: Duration) -> anyhow::Result<Vec<PageAnswer>> {
        let stop = CancellationToken::new();
        let reading = self.clone().read_until(stop.clone());
        let (_, answers) = tokio::join!(
            async {
                sleep(time).await;
                stop.cancel();
            },
            reading
        );
        answers
    }

    /// Reads until told to stop.
    async fn read_until(self, stop: CancellationToken) -> anyhow::Result<Vec<PageAnswer>> {
        let mut answers = Vec::new();
        for path in PATHS.into_iter().cycle() {
            if stop.is_cancelled() {
                break;
            }
            let asked = Instant::now();
            let answer = self.http.get(format!("{}{path}", self.page)).send().await;
            let answer = answer.with_context(|| format!("no answer to {path}"))?;
            let status = answer.status();
            let body = answer.bytes().await?;
            ensure!(
                status.is_success(),
                "{path} was answered with {status}: {}",
                String::from_utf8_lossy(&body)
            );
            answers.push(PageAnswer {
                path,
                took: asked.elapsed(),
            });
            sleep(PAUSE).await;
        }
        Ok(answers)
    }
}

fn text(cost: &ReadCost) -> String {
    let readers = cost.readers.iter().map(|reader| {
        let waits = |waits: &WaitQuantiles| {
            format!(
                "{:.1} / {:.1} / {:.1} ({} requests)",
                waits.p50, waits.p95, waits.p99, waits.count
            )
        };
        format!(
            "\x20 {}, p50 / p95 / p99 in ms\n\x20   alone: {}\n\x20   during ingest: {}\n",
            reader.path,
            waits(&reader.alone),
            waits(&reader.beside)
        )
    });
    format!(
        "{}: {} events a round\n\
         {}\
         {}",
        cost.workload.name(),
        cost.events,
        readers.collect::<String>(),
        cost.writers.text("a reader"),
    )
}
