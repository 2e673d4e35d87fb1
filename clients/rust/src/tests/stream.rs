//! `StreamSender`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{CutProxy, FakeDaemon, HASTY, QUICK, StreamPlan, connect, events};
use crate::{ClientError, StreamOptions, proto::RefusalCode};

#[tokio::test]
async fn acks_are_summed_and_refusals_carry_their_tag() {
    let plan = StreamPlan {
        ack_every: 5,
        refuse_first: true,
        ..StreamPlan::default()
    };
    let (fake, address) = FakeDaemon::start([plan]).await;
    let settled = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&settled);
    let options = StreamOptions {
        max_refused_kept: 7,
        ..StreamOptions::default()
    };
    let mut sender = connect(&address, QUICK)
        .await
        .stream_observed(options, move |batch| seen.lock().unwrap().push(*batch.tag));
    for tag in 0..20_u64 {
        sender.send(events(3), tag).await.unwrap();
    }
    sender.flush().await.unwrap();
    let totals = sender.finish().await.unwrap();
    assert_eq!(totals.committed, 40);
    assert_eq!(totals.refused_count, 20);
    assert_eq!(totals.refused.len(), 7, "the rest is only counted");
    for (tag, refused) in totals.refused.iter().enumerate() {
        assert_eq!((refused.tag, refused.index), (tag as u64, 0));
        assert_eq!(refused.code, RefusalCode::MissingField);
    }
    assert_eq!(*settled.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(fake.received(), [(1..=20).collect::<Vec<_>>()]);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_over_a_new_stream() {
    let delay = Duration::from_millis(150);
    let status = Status::with_error_details(
        Code::Unavailable,
        "shutting down",
        ErrorDetails::with_retry_info(Some(delay)),
    );
    let plan = StreamPlan {
        batches: Some(10),
        acks: Some(4),
        ending: Some(status),
        ..StreamPlan::default()
    };
    let quiet_end = StreamPlan {
        batches: Some(3),
        acks: Some(1),
        ..StreamPlan::default()
    };
    let (fake, address) = FakeDaemon::start([plan, quiet_end]).await;
    let mut sender = connect(&address, QUICK)
        .await
        .stream(StreamOptions::default());
    let began = Instant::now();
    for tag in 0..12_u64 {
        sender.send(events(1), tag).await.unwrap();
    }
    let totals = sender.finish().await.unwrap();
    assert_eq!(totals.committed, 12);
    assert!(began.elapsed() >= delay, "the daemon's delay is honoured");
    let streams = fake.received();
    assert_eq!(streams[0], (1..=10).collect::<Vec<_>>());
    assert_eq!(streams[1], [5, 6, 7], "from the first that has no ack");
    assert_eq!(streams[2], (6..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_line_cut_at_any_moment_loses_nothing() {
    let slow = StreamPlan {
        delay: Duration::from_millis(1),
        ..StreamPlan::default()
    };
    let (fake, address) = FakeDaemon::start(vec![slow; 100]).await;
    let line = CutProxy::to(&address).await;
    let mut sender = connect(&line.address, QUICK)
        .await
        .stream(StreamOptions::default());
    let cuts = tokio::spawn(async move {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(17)).await;
            line.cut().await;
        }
        line
    });
    for tag in 0..200_u64 {
        sender.send(events(2), tag).await.unwrap();
    }
    let totals = sender.finish().await.unwrap();
    let _line = cuts.await.unwrap();
    assert_eq!(totals.committed, 400, "each batch was settled exactly once");
    let streams = fake.received();
    assert!(streams.len() > 3, "it was cut: {}", streams.len());
    let arrived: BTreeSet<u64> = streams.iter().flatten().copied().collect();
    assert_eq!(arrived, (1..=200).collect());
    for stream in streams.iter().filter(|stream| !stream.is_empty()) {
        let expected: Vec<u64> = (stream[0]..).take(stream.len()).collect();
        assert_eq!(*stream, expected, "without gaps");
    }
}

#[tokio::test]
async fn no_more_is_in_flight_than_allowed() {
    let never = StreamPlan {
        acks: Some(0),
        ..StreamPlan::default()
    };
    let by_count = StreamOptions {
        max_batches_in_flight: 3,
        ..StreamOptions::default()
    };
    // An encoded batch of 100 empty events is 202 bytes.
    let by_bytes = StreamOptions {
        max_bytes_in_flight: 650,
        ..StreamOptions::default()
    };
    for options in [by_count, by_bytes] {
        let (fake, address) = FakeDaemon::start([never.clone()]).await;
        let mut sender = connect(&address, QUICK).await.stream(options);
        for tag in 0..3_u64 {
            sender.send(events(100), tag).await.unwrap();
        }
        let fourth = sender.send(events(100), 3);
        let waited = tokio::time::timeout(Duration::from_millis(200), fourth).await;
        assert!(waited.is_err(), "{waited:?}");
        assert_eq!(fake.received(), [[1, 2, 3]]);
    }
}

#[tokio::test]
async fn a_batch_larger_than_the_window_goes_alone() {
    let (_fake, address) = FakeDaemon::start([]).await;
    let options = StreamOptions {
        max_bytes_in_flight: 10,
        ..StreamOptions::default()
    };
    let mut sender = connect(&address, QUICK).await.stream(options);
    for tag in 0..3_u64 {
        sender.send(events(100), tag).await.unwrap();
    }
    assert_eq!(sender.finish().await.unwrap().committed, 300);
}

#[tokio::test]
async fn a_final_refusal_tells_what_was_not_delivered() {
    let plan = StreamPlan {
        batches: Some(3),
        acks: Some(1),
        ending: Some(Status::unauthenticated("no such key")),
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([plan]).await;
    let mut sender = connect(&address, QUICK)
        .await
        .stream(StreamOptions::default());
    let mut handed_over = 0;
    while handed_over < 1000 && sender.send(events(2), handed_over).await.is_ok() {
        handed_over += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        (3..1000).contains(&handed_over),
        "the sender is told: {handed_over}"
    );
    let error = sender.finish().await.unwrap_err();
    assert_eq!(error.settled.committed, 2);
    assert_eq!(error.unsettled_events, (handed_over - 1) * 2);
    assert!(error.to_string().contains("no such key"), "{error}");
}

#[tokio::test]
async fn silence_is_given_up_and_idleness_is_not() {
    let never = StreamPlan {
        acks: Some(0),
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([never]).await;
    let mut sender = connect(&address, HASTY)
        .await
        .stream(StreamOptions::default());
    sender.send(events(1), ()).await.unwrap();
    sender.flush().await.unwrap_err();
    let error = sender.finish().await.unwrap_err();
    assert!(matches!(error.source, ClientError::Stalled(_)), "{error:?}");

    let (_fake, address) = FakeDaemon::start([]).await;
    let mut sender = connect(&address, HASTY)
        .await
        .stream(StreamOptions::default());
    sender.send(events(1), ()).await.unwrap();
    tokio::time::sleep(HASTY.give_up_after * 2).await;
    sender.send(events(1), ()).await.unwrap();
    assert_eq!(sender.finish().await.unwrap().committed, 2);
}

#[tokio::test]
async fn an_ack_of_what_was_never_sent_is_an_error() {
    let plan = StreamPlan {
        shift_acks: 1,
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([plan]).await;
    let mut sender = connect(&address, QUICK)
        .await
        .stream(StreamOptions::default());
    sender.send(events(1), ()).await.unwrap();
    let error = sender.finish().await.unwrap_err();
    assert!(
        matches!(error.source, ClientError::Protocol(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn nothing_to_send_is_fine() {
    let (fake, address) = FakeDaemon::start([]).await;
    let sender = connect(&address, QUICK)
        .await
        .stream::<()>(StreamOptions::default());
    assert_eq!(sender.finish().await.unwrap().committed, 0);
    assert!(fake.received().is_empty(), "no stream was opened");
}

#[tokio::test]
async fn only_what_is_offered_without_room_is_dropped_and_it_is_counted() {
    let never = StreamPlan {
        acks: Some(0),
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([never, StreamPlan::default()]).await;
    let options = StreamOptions {
        max_batches_in_flight: 2,
        ..StreamOptions::default()
    };
    let mut sender = connect(&address, QUICK).await.stream(options);
    let mut taken = Vec::new();
    for tag in 0..4_u64 {
        taken.push(sender.offer(events(10), tag).await.unwrap());
    }
    assert_eq!(taken, [true, true, false, false]);
    let limit = Duration::from_millis(50);
    let late = sender.flush_within(limit).await;
    assert!(
        matches!(late, Err(ClientError::Late(l)) if l == limit),
        "{late:?}"
    );
    let undelivered = sender.finish().await;
    let totals = undelivered.unwrap_or_else(|error| error.settled);
    assert_eq!(totals.dropped, 20);
}

/// Scenario: `on_settled` panics at the first of three batches.
/// Guarantees: nobody takes for settled what was given up, also who waits already.
#[tokio::test]
async fn a_panic_of_on_settled_settles_nothing() {
    let slow = StreamPlan {
        delay: Duration::from_millis(100),
        ..StreamPlan::default()
    };
    let (_fake, address) = FakeDaemon::start([slow]).await;
    let mut sender = connect(&address, QUICK)
        .await
        .stream_observed(StreamOptions::default(), |_| panic!("on purpose"));
    for tag in 0..3_u64 {
        sender.send(events(1), tag).await.unwrap();
    }
    let flushed = sender.flush().await;
    assert!(matches!(flushed, Err(ClientError::Ended)), "{flushed:?}");
    let sent = sender.send(events(1), 3).await;
    assert!(matches!(sent, Err(ClientError::Ended)), "{sent:?}");
    let undelivered = sender.finish().await.unwrap_err();
    assert!(matches!(undelivered.source, ClientError::Ended));
}
