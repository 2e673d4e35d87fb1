//! Workloads: the complete traffic of an agent runtime to the daemon. A seed decides every
//! byte. All requests are generated and encoded before the clock starts.

mod agent;
mod history;
mod otlp;
mod random;
mod steps;

use bytes::Bytes;
use prost::Message as _;

pub use history::{HistorySpec, HistoryWorkload};
pub use random::{IdVersion, SeededRandom};

use crate::proto::{Event, StreamRequest};

/// The time of the first run of a workload: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;
/// Time between the starts of two runs, except in `agent`.
const RUN_INTERVAL_MS: u64 = 10;

/// Time for a row of `huge` and of `otlp`, in rows of `steps`; approximate.
const HUGE_ROW_COST: usize = 60;
const OTLP_ROW_COST: usize = 2;

/// Which workload to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadKind {
    /// Complete steps of 920 bytes, 20 per run.
    Steps,
    /// A realistic mix of events, interleaved over many live runs.
    Agent,
    /// Complete steps with 100 bytes of payload, 20 per run.
    Tiny,
    /// Complete steps of 100 KB, 20 per run.
    Huge,
    /// OTLP requests of 200 spans, 20 per trace.
    Otlp,
    /// Like `steps`, but all in one run.
    Long,
    /// Like `steps`, but 2 per run, with all runs open at once and interleaved.
    Wide,
    /// Runs of 20 to 200 model calls, each with a tool call, that send their whole history with
    /// every call, with and without --content-once.
    History,
    /// The same for chats of 50 turns, each of which is a trace of its own.
    Chat,
}

impl WorkloadKind {
    /// The name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Agent => "agent",
            Self::Tiny => "tiny",
            Self::Huge => "huge",
            Self::Otlp => "otlp",
            Self::Long => "long",
            Self::Wide => "wide",
            Self::History => "history",
            Self::Chat => "chat",
        }
    }

    /// A description for reports.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Steps => "complete steps of 920 bytes, 20 per run",
            Self::Agent => {
                "one session per 3 runs; each run has a start, 20 steps (one in ten announced), 6 messages, \
                 7 token counts, and an end; one run in ten has an approval; interleaved over 500 live runs"
            }
            Self::Tiny => "complete steps with 100 bytes of payload, 20 per run",
            Self::Huge => "complete steps of 100 KB, 20 per run",
            Self::Otlp => {
                "OTLP requests of 200 spans with OpenInference attributes, about 2.7 KB per span, 20 spans per trace, \
                 one span in three a model call with messages; one session per 3 traces"
            }
            Self::Long => "complete steps of 920 bytes, all in one run",
            Self::Wide => "complete steps of 920 bytes, 2 per run, all runs open at once",
            Self::History => "OTLP; every model call sends its whole history",
            Self::Chat => "OTLP; every turn of a chat is a trace that sends the whole chat",
        }
    }

    /// Whether the requests are OTLP.
    #[must_use]
    pub fn is_otlp(self) -> bool {
        matches!(self, Self::Otlp | Self::History | Self::Chat)
    }

    /// Whether it shows what `--content-once` does, and nothing else.
    #[must_use]
    pub fn is_history(self) -> bool {
        matches!(self, Self::History | Self::Chat)
    }

    /// The number of rows that takes about as long as `rows` rows of `steps`, so that rounds
    /// of all workloads take about the same time.
    #[must_use]
    pub fn rows_in_equal_time(self, rows: usize) -> usize {
        match self {
            Self::Huge => rows.div_ceil(HUGE_ROW_COST),
            Self::Otlp => rows.div_ceil(OTLP_ROW_COST),
            _ => rows,
        }
    }
}

/// A request that is encoded and ready to send.
#[derive(Clone, Debug)]
pub struct EncodedRequest {
    /// A `StreamRequest`, with sequences from 1 on each stream. If it is OTLP: an
    /// `ExportTraceServiceRequest`.
    pub encoded: Bytes,
    /// The number of events in the request. If it is OTLP: of spans.
    pub events: u64,
}

/// All requests by stream. All events of a run are on one stream.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Which workload.
    pub kind: WorkloadKind,
    /// The requests of each stream, in order.
    pub streams: Vec<Vec<EncodedRequest>>,
}

/// The parameters of a workload.
#[derive(Clone, Copy, Debug)]
pub struct WorkloadSpec {
    /// Which workload.
    pub kind: WorkloadKind,
    /// The approximate number of rows that it becomes.
    pub rows: usize,
    /// The number of streams.
    pub streams: usize,
    /// The largest number of events per request.
    pub request_events: usize,
    /// Seed of all generated content.
    pub seed: u64,
    /// UUID version of the generated ids.
    pub ids: IdVersion,
}

impl Workload {
    /// Generates a workload. Equal parameters give equal bytes.
    #[must_use]
    pub fn new(spec: &WorkloadSpec) -> Self {
        let mut random = SeededRandom::new(spec.seed, spec.ids);
        if spec.kind == WorkloadKind::Otlp {
            return Self {
                kind: spec.kind,
                streams: otlp::streams(spec, &mut random),
            };
        }
        let streams = match spec.kind {
            WorkloadKind::Agent => agent::streams(spec, &mut random),
            kind => steps::streams(spec, steps::RunLayout::of(kind, spec.rows), &mut random),
        };
        let streams = streams
            .into_iter()
            .map(|events| encode_requests(events, spec.request_events))
            .collect();
        Self {
            kind: spec.kind,
            streams,
        }
    }

    /// The number of events; for `otlp`, of spans.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.requests().map(|request| request.events).sum()
    }

    /// The size of all requests on the wire without HTTP/2, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.requests()
            .map(|request| request.encoded.len() as u64)
            .sum()
    }

    fn requests(&self) -> impl Iterator<Item = &EncodedRequest> {
        self.streams.iter().flatten()
    }
}

fn encode_requests(events: Vec<Event>, max_events: usize) -> Vec<EncodedRequest> {
    let mut requests = Vec::with_capacity(events.len() / max_events.max(1) + 1);
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let request = StreamRequest {
            sequence: requests.len() as u64 + 1,
            events: events.by_ref().take(max_events.max(1)).collect(),
            ..StreamRequest::default()
        };
        requests.push(EncodedRequest {
            events: request.events.len() as u64,
            encoded: request.encode_to_vec().into(),
        });
    }
    requests
}

/// Converts Unix milliseconds to a timestamp of the protocol.
fn timestamp(unix_ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        // Far below the limit of i64.
        seconds: (unix_ms / 1_000) as i64,
        nanos: (unix_ms % 1_000) as i32 * 1_000_000,
    }
}

fn event(unix_ms: u64, body: crate::proto::event::Event) -> Event {
    Event {
        time: Some(timestamp(unix_ms)),
        event: Some(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: WorkloadKind) -> WorkloadSpec {
        WorkloadSpec {
            kind,
            rows: 3_000,
            streams: 3,
            request_events: 70,
            seed: 5,
            ids: IdVersion::V7,
        }
    }

    #[test]
    fn equal_parameters_give_equal_bytes() {
        for kind in [
            WorkloadKind::Steps,
            WorkloadKind::Agent,
            WorkloadKind::Wide,
            WorkloadKind::Otlp,
        ] {
            let [first, second] = [(); 2].map(|()| Workload::new(&spec(kind)));
            let bytes = |workload: &Workload| {
                let requests = workload.requests().map(|r| r.encoded.clone());
                requests.collect::<Vec<_>>()
            };
            assert_eq!(bytes(&first), bytes(&second), "{kind:?}");
            let other = Workload::new(&WorkloadSpec {
                seed: 6,
                ..spec(kind)
            });
            assert_ne!(bytes(&first), bytes(&other), "{kind:?}");
        }
    }

    #[test]
    fn sequences_count_from_one_and_every_event_is_valid() {
        use crate::{event::Repairs, ingest::native::decode_event};
        for kind in [
            WorkloadKind::Steps,
            WorkloadKind::Agent,
            WorkloadKind::Tiny,
            WorkloadKind::Long,
            WorkloadKind::Wide,
        ] {
            let workload = Workload::new(&spec(kind));
            assert_eq!(workload.streams.len(), 3);
            for stream in &workload.streams {
                for (sequence, request) in (1..).zip(stream) {
                    let decoded = StreamRequest::decode(request.encoded.clone()).unwrap();
                    assert_eq!(decoded.sequence, sequence);
                    assert_eq!(decoded.events.len() as u64, request.events);
                    for event in decoded.events {
                        decode_event(event, &mut Repairs::default()).unwrap();
                    }
                }
            }
        }
    }
}
