//! The cost of encoding rows for COPY, by table.

use criterion::{Criterion, Throughput};
use prost::Message as _;
use runtraced::bench::workload::WorkloadKind;
use runtraced::event::{Event, EventBody, Repairs};
use runtraced::ingest::native::decode_event;
use runtraced::proto::StreamRequest;
use runtraced::store::encode::Aliases;
use runtraced::store::encode::copy::CopyBuffer;
use runtraced::store::encode::rows::{StepPart, encode_message, encode_step, encode_token_count};

use crate::decode::first_request;

/// Enough events that every table gets many rows.
const AGENT_EVENTS: usize = 5_000;

/// Up to `count` validated events of a workload.
pub fn events(kind: WorkloadKind, count: usize, seed: u64) -> Vec<Event> {
    let request = StreamRequest::decode(first_request(kind, count, seed)).unwrap();
    let events = request.events.into_iter();
    let valid: Result<Vec<_>, _> = events
        .map(|event| decode_event(event, &mut Repairs::default()))
        .collect();
    valid.unwrap()
}

pub fn rows(c: &mut Criterion) {
    let all = events(WorkloadKind::Agent, AGENT_EVENTS, 1);
    let mut group = c.benchmark_group("encode");
    let mut copy = CopyBuffer::default();
    let mut bench = |name: &str, wanted: fn(&EventBody) -> bool| {
        let chosen: Vec<&Event> = all.iter().filter(|event| wanted(&event.body)).collect();
        group.throughput(Throughput::Elements(chosen.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                copy.clear();
                for event in &chosen {
                    encode(event, &mut copy);
                }
                copy.bytes().len()
            });
        });
    };
    bench("agent_steps", |body| {
        matches!(body, EventBody::StepEnded(_))
    });
    bench("agent_messages", |body| {
        matches!(body, EventBody::Message(_))
    });
    bench("agent_token_counts", |body| {
        matches!(body, EventBody::TokenCount(_))
    });
    group.finish();
}

fn encode(event: &Event, copy: &mut CopyBuffer) {
    match &event.body {
        EventBody::StepEnded(end) => {
            let part = StepPart {
                start: None,
                end: Some((event.time, end)),
                ..StepPart::default()
            };
            encode_step(copy, &part.row(&Aliases::default()));
        }
        EventBody::Message(message) => encode_message(copy, event.time, message),
        EventBody::TokenCount(count) => encode_token_count(copy, event.time, count),
        _ => {}
    }
}
