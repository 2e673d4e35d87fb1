//! How much a message and its fields may hold.

use bytes::Bytes;
use prost::Message as _;
use runtraced::proto::{Event, RefusalCode, SubmitRequest};
use sqlx::{Connection as _, PgConnection};
use tonic::Code;

use crate::support::compressed;
use crate::support::daemon::Daemon;
use crate::support::events::{long_message, message, new_id, steps};
use crate::support::pg;
use crate::support::spool::SpoolDir;
use crate::support::tables::count;
use crate::support::wire::{channel, stream_bytes, submit_bytes};

/// A message whose content is that, and one whose metadata is.
fn with(content: String, metadata: String) -> Event {
    let mut event = message(1, Some(new_id()), None, new_id());
    if let Some(runtraced::proto::event::Event::MessageAppended(message)) = &mut event.event {
        message.content = Some(content);
        message.metadata_json = Some(metadata);
    }
    event
}

/// Scenario: texts and JSON at --max-field-bytes and --max-json-depth, and one
/// more of each, in one batch.
/// Guarantees: those at the limit are stored; each beyond it is refused with
/// its code and the field's name, and its neighbours are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_beyond_the_limit_is_refused_alone() {
    let database = pg::database().await;
    let args = ["--max-field-bytes", "300", "--max-json-depth", "5"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let json = |bytes: usize| format!("{{\"k\":\"{}\"}}", "v".repeat(bytes - 8));
    let nested = |levels: usize| {
        let inner = levels - 1;
        format!("{{\"k\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
    };
    let outcome = daemon
        .submit(vec![
            with("c".repeat(300), json(300)),
            with("c".repeat(301), json(300)),
            with("c".repeat(300), json(301)),
            with("c".into(), nested(5)),
            with("c".into(), nested(6)),
        ])
        .await;
    assert_eq!(outcome.committed, 2);
    let refused: Vec<_> = outcome
        .refused
        .iter()
        .map(|refusal| (refusal.index, refusal.code(), &*refusal.reason))
        .collect();
    let long = RefusalCode::FieldTooLong;
    assert_eq!(
        refused,
        [
            (1, long, "content is longer than 300 bytes"),
            (2, long, "metadata_json is longer than 300 bytes"),
            (
                4,
                RefusalCode::JsonTooDeep,
                "metadata_json is nested deeper than 5 levels"
            ),
        ]
    );
    daemon.finish().await;
}

/// Scenario: events written to the spool under wide limits; the daemon comes
/// back with narrow ones.
/// Guarantees: what was acknowledged is kept to: limits are for the door.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_for_the_door_and_not_for_the_spool() {
    let cluster = pg::own_cluster().await;
    let spool = SpoolDir::new();
    let after = ["--spool-after", "0.3"];
    let mut wide = Daemon::with_args(cluster.url(), &spool.flags(&after)).await;
    wide.expect_warnings("");
    cluster.sigstop();
    let long = with("c".repeat(9_000), "{\"a\":[[[[1]]]]}".into());
    let answer = wide.client().await.submit(vec![long]).await.unwrap();
    assert_eq!(answer.outcome.unwrap().spooled, 1);
    wide.kill();
    cluster.sigcont();
    let mut args = spool.flags(&after);
    args.extend(["--max-field-bytes", "256", "--max-json-depth", "2"]);
    let mut narrow = Daemon::with_args(cluster.url(), &args).await;
    narrow.expect_warnings("");
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    let mut waited = 0;
    while count(&mut conn, "agent_messages").await == 0 {
        waited += 1;
        assert!(waited < 1_000, "it is not replayed: {}", narrow.logs());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    narrow.finish().await;
}

/// Scenario: as many events in a message as allowed, and one more; the largest message
/// taken, and one byte more, by Submit and by Stream; the same compressed by gzip, zstd
/// and deflate, which unfold to so much.
/// Guarantees: the former are settled; more events are OUT_OF_RANGE, and so are more bytes;
/// more bytes that were compressed are RESOURCE_EXHAUSTED without a delay, so that no
/// client tries again.
#[tokio::test(flavor = "multi_thread")]
async fn events_and_bytes_are_counted() {
    let database = pg::database().await;
    let args = [
        "--max-message-events",
        "10",
        "--max-message-bytes",
        "100000",
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    assert_eq!(daemon.submit(steps(new_id(), 10)).await.committed, 10);
    let eleven = SubmitRequest {
        events: steps(new_id(), 11),
        ..Default::default()
    };
    let bytes = Bytes::from(eleven.encode_to_vec());
    let refused = submit_bytes(channel(daemon.grpc_url()).await, bytes).await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);

    for (bytes, code) in [(100_000, "0"), (100_001, "8")] {
        let plain = request_of(bytes);
        let sent = submit_bytes(channel(daemon.grpc_url()).await, plain.clone().into());
        let answer = sent.await.map(|answer| answer.outcome.unwrap().committed);
        // Field 2 of a stream's message is field 1 of Submit's.
        let mut streamed = vec![2 << 3 | 2];
        streamed.extend(&plain[1..]);
        let streamed = vec![Bytes::from(streamed)];
        let (acks, end) = stream_bytes(channel(daemon.grpc_url()).await, streamed).await;
        if bytes == 100_000 {
            assert_eq!(answer.unwrap(), 1);
            end.unwrap();
            let outcome = acks.last().unwrap().outcome.as_ref().unwrap();
            // The event was sent before.
            assert_eq!((outcome.committed, outcome.duplicate), (0, 1));
        } else {
            assert_eq!(answer.unwrap_err().code(), Code::OutOfRange);
            assert_eq!(end.unwrap_err().code(), Code::OutOfRange);
            assert_eq!(acks, []);
        }
        for encoding in ["gzip", "zstd", "deflate"] {
            let status = compressed::submit(&daemon, encoding, &plain).await;
            assert_eq!(status.0, code, "{encoding} {bytes}: {status:?}");
        }
    }
    daemon.finish().await;
}

/// A message of exactly so many bytes.
fn request_of(bytes: usize) -> Vec<u8> {
    // The lengths before it take more bytes than those of an empty one.
    let least = bytes - request(0).len() - 12;
    let mut found = (least..bytes).map(request);
    found.find(|plain| plain.len() == bytes).unwrap()
}

/// One event with a content of so many bytes.
fn request(content: usize) -> Vec<u8> {
    SubmitRequest {
        events: vec![long_message(new_id(), content)],
        ..Default::default()
    }
    .encode_to_vec()
}
