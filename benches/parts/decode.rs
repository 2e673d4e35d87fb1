//! The cost of turning the bytes of a request into validated events.

use criterion::{BatchSize, Criterion, Throughput};
use prost::Message as _;
use runtraced::bench::workload::{IdVersion, Workload, WorkloadKind, WorkloadSpec};
use runtraced::event::Repairs;
use runtraced::ingest::native::decode_event;
use runtraced::proto::StreamRequest;

/// Events per request, the default of `runtraced bench`.
const REQUEST_EVENTS: usize = 100;

/// The first request of a workload with `events` events, encoded.
pub fn first_request(kind: WorkloadKind, events: usize, seed: u64) -> bytes::Bytes {
    let workload = Workload::new(&WorkloadSpec {
        kind,
        rows: events,
        streams: 1,
        request_events: events,
        seed,
        ids: IdVersion::V7,
    });
    workload.streams[0][0].encoded.clone()
}

pub fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for kind in [WorkloadKind::Steps, WorkloadKind::Agent, WorkloadKind::Tiny] {
        let encoded = first_request(kind, REQUEST_EVENTS, 1);
        let decoded = StreamRequest::decode(encoded.clone()).unwrap();
        group.throughput(Throughput::Elements(decoded.events.len() as u64));
        group.bench_function(format!("{}/protobuf", kind.name()), |b| {
            b.iter(|| StreamRequest::decode(encoded.clone()).unwrap());
        });
        group.bench_function(format!("{}/validate", kind.name()), |b| {
            b.iter_batched(
                || decoded.events.clone(),
                |events| {
                    let mut repairs = Repairs::default();
                    let events = events.into_iter();
                    let valid: Result<Vec<_>, _> = events
                        .map(|event| decode_event(event, &mut repairs))
                        .collect();
                    valid.unwrap()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
