//! Prometheus metrics. They are read from the same counts as the ledger.

mod reaped;
mod spools;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::health::Readiness;
use crate::auth::KeyTable;
use crate::finalize::SweepCounts;
use crate::histograms::Histograms;
use crate::ingest::RepairCounts;
use crate::ingest::otlp::{OtlpCounts, Signal, SpanOutcome};
use crate::listen::{ENDPOINT_NAMES, EndReason, EndpointCounts};
use crate::mask::Masker;
use crate::own_spans::OwnSpanCounts;
use crate::pipeline::Gate;
use crate::reap::ReapCounts;
use crate::spool::Spool;
use crate::store::{ShardCounts, StoreServer};

/// The sources of `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    /// The events of each shard.
    pub shards: Arc<[Arc<ShardCounts>]>,
    /// Repaired texts and values.
    pub repairs: Arc<RepairCounts>,
    /// Outcomes of spans, log records and data points.
    pub otlp: Arc<OtlpCounts>,
    /// Masked secrets, if they are masked.
    pub masker: Option<Arc<Masker>>,
    /// The valid keys, and the rejected requests.
    pub keys: Arc<KeyTable>,
    /// Abandoned runs and expired approvals.
    pub sweeps: Arc<SweepCounts>,
    /// Deleted rows.
    pub reaped: Arc<ReapCounts>,
    /// The memory budget and its size in bytes.
    pub budget: (Arc<Semaphore>, usize),
    /// The readiness.
    pub readiness: Readiness,
    /// The servers of the store.
    pub servers: Vec<ServerSources>,
    /// Connections, one entry for each of [`ENDPOINT_NAMES`].
    pub endpoints: [Arc<EndpointCounts>; ENDPOINT_NAMES.len()],
    /// What requests and transactions take.
    pub histograms: Arc<Histograms>,
    /// Spans about the daemon's own work.
    pub own_spans: Arc<OwnSpanCounts>,
}

/// What one server of the store adds.
#[derive(Debug)]
pub struct ServerSources {
    /// Which server it is.
    pub place: StoreServer,
    /// Its spool, if there is one.
    pub spool: Option<Arc<Spool>>,
    /// Its gate: whether events go to Postgres or to the spool.
    pub gate: Arc<Gate>,
}

impl Metrics {
    /// Why a spool is not replayed although its server is there.
    pub(super) fn spool_problem(&self) -> Option<&'static str> {
        self.servers
            .iter()
            .find_map(|server| server.gate.spool_problem())
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// Never in practice: writing to a string cannot fail.
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
            "Events received, or found in the spool at the start",
            sum.received,
        )?;
        let help = "Settled events, by outcome; the sum reaches events_received. Spooled events are in the spool now";
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
        let contents = ShardCounts::content_bytes(&self.shards);
        counter(
            &mut encoder,
            "content_values_bytes",
            "Bytes of inputs and outputs of steps that are stored as contents",
            contents.values,
        )?;
        counter(
            &mut encoder,
            "content_new_bytes",
            "Approximate bytes of the rows that were added for them",
            contents.new,
        )?;
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
        seconds(
            &mut encoder,
            "oldest_unsettled_seconds",
            "Age of the oldest batch that is admitted and not settled",
            self.histograms.oldest_unsettled(),
        )?;
        encode_histograms(&mut encoder, &self.histograms)?;
        spools::encode(&mut encoder, &self.servers)?;
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
                "Texts that were not UTF-8, repaired with U+FFFD",
                &repairs.invalid_utf8,
            ),
            (
                "cut_values",
                "Values dropped because they were nested too deep",
                &repairs.too_deep,
            ),
            (
                "cut_texts",
                "Texts cut to --max-field-bytes",
                &repairs.truncated,
            ),
        ] {
            counter(&mut encoder, name, help, count(repaired))?;
        }
        encode_masked(&mut encoder, self.masker.as_deref())?;
        encode_otlp(&mut encoder, &self.otlp)?;
        encode_endpoints(&mut encoder, &self.endpoints)?;
        encode_keys(&mut encoder, &self.keys)?;
        encode_own_spans(&mut encoder, &self.own_spans)?;
        reaped::encode(&mut encoder, &self.reaped)?;
        let abandoned = count(&self.sweeps.runs_abandoned);
        counter(
            &mut encoder,
            "runs_abandoned",
            "Abandoned runs that the sweeper closed",
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

/// Masked secrets, by kind. Of the kinds without any only the first one is there: texts that
/// were masked unseen.
fn encode_masked(encoder: &mut DescriptorEncoder, masker: Option<&Masker>) -> fmt::Result {
    let help = "Masked secrets, by kind; unchecked: whole texts that could not be looked at";
    let mut family = encoder.encode_descriptor("masked", help, None, MetricType::Counter)?;
    let counts: Vec<(&str, u64)> = masker.map_or_else(
        || vec![("unchecked", 0)],
        |masker| masker.counts().collect(),
    );
    for (index, (kind, count)) in counts.into_iter().enumerate() {
        if index == 0 || count > 0 {
            ConstCounter::new(count).encode(family.encode_family(&[("kind", kind)])?)?;
        }
    }
    Ok(())
}

/// Outcomes of spans, log records and data points, by dialect.
fn encode_otlp(encoder: &mut DescriptorEncoder, counts: &OtlpCounts) -> fmt::Result {
    let tally = counts.read();
    for (signal, name, help) in [
        (Signal::Traces, "otlp_spans", "Received spans, by outcome"),
        (
            Signal::Logs,
            "otlp_log_records",
            "Received log records, by outcome",
        ),
        (
            Signal::Metrics,
            "otlp_data_points",
            "Received data points, by outcome",
        ),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for ((_, dialect, outcome), count) in tally.iter().filter(|((of, ..), _)| *of == signal) {
            let (outcome, reason) = match outcome {
                SpanOutcome::Mapped => ("mapped", ""),
                SpanOutcome::Ignored(reason) => ("ignored", *reason),
                SpanOutcome::Refused(reason) => ("refused", reason.as_str()),
            };
            let labels = [
                ("dialect", &**dialect),
                ("outcome", outcome),
                ("reason", reason),
            ];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
    }
    let help = "Received spans that look like an agent's work but were not understood, by scope";
    let name = "otlp_not_understood";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    let mut scopes = counts.not_understood();
    if scopes.is_empty() {
        // A metric that is missing looks like a daemon that does not count.
        scopes.push((String::new(), 0));
    }
    for (scope, spans) in scopes {
        let labels = [("scope", scope.as_str())];
        ConstCounter::new(spans).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Connections of each endpoint.
fn encode_endpoints(
    encoder: &mut DescriptorEncoder,
    counts: &[Arc<EndpointCounts>],
) -> fmt::Result {
    let endpoints = || ENDPOINT_NAMES.into_iter().zip(counts);
    let mut family =
        encoder.encode_descriptor("connections", "Open connections", None, MetricType::Gauge)?;
    for (endpoint, counts) in endpoints() {
        let open = i64::try_from(counts.open()).unwrap_or(i64::MAX);
        ConstGauge::new(open).encode(family.encode_family(&[("door", endpoint)])?)?;
    }
    let mut family = encoder.encode_descriptor(
        "connections_accepted",
        "Connections accepted within --max-connections",
        None,
        MetricType::Counter,
    )?;
    for (endpoint, counts) in endpoints() {
        let accepted = ConstCounter::new(counts.accepted());
        accepted.encode(family.encode_family(&[("door", endpoint)])?)?;
    }
    let mut family = encoder.encode_descriptor(
        "connections_ended",
        "Connections that the daemon ended, by reason",
        None,
        MetricType::Counter,
    )?;
    for (endpoint, counts) in endpoints() {
        for reason in EndReason::ALL {
            let labels = [("door", endpoint), ("reason", reason.as_str())];
            ConstCounter::new(counts.ended_for(reason)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// Valid keys and rejected requests. They are not counted by key, so that the metrics do
/// not reveal who sends.
fn encode_keys(encoder: &mut DescriptorEncoder, keys: &KeyTable) -> fmt::Result {
    let help = "Valid keys; 0 until keys are loaded";
    gauge(encoder, "keys_valid", help, keys.valid_count().unwrap_or(0))?;
    let counts = &keys.counts;
    let help = "Rejected requests, by reason";
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
    let help = "Requests and stream batches delayed or refused by the limits of their key";
    let limited = counts.limited.load(Relaxed);
    counter(encoder, "key_limited", help, limited)
}

/// Spans about the daemon's own work.
fn encode_own_spans(encoder: &mut DescriptorEncoder, counts: &OwnSpanCounts) -> fmt::Result {
    let help = "Spans about the daemon's own work, by outcome";
    let mut family = encoder.encode_descriptor("own_spans", help, None, MetricType::Counter)?;
    for (outcome, count) in [
        ("sent", &counts.sent),
        ("queue_full", &counts.queue_full),
        ("not_taken", &counts.not_taken),
    ] {
        let labels = [("outcome", outcome)];
        ConstCounter::new(count.load(Relaxed)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_histograms(encoder: &mut DescriptorEncoder, histograms: &Histograms) -> fmt::Result {
    for family in histograms.families() {
        let (name, help) = (family.name, family.help);
        let mut descriptor = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        match family.members.as_slice() {
            [(labels, histogram)] if labels.is_empty() => histogram.encode(descriptor)?,
            members => {
                for (labels, histogram) in members {
                    histogram.encode(descriptor.encode_family(labels)?)?;
                }
            }
        }
    }
    Ok(())
}

fn seconds(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: Duration,
) -> fmt::Result {
    let metric = ConstGauge::new(value.as_secs_f64());
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn counter(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: usize) -> fmt::Result {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
