use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// Spans of which only slow and failed ones are told.
fn only_odd() -> (OwnSpans, FinishedQueue) {
    OwnSpans::new(TailRule::new(0.0, HOUR))
}

fn names(queue: &FinishedQueue) -> Vec<&'static str> {
    queue.try_iter().map(|work| work.name).collect()
}

#[test]
fn slow_and_failed_work_is_told_and_other_work_is_not() {
    let (spans, queue) = only_odd();
    spans.work("well").end(None::<&str>);
    spans.work("failed").end(Some("unavailable"));
    drop(spans.work("dropped"));
    let long_ago = Instant::now().checked_sub(2 * HOUR).unwrap();
    let slow = spans.write_batch(WriterKind::Replayer, long_ago);
    slow.end(None::<&str>);
    let mut muted = spans.work("muted");
    muted.mute();
    muted.end(Some("unavailable"));
    let mut always = spans.work("always");
    always.always();
    always.end(None::<&str>);
    let mut retried = spans.work("retried");
    let mut part = WorkPart::new("transaction", long_ago, long_ago);
    part.failure = Some("40001".into());
    retried.add(vec![part]);
    retried.end(None::<&str>);
    let told = names(&queue);
    assert_eq!(told, ["failed", "dropped", "replay", "always", "retried"]);
}

#[test]
fn a_batch_is_told_if_one_of_its_requests_is() {
    let (none, quiet) = only_odd();
    let (all, told) = OwnSpans::new(TailRule::new(1.0, HOUR));
    for (spans, queue, expected) in [(none, quiet, 0), (all, told, 1)] {
        let request = spans.request(IngestEndpoint::Submit, None);
        let mut batch = spans.write_batch(WriterKind::Shard, Instant::now());
        batch.caused_by(request.ids().into_iter());
        batch.end(None::<&str>);
        assert_eq!(names(&queue).len(), expected);
        request.end(None::<&str>);
        // Of requests that are not told, nothing is told.
        let mut batch = spans.write_batch(WriterKind::Shard, Instant::now());
        batch.caused_by(std::iter::empty());
        batch.end(Some("away"));
        assert_eq!(names(&queue).len(), expected);
    }
}

#[test]
fn links_are_bounded_and_sampled_ones_are_kept() {
    let (spans, queue) = only_odd();
    let request = spans.request(IngestEndpoint::Submit, None).ids().unwrap();
    let mut batch = spans.write_batch(WriterKind::Shard, Instant::now());
    let sampled = SpanIds {
        sampled: true,
        ..request
    };
    batch.caused_by(std::iter::repeat_n(request, 100).chain([sampled]));
    batch.end(None::<&str>);
    let batch = queue.try_iter().last().unwrap();
    assert_eq!(batch.links.len(), 32);
    assert!(batch.links.contains(&sampled));
}

#[test]
fn a_full_queue_drops_and_counts() {
    let (spans, queue) = only_odd();
    for _ in 0..QUEUE_LENGTH + 10 {
        let mut work = spans.work("failed");
        work.lap("part");
        work.end(Some("unavailable"));
    }
    assert_eq!(queue.len(), QUEUE_LENGTH);
    assert_eq!(spans.counts().queue_full.load(Relaxed), 20);
}

#[test]
fn a_share_of_traces_is_told_and_the_id_decides() {
    let (spans, queue) = OwnSpans::new(TailRule::new(0.1, HOUR));
    let rounds = 5_000;
    let mut told = 0;
    for _ in 0..rounds {
        spans
            .request(IngestEndpoint::Submit, None)
            .end(None::<&str>);
        told += names(&queue).len();
    }
    assert!((300..700).contains(&told), "{told} of {rounds}");

    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let parent = spans.parent(|| Some(header));
    let first = spans.request(IngestEndpoint::Submit, parent).ids().unwrap();
    for _ in 0..100 {
        let again = spans.request(IngestEndpoint::Submit, parent).ids().unwrap();
        assert_eq!((again.trace, again.sampled), (first.trace, first.sampled));
    }
    // The messages of one stream are not all told, or none.
    let message = || spans.request(IngestEndpoint::Stream, parent).ids().unwrap();
    let drawn = (0..rounds).filter(|_| message().sampled).count();
    assert!((300..700).contains(&drawn), "{drawn} of {rounds}");
}

#[test]
fn switched_off_nothing_is_noted() {
    let off = OwnSpans::default();
    assert_eq!(
        off.parent(|| unreachable!("the header is not looked at")),
        None
    );
    let mut request = off.request(IngestEndpoint::Submit, None);
    request.lap("decode");
    assert_eq!(request.ids(), None);
    request.end(Some("failed"));
}
