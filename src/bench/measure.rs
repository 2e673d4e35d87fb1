//! Both ways through the same rows, alternating, each checked in SQL.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::database::{Scratch, TABLES};
use super::direct;
use super::exports::export;
use super::figures::{
    Counted, Duplicates, Latency, LatencyAt, Round, Sample, Spread, WorkloadFigures,
};
use super::load::{Delivery, Pace, deliver};
use super::process::Watched;
use super::progress::Progress;
use super::rows::Rows;
use super::waits::{Distribution, timeline};
use super::workload::{Kind, Shape, Workload};
use crate::client::RetryPolicy;

/// Rows of a direct transaction that are tried.
const SWEEP: [usize; 5] = [1_000, 2_500, 5_000, 10_000, 25_000];
/// Events of a request at low rate: what an agent sends when it sends at once.
const SMALL_REQUEST: usize = 10;
/// Single commits that are timed.
const SINGLE_COMMITS: usize = 300;

/// What a workload is measured with.
#[derive(Debug)]
pub struct Bench {
    /// The database.
    pub scratch: Scratch,
    /// Where the daemon listens.
    pub endpoint: String,
    /// Who is watched.
    pub watched: Watched,
    /// Connections to Postgres.
    pub connections: usize,
    /// For the eyes.
    pub progress: Progress,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds that count; one before them warms up.
    pub rounds: usize,
    /// Whether to look for the best size of a direct transaction, or to take 10,000.
    pub sweep: bool,
    /// How long each rate is held for the latencies; none: no latencies.
    pub latency: Option<Duration>,
}

impl Bench {
    /// Measures one workload.
    ///
    /// # Errors
    /// When anything breaks, or rows are missing: then there is no figure.
    pub async fn workload(&self, shape: &Shape, effort: Effort) -> anyhow::Result<WorkloadFigures> {
        let name = shape.kind.name();
        self.progress.stage(&format!("{name}: making events"));
        let workload = Workload::new(shape);

        // Warms up, and shows what rows the events become.
        self.scratch.empty().await?;
        self.deliver(&workload, &format!("{name}: warming up"), Pace::Full)
            .await?;
        let counts = self.scratch.counts().await?;
        let content = self.scratch.digest().await?;
        let rows = Rows::read(&self.scratch).await?;
        let total: u64 = counts.iter().sum();
        ensure!(
            rows.count() as u64 == total && total > 0,
            "{total} rows, {} read",
            rows.count()
        );

        let mut figures = WorkloadFigures {
            kind: shape.kind,
            about: shape.kind.about(),
            events: workload.events(),
            rows: total,
            row_bytes: rows.bytes() as f64 / total as f64,
            sweep: Vec::new(),
            copy_rows: 10_000,
            rounds: Vec::new(),
            duplicates: Vec::new(),
            latency: None,
            peak_daemon_bytes: 0,
            counted: Counted {
                rows: TABLES.map(str::to_owned).into_iter().zip(counts).collect(),
                times: 1,
                compared: 0,
            },
            timeline: Vec::new(),
        };
        if effort.sweep {
            for copy_rows in SWEEP {
                let sample = self.direct(&rows, copy_rows, &mut figures).await?;
                figures.sweep.push((copy_rows, sample.rows_per_second()));
            }
            let best = figures.sweep.iter().max_by(|a, b| a.1.total_cmp(&b.1));
            figures.copy_rows = best.context("a sweep of nothing")?.0;
        }
        for round in 0..effort.rounds {
            self.round(round, &workload, &rows, &content, &mut figures)
                .await?;
        }
        if let Some(duration) = effort.latency {
            figures.latency = Some(self.latency(shape, &figures, duration).await?);
        }
        figures.peak_daemon_bytes = self.watched.peak_daemon_bytes();
        Ok(figures)
    }

    /// Both ways once, in turns first.
    async fn round(
        &self,
        number: usize,
        workload: &Workload,
        rows: &Rows,
        content: &str,
        figures: &mut WorkloadFigures,
    ) -> anyhow::Result<()> {
        let first = number == 0;
        let mut direct = None;
        if number.is_multiple_of(2) {
            direct = Some(self.direct(rows, figures.copy_rows, figures).await?);
            self.compare(first, content, figures).await?;
        }
        self.scratch.empty().await?;
        let stage = format!(
            "{}: round {}, through the daemon",
            workload.kind.name(),
            number + 1
        );
        let (delivery, through) = self.sampled(workload, &stage, figures.rows).await?;
        self.count(figures).await?;
        self.compare(first, content, figures).await?;
        ensure!(
            delivery.duplicate == 0,
            "{} duplicates in a first delivery",
            delivery.duplicate
        );
        figures.timeline = timeline(&delivery, figures.rows as f64 / figures.events as f64);

        let stage = format!(
            "{}: round {}, everything again",
            workload.kind.name(),
            number + 1
        );
        let again = self.deliver(workload, &stage, Pace::Full).await?;
        ensure!(
            again.committed == 0,
            "{} events changed rows when repeated",
            again.committed
        );
        self.count(figures).await?;
        self.compare(first, content, figures).await?;
        figures.duplicates.push(Duplicates {
            events_per_second: figures.events as f64 / again.took.as_secs_f64(),
            of_first: delivery.took.as_secs_f64() / again.took.as_secs_f64(),
        });
        let direct = match direct {
            Some(direct) => direct,
            None => self.direct(rows, figures.copy_rows, figures).await?,
        };
        figures.rounds.push(Round {
            direct,
            through,
            full_load_ack: Distribution::of_acks(&delivery)?.waits(),
        });
        Ok(())
    }

    /// Copies all rows into empty tables.
    async fn direct(
        &self,
        rows: &Rows,
        copy_rows: usize,
        figures: &mut WorkloadFigures,
    ) -> anyhow::Result<Sample> {
        let name = figures.kind.name();
        self.progress.stage(&format!(
            "{name}: plain COPY, {copy_rows} rows a transaction"
        ));
        self.scratch.empty().await?;
        let lanes = rows.cut(self.connections, copy_rows);
        let (wal, cpu) = (self.scratch.wal_bytes().await?, self.watched.cpu());
        let took = direct::copy_all(&self.scratch, lanes).await?;
        let cpu = self.watched.cpu().since(cpu);
        let wal_bytes = self.scratch.wal_bytes().await? - wal;
        self.count(figures).await?;
        Ok(Sample {
            rows: figures.rows,
            seconds: took.as_secs_f64(),
            cpu,
            wal_bytes,
        })
    }

    /// Delivers at full pace, with all that is measured about it.
    pub async fn sampled(
        &self,
        workload: &Workload,
        stage: &str,
        rows: u64,
    ) -> anyhow::Result<(Delivery, Sample)> {
        let (wal, cpu) = (self.scratch.wal_bytes().await?, self.watched.cpu());
        let delivery = self.deliver(workload, stage, Pace::Full).await?;
        let cpu = self.watched.cpu().since(cpu);
        let wal_bytes = self.scratch.wal_bytes().await? - wal;
        let sample = Sample {
            rows,
            seconds: delivery.took.as_secs_f64(),
            cpu,
            wal_bytes,
        };
        Ok((delivery, sample))
    }

    /// Waits at fixed rates, beside those of single commits.
    async fn latency(
        &self,
        shape: &Shape,
        figures: &WorkloadFigures,
        duration: Duration,
    ) -> anyhow::Result<Latency> {
        let name = shape.kind.name();
        self.progress.stage(&format!("{name}: single commits"));
        self.scratch.empty().await?;
        let commits = direct::single_commits(&self.scratch, SINGLE_COMMITS).await?;
        let rate = Spread::of(
            figures
                .rounds
                .iter()
                .map(|r| figures.events as f64 / r.through.seconds),
        );
        let mut at = Vec::new();
        for (share, request_events) in [(0.1, SMALL_REQUEST), (0.8, shape.request_events)] {
            let events_per_second = rate.median * share;
            let events = events_per_second * duration.as_secs_f64();
            let rows_per_event = figures.rows as f64 / figures.events as f64;
            let workload = Workload::new(&Shape {
                rows: (events * rows_per_event).min(shape.rows as f64) as usize,
                request_events,
                ..*shape
            });
            let interval = (shape.streams * request_events) as f64 / events_per_second;
            let pace = Pace::Every(Duration::from_secs_f64(interval));
            self.scratch.empty().await?;
            let stage = format!("{name}: waits at {:.0} % of the rate", share * 100.0);
            let delivery = self.deliver(&workload, &stage, pace).await?;
            let distribution = Distribution::of_acks(&delivery)?;
            at.push(LatencyAt {
                share,
                events_per_second,
                request_events,
                seconds: delivery.took.as_secs_f64(),
                waits: distribution.waits(),
                distribution: distribution.curve(),
            });
        }
        Ok(Latency {
            single_commit: Distribution::of(commits)?.waits(),
            at,
        })
    }

    /// Delivers a workload.
    pub async fn deliver(
        &self,
        workload: &Workload,
        stage: &str,
        pace: Pace,
    ) -> anyhow::Result<Delivery> {
        let bar = self.progress.delivery(stage, workload.events());
        let tick = bar.clone();
        let progress = move |events| tick.inc(events);
        let streams = &workload.streams;
        let delivery = if workload.kind == Kind::Otlp {
            export(&self.endpoint, streams, progress).await
        } else {
            let retry = RetryPolicy::default();
            deliver(&self.endpoint, streams, pace, retry, progress).await
        };
        bar.finish_and_clear();
        delivery
    }

    async fn count(&self, figures: &mut WorkloadFigures) -> anyhow::Result<()> {
        let counts = self.scratch.counts().await?;
        for ((table, want), count) in figures.counted.rows.iter().zip(counts) {
            ensure!(
                *want == count,
                "{table}: {count} rows where {want} were due"
            );
        }
        figures.counted.times += 1;
        Ok(())
    }

    /// Compares the whole content, which takes a while.
    async fn compare(
        &self,
        wanted: bool,
        content: &str,
        figures: &mut WorkloadFigures,
    ) -> anyhow::Result<()> {
        if wanted {
            self.progress
                .stage(&format!("{}: comparing content", figures.kind.name()));
            let found = self.scratch.digest().await?;
            ensure!(
                found == content,
                "the tables hold something else than before"
            );
            figures.counted.compared += 1;
        }
        Ok(())
    }
}
