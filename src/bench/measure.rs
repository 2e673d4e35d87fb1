//! Measures one workload: the same rows through runtraced and with plain COPY, in alternating
//! order, with every result checked in SQL.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use runtraced_client::RetryPolicy;

use super::database::{ScratchDatabase, TABLES};
use super::direct;
use super::exports::deliver_otlp;
use super::figures::{
    LatencyAtRate, LatencyFigures, Measurement, Redelivery, RoundFigures, RowChecks, Spread,
    WorkloadFigures,
};
use super::load::{DeliveryResult, Pace, deliver};
use super::process::WatchedProcesses;
use super::progress::BenchProgress;
use super::rows::WorkloadRows;
use super::waits::{WaitDistribution, timeline};
use super::workload::{Workload, WorkloadSpec};

/// Rows per plain COPY transaction to try.
const COPY_ROWS_SWEEP: [usize; 5] = [1_000, 2_500, 5_000, 10_000, 25_000];
/// Events per request at the low rate: an agent that sends without delay fills small requests.
const SMALL_REQUEST_EVENTS: usize = 10;
/// Single-row transactions to time.
const SINGLE_COMMITS: usize = 300;
/// Rows per plain COPY transaction without a sweep: in the middle of [`COPY_ROWS_SWEEP`]'s best sizes.
pub(super) const DEFAULT_COPY_ROWS: usize = 10_000;
/// Fractions of the median rate at which ack latency is measured: a nearly idle daemon, and one
/// near its capacity.
const LOW_RATE: f64 = 0.1;
const HIGH_RATE: f64 = 0.8;

/// A running daemon, its database, and what is needed to measure them.
#[derive(Debug)]
pub struct BenchHarness {
    /// The database that the daemon writes to.
    pub scratch: ScratchDatabase,
    /// URL of the daemon's gRPC endpoint.
    pub endpoint: String,
    /// URL of the page, without a path.
    pub page: String,
    /// The processes whose CPU and memory are measured.
    pub watched: WatchedProcesses,
    /// Connections to Postgres, of the daemon and of plain COPY.
    pub connections: usize,
    /// Shows progress.
    pub progress: BenchProgress,
}

/// What to measure about a workload, and how often.
#[derive(Clone, Copy, Debug)]
pub struct MeasurePlan {
    /// Rounds, without the warm-up delivery.
    pub rounds: usize,
    /// Whether to search for the fastest size of a plain COPY transaction. Otherwise it is
    /// [`DEFAULT_COPY_ROWS`].
    pub sweep: bool,
    /// How long to hold each rate while latency is measured; `None`: do not measure it.
    pub latency_hold: Option<Duration>,
}

impl BenchHarness {
    /// Measures one workload.
    ///
    /// # Errors
    /// When any part fails, or rows are missing or differ.
    pub async fn workload(
        &self,
        spec: &WorkloadSpec,
        plan: MeasurePlan,
    ) -> anyhow::Result<WorkloadFigures> {
        let name = spec.kind.name();
        self.progress.stage(&format!("{name}: generating events"));
        let workload = Workload::new(spec);

        // Warms up, and yields the rows for plain COPY.
        self.scratch.truncate().await?;
        self.deliver(&workload, &format!("{name}: warming up"), Pace::Full)
            .await?;
        let counts = self.scratch.row_counts().await?;
        let content = self.scratch.content_digest().await?;
        let rows = WorkloadRows::read(&self.scratch).await?;
        let total: u64 = counts.iter().sum();
        ensure!(
            rows.count() as u64 == total && total > 0,
            "the tables hold {total} rows, but COPY returned {}",
            rows.count()
        );

        let mut figures = WorkloadFigures {
            kind: spec.kind,
            about: spec.kind.about(),
            events: workload.events(),
            rows: total,
            row_bytes: rows.bytes() as f64 / total as f64,
            sweep: Vec::new(),
            copy_rows: DEFAULT_COPY_ROWS,
            rounds: Vec::new(),
            duplicates: Vec::new(),
            latency: None,
            peak_daemon_bytes: 0,
            counted: RowChecks {
                rows: TABLES.map(str::to_owned).into_iter().zip(counts).collect(),
                times: 1,
                compared: 0,
            },
            timeline: Vec::new(),
        };
        if plan.sweep {
            for copy_rows in COPY_ROWS_SWEEP {
                let measured = self.copy_directly(&rows, copy_rows, &mut figures).await?;
                figures.sweep.push((copy_rows, measured.rows_per_second()));
            }
            let best = figures.sweep.iter().max_by(|a, b| a.1.total_cmp(&b.1));
            figures.copy_rows = best.context("the sweep has no transaction sizes")?.0;
        }
        for round in 0..plan.rounds {
            self.round(round, &workload, &rows, &content, &mut figures)
                .await?;
        }
        if let Some(duration) = plan.latency_hold {
            figures.latency = Some(self.measure_latency(spec, &figures, duration).await?);
        }
        figures.peak_daemon_bytes = self.watched.peak_daemon_bytes();
        Ok(figures)
    }

    /// Measures both ways once. Even rounds start with plain COPY, odd ones with runtraced.
    async fn round(
        &self,
        number: usize,
        workload: &Workload,
        rows: &WorkloadRows,
        content: &str,
        figures: &mut WorkloadFigures,
    ) -> anyhow::Result<()> {
        let first = number == 0;
        let mut direct = None;
        if number.is_multiple_of(2) {
            direct = Some(self.copy_directly(rows, figures.copy_rows, figures).await?);
            self.check_content(first, content, figures).await?;
        }
        self.scratch.truncate().await?;
        let stage = format!(
            "{}: round {}, through runtraced",
            workload.kind.name(),
            number + 1
        );
        let (delivery, through) = self
            .deliver_measured(workload, &stage, figures.rows)
            .await?;
        self.check_row_counts(figures).await?;
        self.check_content(first, content, figures).await?;
        ensure!(
            delivery.duplicate == 0,
            "the first delivery had {} duplicates; expected none",
            delivery.duplicate
        );
        figures.timeline = timeline(&delivery, figures.rows as f64 / figures.events as f64);

        let stage = format!(
            "{}: round {}, second delivery",
            workload.kind.name(),
            number + 1
        );
        let again = self.deliver(workload, &stage, Pace::Full).await?;
        ensure!(
            again.committed == 0,
            "the second delivery changed rows with {} events; expected none",
            again.committed
        );
        self.check_row_counts(figures).await?;
        self.check_content(first, content, figures).await?;
        figures.duplicates.push(Redelivery {
            events_per_second: figures.events as f64 / again.took.as_secs_f64(),
            of_first: delivery.took.as_secs_f64() / again.took.as_secs_f64(),
        });
        let direct = match direct {
            Some(direct) => direct,
            None => self.copy_directly(rows, figures.copy_rows, figures).await?,
        };
        figures.rounds.push(RoundFigures {
            direct,
            through,
            full_load_ack: WaitDistribution::of_acks(&delivery)?.quantiles(),
        });
        Ok(())
    }

    /// Writes all rows into empty tables with plain COPY.
    async fn copy_directly(
        &self,
        rows: &WorkloadRows,
        copy_rows: usize,
        figures: &mut WorkloadFigures,
    ) -> anyhow::Result<Measurement> {
        let name = figures.kind.name();
        self.progress.stage(&format!(
            "{name}: plain COPY, {copy_rows} rows per transaction"
        ));
        self.scratch.truncate().await?;
        let plans = rows.split(self.connections, copy_rows);
        let (wal, cpu) = (self.scratch.wal_bytes().await?, self.watched.cpu());
        let took = direct::copy_all(&self.scratch, plans).await?;
        let cpu = self.watched.cpu().since(cpu);
        let wal_bytes = self.scratch.wal_bytes().await? - wal;
        self.check_row_counts(figures).await?;
        Ok(Measurement {
            rows: figures.rows,
            seconds: took.as_secs_f64(),
            cpu,
            wal_bytes,
        })
    }

    /// Delivers at full pace, and measures time, CPU and WAL.
    pub async fn deliver_measured(
        &self,
        workload: &Workload,
        stage: &str,
        rows: u64,
    ) -> anyhow::Result<(DeliveryResult, Measurement)> {
        let (wal, cpu) = (self.scratch.wal_bytes().await?, self.watched.cpu());
        let delivery = self.deliver(workload, stage, Pace::Full).await?;
        let cpu = self.watched.cpu().since(cpu);
        let wal_bytes = self.scratch.wal_bytes().await? - wal;
        let measured = Measurement {
            rows,
            seconds: delivery.took.as_secs_f64(),
            cpu,
            wal_bytes,
        };
        Ok((delivery, measured))
    }

    /// Measures ack latency at fixed rates, and the duration of single commits.
    async fn measure_latency(
        &self,
        spec: &WorkloadSpec,
        figures: &WorkloadFigures,
        duration: Duration,
    ) -> anyhow::Result<LatencyFigures> {
        let name = spec.kind.name();
        self.progress.stage(&format!("{name}: single commits"));
        self.scratch.truncate().await?;
        let commits = direct::single_commits(&self.scratch, SINGLE_COMMITS).await?;
        let rate = Spread::of(
            figures
                .rounds
                .iter()
                .map(|r| figures.events as f64 / r.through.seconds),
        );
        let mut at = Vec::new();
        for (share, request_events) in [
            (LOW_RATE, SMALL_REQUEST_EVENTS),
            (HIGH_RATE, spec.request_events),
        ] {
            let events_per_second = rate.median * share;
            let events = events_per_second * duration.as_secs_f64();
            let rows_per_event = figures.rows as f64 / figures.events as f64;
            let workload = Workload::new(&WorkloadSpec {
                rows: (events * rows_per_event).min(spec.rows as f64) as usize,
                request_events,
                ..*spec
            });
            let interval = (spec.streams * request_events) as f64 / events_per_second;
            let pace = Pace::Every(Duration::from_secs_f64(interval));
            self.scratch.truncate().await?;
            let stage = format!("{name}: latency at {:.0} % of the rate", share * 100.0);
            let delivery = self.deliver(&workload, &stage, pace).await?;
            let distribution = WaitDistribution::of_acks(&delivery)?;
            at.push(LatencyAtRate {
                share,
                events_per_second,
                request_events,
                seconds: delivery.took.as_secs_f64(),
                waits: distribution.quantiles(),
                distribution: distribution.curve(),
            });
        }
        Ok(LatencyFigures {
            single_commit: WaitDistribution::of(commits)?.quantiles(),
            at,
        })
    }

    /// Delivers a workload. OTLP ignores `pace`, and is always delivered at full pace.
    pub async fn deliver(
        &self,
        workload: &Workload,
        stage: &str,
        pace: Pace,
    ) -> anyhow::Result<DeliveryResult> {
        let bar = self.progress.delivery(stage, workload.events());
        let tick = bar.clone();
        let progress = move |events| tick.inc(events);
        let streams = &workload.streams;
        let delivery = if workload.kind.is_otlp() {
            deliver_otlp(&self.endpoint, workload, progress).await
        } else {
            let retry = RetryPolicy::default();
            deliver(&self.endpoint, streams, pace, retry, progress).await
        };
        bar.finish_and_clear();
        delivery
    }

    /// Fails unless every table holds as many rows as after the warm-up.
    async fn check_row_counts(&self, figures: &mut WorkloadFigures) -> anyhow::Result<()> {
        let counts = self.scratch.row_counts().await?;
        for ((table, want), count) in figures.counted.rows.iter().zip(counts) {
            ensure!(
                *want == count,
                "{table} holds {count} rows; expected {want}"
            );
        }
        figures.counted.times += 1;
        Ok(())
    }

    /// Fails unless the whole content equals that after the warm-up. Slow, so only `wanted` in
    /// the first round.
    async fn check_content(
        &self,
        wanted: bool,
        content: &str,
        figures: &mut WorkloadFigures,
    ) -> anyhow::Result<()> {
        if wanted {
            self.progress
                .stage(&format!("{}: comparing content", figures.kind.name()));
            let found = self.scratch.content_digest().await?;
            ensure!(
                found == content,
                "the content of the tables differs from that after the first delivery"
            );
            figures.counted.compared += 1;
        }
        Ok(())
    }
}
