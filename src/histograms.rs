//! What the daemon measures as histograms: once per request, batch or transaction, never per
//! event. Also the age of the oldest batch that is not settled.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of times, in seconds: from what a fast disk takes to what a client gives up at.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];
/// Bounds of the time that events wait in the spool, in seconds.
const LAG_SECONDS: [f64; 9] = [
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
];
/// Bounds of sizes, in bytes: 1 KiB to 64 MiB.
const BYTES: [f64; 9] = [
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Bounds of numbers of events.
const EVENTS: [f64; 9] = [
    1.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
];

/// Defines an enum whose variants are the values of a label.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            /// All values, in the order of their histograms.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The value of the label.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

label!(
    /// Where events arrive.
    IngestEndpoint {
        /// `TraceIngest.Stream`.
        Stream = "stream",
        /// `TraceIngest.Submit`.
        Submit = "submit",
        /// `POST /v1/events`.
        Events = "events",
        /// OTLP over gRPC.
        OtlpGrpc = "otlp_grpc",
        /// OTLP over HTTP.
        OtlpHttp = "otlp_http",
    }
);

label!(
    /// How safe a settled batch is.
    AckedAs {
        /// All of it is in Postgres, or was refused.
        Committed = "committed",
        /// Some of it is in the spool.
        Spooled = "spooled",
    }
);

label!(
    /// A phase of the way to Postgres or to the spool.
    WritePhase {
        /// A batch waits for the memory budget.
        Admit = "admit",
        /// Its events wait for their writer.
        Queue = "queue",
        /// The events of a transaction are sorted by table.
        Plan = "plan",
        /// Sessions and runs are created, locked and changed.
        Lock = "lock",
        /// New rows are copied.
        Copy = "copy",
        /// Other rows are merged.
        Merge = "merge",
        /// Runs that have ended are summed up.
        Settle = "settle",
        /// The ledger is written, and the transaction commits.
        Commit = "commit",
        /// The disk of the spool syncs a frame.
        Spool = "spool",
    }
);

label!(
    /// Who writes a transaction.
    WriterKind {
        /// The writer of a shard.
        Shard = "shard",
        /// The replayer of the spool.
        Replayer = "replayer",
    }
);

/// The times of the phases inside a transaction.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // the phases
pub struct PhaseTimes {
    pub plan: Duration,
    pub lock: Duration,
    pub copy: Duration,
    pub merge: Duration,
    pub settle: Duration,
}

impl AddAssign for PhaseTimes {
    fn add_assign(&mut self, other: Self) {
        self.plan += other.plan;
        self.lock += other.lock;
        self.copy += other.copy;
        self.merge += other.merge;
        self.settle += other.settle;
    }
}

impl PhaseTimes {
    /// The phases in the order in which they follow each other.
    #[must_use]
    pub fn in_order(self) -> [(WritePhase, Duration); 5] {
        [
            (WritePhase::Plan, self.plan),
            (WritePhase::Lock, self.lock),
            (WritePhase::Copy, self.copy),
            (WritePhase::Merge, self.merge),
            (WritePhase::Settle, self.settle),
        ]
    }
}

/// Where and when a batch arrived.
#[derive(Clone, Copy, Debug)]
pub struct BatchSource {
    /// Where.
    pub endpoint: IngestEndpoint,
    /// When its bytes were there.
    pub received: Instant,
}

impl BatchSource {
    /// A batch whose bytes are there now.
    #[must_use]
    pub fn now(endpoint: IngestEndpoint) -> Self {
        Self {
            endpoint,
            received: Instant::now(),
        }
    }
}

/// For batches of tests.
impl Default for BatchSource {
    fn default() -> Self {
        Self::now(IngestEndpoint::Submit)
    }
}

/// A trace that the daemon began, as the example of a measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceExemplar {
    /// Its id.
    pub trace: u128,
    /// How long the work must have taken for the collector to get it.
    pub told_after: Duration,
}

/// Names and values of the labels of an exemplar.
type ExemplarLabels = Vec<(&'static str, String)>;
type AckHistogram = HistogramWithExemplars<ExemplarLabels>;

/// All histograms.
#[derive(Debug)]
pub struct Histograms {
    acks: Vec<Vec<AckHistogram>>,
    requests: Vec<Histogram>,
    phases: Vec<Histogram>,
    batch_events: Vec<Histogram>,
    batch_bytes: Vec<Histogram>,
    replay_lag: Histogram,
    /// When each batch that is not settled arrived.
    unsettled: Mutex<BTreeSet<(Instant, u64)>>,
    next_batch: AtomicU64,
}

impl Default for Histograms {
    fn default() -> Self {
        let all = |count: usize, bounds: &[f64]| -> Vec<Histogram> {
            (0..count)
                .map(|_| Histogram::new(bounds.iter().copied()))
                .collect()
        };
        let endpoints = IngestEndpoint::ALL.len();
        let writers = WriterKind::ALL.len();
        Self {
            acks: (0..endpoints)
                .map(|_| {
                    let acked = AckedAs::ALL.iter();
                    acked
                        .map(|_| AckHistogram::new(SECONDS.into_iter()))
                        .collect()
                })
                .collect(),
            requests: all(endpoints, &BYTES),
            phases: all(WritePhase::ALL.len(), &SECONDS),
            batch_events: all(writers, &EVENTS),
            batch_bytes: all(writers, &BYTES),
            replay_lag: Histogram::new(LAG_SECONDS),
            unsettled: Mutex::default(),
            next_batch: AtomicU64::new(0),
        }
    }
}

impl Histograms {
    /// A request, or a message of a stream, has arrived.
    pub fn request(&self, endpoint: IngestEndpoint, bytes: usize) {
        self.requests[endpoint as usize].observe(bytes as f64);
    }

    /// A phase took this long.
    pub fn phase(&self, phase: WritePhase, took: Duration) {
        self.phases[phase as usize].observe(took.as_secs_f64());
    }

    /// A transaction was written, except for its commit.
    pub fn phases(&self, times: PhaseTimes) {
        for (phase, took) in times.in_order() {
            self.phase(phase, took);
        }
    }

    /// A transaction is to hold so many events and bytes.
    pub fn write_batch(&self, writer: WriterKind, events: usize, bytes: usize) {
        self.batch_events[writer as usize].observe(events as f64);
        self.batch_bytes[writer as usize].observe(bytes as f64);
    }

    /// A frame of the spool is in Postgres, so long after its file began.
    pub fn replayed(&self, lag: Duration) {
        self.replay_lag.observe(lag.as_secs_f64());
    }

    /// A batch is admitted. `exemplar`: the trace of its request.
    #[must_use]
    pub fn admitted(
        self: &Arc<Self>,
        source: BatchSource,
        exemplar: Option<TraceExemplar>,
    ) -> BatchClock {
        let number = self.next_batch.fetch_add(1, Relaxed);
        self.unsettled().insert((source.received, number));
        BatchClock {
            histograms: self.clone(),
            source,
            exemplar,
            number,
        }
    }

    /// The age of the oldest batch that is not settled.
    #[must_use]
    pub fn oldest_unsettled(&self) -> Duration {
        let oldest = self.unsettled().first().copied();
        oldest.map_or(Duration::ZERO, |(received, _)| received.elapsed())
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeSet<(Instant, u64)>> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// All histograms, by their names.
    #[must_use]
    pub fn families(&self) -> Vec<HistogramFamily<'_>> {
        let endpoint = |one: IngestEndpoint| ("endpoint", one.name());
        let acks = IngestEndpoint::ALL.iter().flat_map(|&one| {
            AckedAs::ALL.iter().map(move |&acked| {
                let labels = vec![endpoint(one), ("durability", acked.name())];
                let histogram: &dyn EncodeMetric = &self.acks[one as usize][acked as usize];
                (labels, histogram)
            })
        });
        let requests = IngestEndpoint::ALL.iter().zip(&self.requests);
        let phases = WritePhase::ALL.iter().zip(&self.phases);
        vec![
            HistogramFamily {
                name: "ack_seconds",
                help: "From the receipt of a batch until it is settled",
                members: acks.collect(),
            },
            HistogramFamily {
                name: "request_bytes",
                help: "Size of a request or message, decompressed",
                members: requests
                    .map(|(&one, found)| (vec![endpoint(one)], found as _))
                    .collect(),
            },
            HistogramFamily {
                name: "phase_seconds",
                help: "Time of a phase of writing",
                members: phases
                    .map(|(one, found)| (vec![("phase", one.name())], found as _))
                    .collect(),
            },
            HistogramFamily {
                name: "write_batch_events",
                help: "Events in a transaction",
                members: by_writer(&self.batch_events),
            },
            HistogramFamily {
                name: "write_batch_bytes",
                help: "Bytes of the events in a transaction",
                members: by_writer(&self.batch_bytes),
            },
            HistogramFamily {
                name: "replay_lag_seconds",
                help: "From the beginning of a file of the spool until one of its frames is in Postgres",
                members: vec![(Vec::new(), &self.replay_lag)],
            },
        ]
    }
}

/// One histogram for each kind of writer.
fn by_writer(histograms: &[Histogram]) -> Vec<(HistogramLabels, &dyn EncodeMetric)> {
    let members = WriterKind::ALL.iter().zip(histograms);
    members
        .map(|(one, histogram)| (vec![("writer", one.name())], histogram as _))
        .collect()
}

/// Names and values of labels.
pub type HistogramLabels = Vec<(&'static str, &'static str)>;

/// Histograms of one name.
pub struct HistogramFamily<'h> {
    /// The name, without prefix.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Each one with its labels.
    pub members: Vec<(HistogramLabels, &'h dyn EncodeMetric)>,
}

/// A batch that is not settled. Dropped without an answer, it is not measured.
#[derive(Debug)]
pub struct BatchClock {
    histograms: Arc<Histograms>,
    source: BatchSource,
    exemplar: Option<TraceExemplar>,
    number: u64,
}

impl BatchClock {
    /// The batch is settled.
    pub fn settled(self, acked: AckedAs) {
        let BatchSource { endpoint, received } = self.source;
        let took = received.elapsed();
        let told = self.exemplar.filter(|trace| took >= trace.told_after);
        let labels = told.map(|told| vec![("trace_id", format!("{:032x}", told.trace))]);
        self.histograms.acks[endpoint as usize][acked as usize].observe(
            took.as_secs_f64(),
            labels,
            Some(SystemTime::now()),
        );
    }
}

impl Drop for BatchClock {
    fn drop(&mut self) {
        let key = (self.source.received, self.number);
        self.histograms.unsettled().remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_batch_counts_until_it_is_settled_or_dropped() {
        let histograms = Arc::new(Histograms::default());
        assert_eq!(histograms.oldest_unsettled(), Duration::ZERO);
        let hour = Duration::from_secs(3_600);
        let source = |ago: Duration| BatchSource {
            endpoint: IngestEndpoint::Stream,
            received: Instant::now().checked_sub(ago).unwrap(),
        };
        let (old, young) = (
            histograms.admitted(source(hour), None),
            histograms.admitted(source(Duration::from_secs(1)), None),
        );
        assert!(histograms.oldest_unsettled() >= hour);
        old.settled(AckedAs::Committed);
        assert!(histograms.oldest_unsettled() < hour);
        drop(young);
        assert_eq!(histograms.oldest_unsettled(), Duration::ZERO);
    }

    #[test]
    fn every_label_has_a_histogram() {
        let histograms = Histograms::default();
        let families = histograms.families();
        let counts: Vec<usize> = families.iter().map(|family| family.members.len()).collect();
        let endpoints = IngestEndpoint::ALL.len();
        assert_eq!(counts, [endpoints * 2, endpoints, 9, 2, 2, 1]);
    }
}
