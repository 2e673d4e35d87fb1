//! The cost of own spans: all that is noted for one `Submit` and the write batch it causes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use runtraced::histograms::{IngestEndpoint, WriterKind};
use runtraced::own_spans::{OwnSpans, TailRule};

pub fn own(c: &mut Criterion) {
    let off = OwnSpans::default();
    let (on, queue) = OwnSpans::new(TailRule::new(0.01, Duration::from_secs(1)));
    let mut group = c.benchmark_group("own spans of a Submit");
    group.bench_function("off", |b| b.iter(|| note(black_box(&off))));
    group.bench_function("on, 1 % sampled", |b| {
        b.iter(|| {
            note(black_box(&on));
            queue.try_iter().for_each(drop);
        });
    });
    group.finish();
}

/// What the endpoint and the writer note, in their order. The `traceparent` of the client is
/// read if spans are on.
fn note(spans: &OwnSpans) {
    let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let parent = spans.parent(|| Some(black_box(header)));
    let mut request = spans.request(IngestEndpoint::Submit, parent);
    request.lap("receive");
    request.count("runtraced.bytes", black_box(20_000));
    request.count("runtraced.events", black_box(100));
    let ids = request.ids();
    request.lap("decode");
    request.lap("admit");
    if spans.is_on() {
        let mut batch = spans.write_batch(WriterKind::Shard, Instant::now());
        batch.caused_by(ids.into_iter());
        batch.count("runtraced.requests", black_box(1));
        batch.count("runtraced.events", black_box(100));
        batch.lap("queue");
        batch.end(None::<&str>);
    }
    request.lap("settle");
    request.fact("runtraced.durability", black_box("committed"));
    request.count("runtraced.refused", black_box(0));
    request.end(None::<&str>);
}
