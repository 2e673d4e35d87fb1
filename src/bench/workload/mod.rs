//! What is sent: whole conversations of an agent runtime with the daemon, made
//! beforehand from a seed, and encoded before the clock runs.

mod agent;
mod otlp;
mod random;
mod steps;

use bytes::Bytes;
use prost::Message as _;

pub use random::{Ids, Random};

use crate::proto::{Event, StreamRequest};

/// When the runs of a workload happened, as far as they say: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Complete steps of 920 bytes, 20 a run.
    Steps,
    /// A realistic mix, interleaved over many live runs.
    Agent,
    /// Complete steps of 100 bytes of payload, 20 a run.
    Tiny,
    /// Complete steps of 100 KB, 20 a run.
    Huge,
    /// OTLP requests of 200 spans, 20 a trace.
    Otlp,
    /// As `steps`, all of them in one run.
    Long,
    /// As `steps`, all runs open at once and interleaved.
    Wide,
}

impl Kind {
    /// Its name on the command line.
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
        }
    }

    /// What it is, for reports.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Steps => "complete steps of 920 bytes, 20 a run",
            Self::Agent => {
                "a session for every 3 runs; a run: start, 20 steps (one in ten announced), 6 messages, \
                 7 token counts, end, an approval in one of ten; interleaved over 500 live runs"
            }
            Self::Tiny => "complete steps of 100 bytes of payload, 20 a run",
            Self::Huge => "complete steps of 100 KB, 20 a run",
            Self::Otlp => {
                "OTLP requests of 200 spans with OpenInference's attributes, about 2.7 KB a span, 20 a trace, \
                 one in three a model call with messages; a session for every 3 traces"
            }
            Self::Long => "complete steps of 920 bytes, all in one run",
            Self::Wide => "complete steps of 920 bytes, 2 a run, all runs open at once",
        }
    }

    /// How many rows of it take about as long as one row of `steps`: so much
    /// fewer, or more, make a round.
    #[must_use]
    pub fn scaled(self, rows: usize) -> usize {
        match self {
            Self::Huge => rows.div_ceil(60),
            Self::Otlp => rows.div_ceil(2),
            _ => rows,
        }
    }
}

/// A request that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole `StreamRequest`, whose sequence counts from 1 on its stream; of
    /// `otlp` the whole `ExportTraceServiceRequest`.
    pub encoded: Bytes,
    /// How many events it holds; of `otlp` how many spans.
    pub events: u64,
}

/// All that is sent, by stream; everything of one run goes over one stream.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is.
    pub kind: Kind,
    /// The requests of each stream, in order.
    pub streams: Vec<Vec<Request>>,
}

/// How a workload is made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What it is.
    pub kind: Kind,
    /// About how many rows it becomes.
    pub rows: usize,
    /// Over how many streams it is sent.
    pub streams: usize,
    /// How many events a request has at most.
    pub request_events: usize,
    /// Decides everything else.
    pub seed: u64,
    /// Which ids the client makes.
    pub ids: Ids,
}

impl Workload {
    /// Makes it. The same shape makes the same bytes.
    #[must_use]
    pub fn new(shape: &Shape) -> Self {
        let mut random = Random::new(shape.seed, shape.ids);
        if shape.kind == Kind::Otlp {
            return Self {
                kind: shape.kind,
                streams: otlp::streams(shape, &mut random),
            };
        }
        let streams = match shape.kind {
            Kind::Agent => agent::streams(shape, &mut random),
            kind => steps::streams(shape, steps::Form::of(kind, shape.rows), &mut random),
        };
        let streams = streams
            .into_iter()
            .map(|events| requests(events, shape.request_events))
            .collect();
        Self {
            kind: shape.kind,
            streams,
        }
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.requests().map(|request| request.events).sum()
    }

    /// How many bytes it is on the wire, without HTTP/2.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.requests()
            .map(|request| request.encoded.len() as u64)
            .sum()
    }

    fn requests(&self) -> impl Iterator<Item = &Request> {
        self.streams.iter().flatten()
    }
}

fn requests(events: Vec<Event>, most: usize) -> Vec<Request> {
    let mut requests = Vec::with_capacity(events.len() / most.max(1) + 1);
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let request = StreamRequest {
            sequence: requests.len() as u64 + 1,
            events: events.by_ref().take(most.max(1)).collect(),
            ..StreamRequest::default()
        };
        requests.push(Request {
            events: request.events.len() as u64,
            encoded: request.encode_to_vec().into(),
        });
    }
    requests
}

/// A time of the protocol.
fn time(unix_ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        // Far below 2^63.
        seconds: (unix_ms / 1_000) as i64,
        nanos: (unix_ms % 1_000) as i32 * 1_000_000,
    }
}

fn event(unix_ms: u64, body: crate::proto::event::Event) -> Event {
    Event {
        time: Some(time(unix_ms)),
        event: Some(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kind: Kind) -> Shape {
        Shape {
            kind,
            rows: 3_000,
            streams: 3,
            request_events: 70,
            seed: 5,
            ids: Ids::V7,
        }
    }

    #[test]
    fn the_same_shape_makes_the_same_bytes() {
        for kind in [Kind::Steps, Kind::Agent, Kind::Wide, Kind::Otlp] {
            let [first, second] = [(); 2].map(|()| Workload::new(&shape(kind)));
            let bytes = |workload: &Workload| {
                let requests = workload.requests().map(|r| r.encoded.clone());
                requests.collect::<Vec<_>>()
            };
            assert_eq!(bytes(&first), bytes(&second), "{kind:?}");
            let other = Workload::new(&Shape {
                seed: 6,
                ..shape(kind)
            });
            assert_ne!(bytes(&first), bytes(&other), "{kind:?}");
        }
    }

    #[test]
    fn sequences_count_from_one_and_every_event_is_valid() {
        use crate::{event::Repairs, ingest::native::decode_event};
        for kind in [Kind::Steps, Kind::Agent, Kind::Tiny, Kind::Long, Kind::Wide] {
            let workload = Workload::new(&shape(kind));
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
