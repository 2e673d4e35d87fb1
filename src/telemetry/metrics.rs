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
use crate::auth::KeyTable;
use crate::finalize::SweepCounts;
use crate::ingest::RepairCounts;
use crate::ingest::otlp::{OtlpCounts, Signal, SpanOutcome};
use crate::listen::{ENDPOINT_NAMES, Ended, EndpointCounts};
use crate::pipeline::Gate;
use crate::spool::Spool;
use crate::store::ShardCounts;

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub struct Metrics {
    /// Counts of each shard.
    pub shards: Arc<[Arc<ShardCounts>]>,
    /// What was repaired.
    pub repairs: Arc<RepairCounts>,
    /// What became of spans.
    pub otlp: Arc<OtlpCounts>,
    /// The keys, and what became of requests that presented some or none.
    pub keys: Arc<KeyTable>,
    /// What the sweeper did.
    pub sweeps: Arc<SweepCounts>,
    /// The byte budget and its size.
    pub budget: (Arc<Semaphore>, usize),
    /// Whether the daemon is ready.
    pub readiness: Readiness,
    /// The spool, if there is one.
    pub spool: Option<Arc<Spool>>,
    /// Whether events go there.
    pub gate: Arc<Gate>,
    /// What happened at each of [`ENDPOINT_NAMES`].
    pub endpoints: [Arc<EndpointCounts>; ENDPOINT_NAMES.len()],
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
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let sum = ShardCounts::sum(&self.shards);
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        counter(
            &mut encoder,
            "events_received",
            "Events taken in, or found in the spool at the start",
            sum.received,
        )?;
        let help = "Events settled, by what became of them; the sum reaches events_received. Spooled ones are in the spool now";
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
        if let Some(spool) = &self.spool {
            encode_spool(&mut encoder, spool, &self.gate)?;
        }
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
        endpoints(&mut encoder, &self.endpoints)?;
        encode_keys(&mut encoder, &self.keys)?;
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
                SpanOutcome::Mapped => ("mapped", ""),
                SpanOutcome::Ignored(why) => ("ignored", *why),
                SpanOutcome::Refused(why) => ("refused", why.as_str()),
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

/// Connections of each door.
fn endpoints(encoder: &mut DescriptorEncoder, counts: &[Arc<EndpointCounts>]) -> fmt::Result {
    let endpoints = || ENDPOINT_NAMES.into_iter().zip(counts);
    let mut family = encoder.encode_descriptor(
        "connections",
        "Connections that are open",
        None,
        MetricType::Gauge,
    )?;
    for (endpoint, counts) in endpoints() {
        let open = i64::try_from(counts.open()).unwrap_or(i64::MAX);
        ConstGauge::new(open).encode(family.encode_family(&[("door", endpoint)])?)?;
    }
    let mut family = encoder.encode_descriptor(
        "connections_accepted",
        "Connections that got a place",
        None,
        MetricType::Counter,
    )?;
    for (endpoint, counts) in endpoints() {
        let accepted = ConstCounter::new(counts.accepted());
        accepted.encode(family.encode_family(&[("door", endpoint)])?)?;
    }
    let mut family = encoder.encode_descriptor(
        "connections_ended",
        "Connections that the daemon ended, by why",
        None,
        MetricType::Counter,
    )?;
    for (endpoint, counts) in endpoints() {
        for why in Ended::ALL {
            let labels = [("door", endpoint), ("reason", why.as_str())];
            ConstCounter::new(counts.ended_for(why)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// By reason, and not by key: whoever may see the metrics is not to see who sends.
fn encode_keys(encoder: &mut DescriptorEncoder, keys: &KeyTable) -> fmt::Result {
    let help = "Keys that are valid; 0 too while the database has told none";
    gauge(encoder, "keys_valid", help, keys.valid().unwrap_or(0))?;
    let counts = &keys.counts;
    let help = "Requests that were not let in, by reason";
    let mut family = encoder.encode_descriptor("auth_failures", help, None, MetricType::Counter)?;
    for (reason, count) in [
        ("missing", &counts.missing),
        ("malformed", &counts.malformed),
        ("unknown", &counts.unknown),
        ("not_loaded", &counts.not_loaded),
        ("customer", &counts.customer),
    ] {
        let labels = [("reason", reason)];
        ConstCounter::new(count.load(Relaxed)).encode(family.encode_family(&labels)?)?;
    }
    let help = "Requests and batches of streams that waited for the limits of their key";
    let limited = counts.limited.load(Relaxed);
    counter(encoder, "key_limited", help, limited)
}

fn encode_spool(encoder: &mut DescriptorEncoder, spool: &Spool, gate: &Gate) -> fmt::Result {
    let usage = spool.usage();
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    for (name, help, value) in [
        (
            "spooling",
            "1 while the database is away and events go to the spool",
            usize::from(gate.is_closed()),
        ),
        (
            "spool_refusing",
            "1 if the spool is full or its disk failed at the last attempt",
            usize::from(spool.refusing()),
        ),
        (
            "spool_budget_bytes",
            "Bytes that the spool may take on disk",
            size(spool.budget_bytes()),
        ),
        (
            "spool_used_bytes",
            "Bytes that the spool takes on disk",
            size(usage.bytes),
        ),
        (
            "spool_files",
            "Segment files of the spool",
            size(usage.segments),
        ),
        (
            "spool_quarantined_files",
            "Files of the spool put aside because of damage",
            size(usage.quarantined),
        ),
    ] {
        gauge(encoder, name, help, value)?;
    }
    let help = "Damaged places found in the spool; what was there is lost";
    counter(encoder, "spool_damage", help, usage.damaged)
}

fn counter(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: usize) -> fmt::Result {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
