//! How what spans tell gets to the daemon, or is counted as dropped.

use super::*;

/// This thread's spans go to the layer, as long as the guard lives.
fn listening(layer: SpanLayer) -> tracing::subscriber::DefaultGuard {
    tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
}

/// A run with so many steps.
fn trace(steps: usize) {
    let _run = info_span!("run", run.agent = "a").entered();
    for _ in 0..steps {
        info_span!("step").in_scope(|| ());
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Scenario: a daemon that takes batches and acknowledges none.
/// Guarantees: spans never wait for it; what finds no room is counted, and a flush says
/// that it is late.
#[tokio::test]
async fn a_daemon_that_does_not_answer_holds_nobody_up() {
    let silent = StreamPlan {
        acks: Some(0),
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([silent]).await;
    let options = StreamOptions {
        max_batches_in_flight: 1,
        ..StreamOptions::default()
    };
    let client = connect(&address, QUICK).await;
    let (layer, delivery) = SpanLayer::new(client.stream(options), 8);
    let _guard = listening(layer);
    trace(3);
    let late = delivery.flush(Duration::from_millis(200)).await;
    assert!(matches!(late, Err(ClientError::Late(_))), "{late:?}");
    trace(1_000);
    // The task had no turn since. Seven places are for the start and six steps, one for the end.
    assert_eq!(delivery.dropped(), 994);
}

/// Scenario: a daemon that ends the stream for good; one that refuses an event of each batch.
/// Guarantees: the flush fails, all that ends later is counted as dropped, and `finish` says
/// why; of the other it tells what was refused.
#[tokio::test]
async fn finish_tells_what_became_of_all() {
    let denied = StreamPlan {
        batches: Some(1),
        acks: Some(0),
        ending: Some(Status::unauthenticated("no such key")),
        ..StreamPlan::default()
    };
    let refusing = StreamPlan {
        refuse_first: true,
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([denied, refusing]).await;
    let client = connect(&address, HASTY).await;
    let stream = || client.stream(StreamOptions::default());

    let (layer, delivery) = SpanLayer::new(stream(), 100);
    let guard = listening(layer);
    trace(3);
    let ended = delivery.flush(PATIENCE).await;
    assert!(matches!(ended, Err(ClientError::Ended)), "{ended:?}");
    trace(2);
    let undelivered = delivery.finish().await.unwrap_err();
    assert!(
        matches!(undelivered.source, ClientError::Refused(_)),
        "{undelivered:?}"
    );
    assert_eq!(
        (undelivered.unsettled_events, undelivered.settled.dropped),
        (5, 4)
    );
    drop(guard);

    let (layer, delivery) = SpanLayer::new(stream(), 100);
    let _guard = listening(layer);
    trace(5);
    let totals = delivery.finish().await.unwrap();
    assert_eq!(
        (totals.committed, totals.refused_count, totals.dropped),
        (6, 1, 0)
    );
    trace(1);
}

/// Scenario: very many small steps wait, large ones, and one that is larger than a batch.
/// Guarantees: all arrive, in small batches; the largest goes alone.
#[tokio::test]
async fn batches_are_small() {
    let (fake, address) = FakeDaemon::start([]).await;
    let client = connect(&address, QUICK).await;
    let (layer, delivery) = SpanLayer::new(client.stream(StreamOptions::default()), 10_000);
    let _guard = listening(layer);
    let (large, huge) = ("x".repeat(100_000), "y".repeat(2 * MAX_BATCH_BYTES));
    {
        let _run = info_span!("run", run.agent = "a").entered();
        for _ in 0..250 {
            info_span!("step", gen_ai.usage.input_tokens = 1).in_scope(|| ());
        }
        for text in [&large, &large, &large, &large, &huge, &large] {
            info_span!("step", step.input = text).in_scope(|| ());
        }
    }
    let totals = delivery.finish().await.unwrap();
    assert_eq!((totals.committed, totals.dropped), (508, 0));
    let mut sizes = fake.sizes.lock().unwrap().clone();
    let larger = sizes
        .extract_if(.., |(_, bytes)| *bytes > MAX_BATCH_BYTES + 2_000)
        .collect::<Vec<_>>();
    assert_eq!((larger.len(), larger[0].0), (1, 1), "{sizes:?}");
    assert!(sizes.iter().all(|(events, _)| *events <= MAX_BATCH_EVENTS));
    assert!(
        sizes.len() <= 10,
        "nor are they needlessly small: {sizes:?}"
    );
}

/// Scenario: an agent flushes after each run while the daemon acknowledges nothing, and does
/// not wait to the end of each flush.
/// Guarantees: what ends meanwhile is sent nevertheless, and nothing is dropped.
#[tokio::test]
async fn a_flush_does_not_stop_delivery() {
    let silent = StreamPlan {
        acks: Some(0),
        ..StreamPlan::default()
    };
    let (fake, address) = FakeDaemon::start([silent]).await;
    let client = connect(&address, QUICK).await;
    let (layer, delivery) = SpanLayer::new(client.stream(StreamOptions::default()), 16);
    let _guard = listening(layer);
    for run in 1..=10 {
        trace(5);
        let flush = tokio::time::timeout(Duration::from_millis(5), delivery.flush(PATIENCE));
        flush.await.unwrap_err();
        let arrived = async {
            while fake.sizes.lock().unwrap().len() < run {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    }
    assert_eq!(delivery.dropped(), 0);
}

/// Scenario: a daemon that acknowledges the first batch late, and no other.
/// Guarantees: a flush waits for what ended before it, and for that only.
#[tokio::test]
async fn a_flush_waits_for_what_was_before_it() {
    let once = StreamPlan {
        acks: Some(1),
        delay: Duration::from_millis(300),
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([once]).await;
    let client = connect(&address, QUICK).await;
    let (layer, delivery) = SpanLayer::new(client.stream(StreamOptions::default()), 100);
    let _guard = listening(layer);
    trace(1);
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        trace(1);
    };
    let (flushed, ()) = tokio::join!(delivery.flush(PATIENCE), later);
    flushed.unwrap();
    let late = delivery.flush(Duration::from_millis(200)).await;
    assert!(matches!(late, Err(ClientError::Late(_))), "{late:?}");
}

/// Scenario: a thread has a place in the queue and puts its events down when delivery has
/// ended already.
/// Guarantees: they count as dropped.
#[tokio::test]
async fn what_comes_at_the_very_end_is_counted() {
    let (_fake, address) = FakeDaemon::start([]).await;
    let client = connect(&address, QUICK).await;
    let (layer, delivery) = SpanLayer::new(client.stream(StreamOptions::default()), 100);
    let buffer = layer.0.clone();
    let place = buffer.messages.clone().reserve_owned().await.unwrap();
    let finish = tokio::spawn(delivery.finish());
    buffer.messages.closed().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (other, mut others) = SpanBuffer::new(2);
    other.offer(vec![Event::default(); 3], false);
    place.send(others.try_recv().unwrap());
    assert_eq!(finish.await.unwrap().unwrap().dropped, 3);
}
