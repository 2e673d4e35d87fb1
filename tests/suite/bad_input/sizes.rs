//! Large things, and things that are no messages at all.

use bytes::Bytes;
use prost::Message as _;
use runtraced::proto::{Event, StreamRequest, SubmitRequest};
use tonic::Code;

use super::{Neighbours, SECRET, body, count, finish, refused};
use crate::support::daemon::Daemon;
use crate::support::events::{message, new_id};
use crate::support::wire::{Exchange, channel, stream_bytes, submit_bytes};
use crate::support::{pg, valid};
use runtraced::proto::event::Event as Body;

const MEGABYTE: usize = 1 << 20;

fn with_content(bytes: usize) -> (Event, String) {
    let content: String = "0123456789abcde\u{e9}"
        .chars()
        .cycle()
        .take(bytes)
        .collect();
    let mut event = message(0, Some(new_id()), None, new_id());
    if let Body::MessageAppended(message) = body(&mut event) {
        message.content = Some(content.clone());
    }
    (event, content)
}

/// Scenario: a message of 20 MB, and a step with 20 MB of JSON, with neighbours.
/// Guarantees: committed whole, to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_20_mb_is_committed_whole() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (event, content) = with_content(20 * MEGABYTE);
    let json = format!("\"{content}\"");
    let large_step = valid::step_ended(|e| e.output_json = Some(json.clone()));
    let (neighbours, batch) = Neighbours::around([event, large_step]);
    let outcome = daemon.submit(batch).await;
    assert_eq!((outcome.committed, refused(&outcome)), (5, vec![]));
    neighbours.check(&mut conn).await;
    let same: (bool, bool) = sqlx::query_as(
        "SELECT (SELECT content = $1 FROM agent_messages),
                (SELECT output #>> '{}' = $1 FROM agent_steps WHERE kind IS NOT NULL)",
    )
    .bind(&content)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(same, (true, true));
    finish(daemon).await;
}

/// Scenario: a message above `--max-message-bytes`, by Submit and by Stream.
/// Guarantees: the call fails with a status that says so; what came before it
/// on the stream is acked; the connection and the daemon go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_is_refused_as_a_call() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-message-bytes", "1048576"]).await;
    let mut conn = database.connect().await;
    let channel = channel(daemon.grpc_url()).await;
    let request = SubmitRequest {
        events: vec![with_content(MEGABYTE).0],
        ..Default::default()
    };
    let status = submit_bytes(channel.clone(), request.encode_to_vec().into()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    assert!(
        status.message().contains("the limit is 1048576 bytes"),
        "{status}"
    );

    let neighbours = Neighbours::new(2);
    let stream = Exchange::open(channel.clone()).await;
    stream.send(1, vec![neighbours.event(0)]).await;
    stream.send(2, request.events).await;
    let (acks, status) = stream.close().await.unwrap_err();
    assert_eq!(acks.last().unwrap().settled_sequence, 1);
    assert_eq!(status.code(), Code::OutOfRange, "{status}");

    let request = SubmitRequest {
        events: vec![neighbours.event(1)],
        ..Default::default()
    };
    let after = submit_bytes(channel, request.encode_to_vec().into()).await;
    assert_eq!(after.unwrap().outcome.unwrap().committed, 1);
    neighbours.check(&mut conn).await;
    finish(daemon).await;
}

/// Scenario: bytes that are no protobuf message, in a gRPC frame; text that is
/// no UTF-8, which protobuf does not allow.
/// Guarantees: an error status that repeats nothing; what came before on the
/// stream is acked, and others on the same connection and elsewhere go on.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_end_only_their_call() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let shared = channel(daemon.grpc_url()).await;
    let neighbours = Neighbours::new(4);
    let other = Exchange::open(shared.clone()).await;
    other.send(5, vec![neighbours.event(0)]).await;

    let (text, _) = with_content(10);
    let mut broken = SubmitRequest {
        events: vec![text],
        ..Default::default()
    }
    .encode_to_vec();
    let at = broken.windows(3).position(|w| w == b"012").unwrap();
    broken[at] = 0xff;
    let garbage = Bytes::from(format!("\u{7f}\u{7f}{SECRET}"));
    for bytes in [
        garbage.clone(),
        Bytes::from_static(b"\x0a\xff"),
        broken.into(),
    ] {
        let status = submit_bytes(shared.clone(), bytes).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(!status.message().contains(SECRET), "{status}");
    }
    let good = StreamRequest {
        sequence: 1,
        events: vec![neighbours.event(1)],
        ..Default::default()
    };
    let messages = vec![good.encode_to_vec().into(), garbage];
    let (acks, end) = stream_bytes(shared.clone(), messages).await;
    assert_eq!(acks.last().unwrap().settled_sequence, 1);
    assert_eq!(end.unwrap_err().code(), Code::Internal);

    other.send(6, vec![neighbours.event(2)]).await;
    let acks = other.close().await.unwrap();
    assert_eq!(acks.last().unwrap().settled_sequence, 6);
    assert_eq!(daemon.submit(vec![neighbours.event(3)]).await.committed, 1);
    neighbours.check(&mut conn).await;
    assert_eq!(count(&mut conn, "agent_messages").await, 0);
    finish(daemon).await;
}

/// Scenario: one batch says 3,000 different things of one token count, and as
/// often the same thing of one step.
/// Guarantees: it is settled like any other: one row each, the latest stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_may_repeat_one_id_very_often() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (run, count_id, neighbours) = (new_id(), new_id(), Neighbours::new(1));
    let mut events = Vec::new();
    for n in 0..3_000 {
        events.push(crate::support::events::tokens(n, run, count_id, n, 1));
        events.push(neighbours.event(0));
    }
    let started = std::time::Instant::now();
    let outcome = daemon.submit(events).await;
    println!("settled in {:?}", started.elapsed());
    assert_eq!(refused(&outcome), []);
    assert_eq!(outcome.committed + outcome.duplicate, 6_000);
    neighbours.check(&mut conn).await;
    let input: i32 = sqlx::query_scalar("SELECT input FROM agent_token_counts WHERE id = $1")
        .bind(count_id)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(input, 2_999);
    finish(daemon).await;
}
