//! Prometheus metrics, read from the counts that the ledger is written from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::Readiness;
use crate::finalize::SweepCounts;
use crate::ingest::RepairCounts;
use crate::ingest::otlp::{Fate, OtlpCounts, Signal};
use crate::store::{Reading, ShardCounts};

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub struct Metrics {
    /// Counts of each shard.
    pub shards: Arc<[Arc<ShardCounts>]>,
    /// What was repaired.
    pub repairs: Arc<RepairCounts>,
    /// What became of spans.
    pub otlp: Arc<OtlpCounts>,
    /// What the sweeper did.
    pub sweeps: Arc<SweepCounts>,
    /// The byte budget and its size.
    pub budget: (Arc<Semaphore>, usize),
    /// Whether the daemon is ready.
    pub readiness: Readiness,
}

impl Metrics {
    /// The text of `/metrics`.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn render(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("runtraced");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn sum(&self) -> Reading {
        self.shards
            .iter()
            .map(|shard| shard.read())
            .fold(Reading::default(), |a, b| Reading {
                received: a.received + b.received,
                committed: a.committed + b.committed,
                duplicate: a.duplicate + b.duplicate,
                refused: a.refused + b.refused,
                spooled: a.spooled + b.spooled,
                dead_lettered: a.dead_lettered + b.dead_lettered,
                ignored: a.ignored + b.ignored,
            })
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let sum = self.sum();
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        counter(
            &mut encoder,
            "events_received",
            "Events taken in",
            sum.received,
        )?;
        let help = "Events settled, by what became of them; the sum reaches events_received";
        let mut family =
            encoder.encode_descriptor("events_settled", help, None, MetricType::Counter)?;
        for (outcome, value) in [
            ("committed", sum.committed),
            ("duplicate", sum.duplicate),
            ("refused", sum.refused),
            ("spooled", sum.spooled),
            ("dead_lettered", sum.dead_lettered),
            ("ignored", sum.ignored),
        ] {
            let labels = [("outcome", outcome)];
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        let (budget, bytes) = &self.budget;
        let used = bytes.saturating_sub(budget.available_permits());
        gauge(
            &mut encoder,
            "memory_budget_bytes",
            "Bytes of events that may be in memory",
            *bytes,
        )?;
        gauge(
            &mut encoder,
            "memory_used_bytes",
            "Bytes of events in memory, not yet settled",
            used,
        )?;
        let ready = usize::from(self.readiness.get().is_ok());
        gauge(
            &mut encoder,
            "ready",
            "1 if events can be made durable now",
            ready,
        )?;
        let repairs = &self.repairs;
        for (name, help, repaired) in [
            (
                "repaired_nuls",
                "NUL characters replaced by U+FFFD",
                &repairs.nuls,
            ),
            (
                "repaired_surrogates",
                "Lone surrogates replaced by U+FFFD",
                &repairs.surrogates,
            ),
            (
                "repaired_utf8",
                "Texts that were not UTF-8, mended with U+FFFD",
                &repairs.invalid_utf8,
            ),
            (
                "cut_values",
                "Values nested too deep, left out",
                &repairs.too_deep,
            ),
            (
                "cut_texts",
                "Texts longer than --max-field-bytes, cut",
                &repairs.truncated,
            ),
        ] {
            counter(&mut encoder, name, help, count(repaired))?;
        }
        otlp(&mut encoder, &self.otlp)?;
        let abandoned = count(&self.sweeps.runs_abandoned);
        counter(
            &mut encoder,
            "runs_abandoned",
            "Runs that the sweeper closed",
            abandoned,
        )?;
        let expired = count(&self.sweeps.approvals_expired);
        counter(
            &mut encoder,
            "approvals_expired",
            "Approvals that the sweeper expired",
            expired,
        )
    }
}

/// What became of spans, log records and data points, by dialect.
fn otlp(encoder: &mut DescriptorEncoder, counts: &OtlpCounts) -> fmt::Result {
    let tally = counts.read();
    for (signal, name, help) in [
        (
            Signal::Traces,
            "otlp_spans",
            "Spans taken in, by what became of them",
        ),
        (
            Signal::Logs,
            "otlp_log_records",
            "Log records taken in, by what became of them",
        ),
        (
            Signal::Metrics,
            "otlp_data_points",
            "Data points taken in, by what became of them",
        ),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for ((_, dialect, fate), count) in tally.iter().filter(|((of, ..), _)| *of == signal) {
            let (outcome, reason) = match fate {
                Fate::Mapped => ("mapped", ""),
                Fate::Ignored(why) => ("ignored", *why),
                Fate::Refused(why) => ("refused", why.as_str()),
            };
            let labels = [
                ("dialect", *dialect),
                ("outcome", outcome),
                ("reason", reason),
            ];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn counter(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: usize) -> fmt::Result {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
