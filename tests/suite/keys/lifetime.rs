//! From when to when a key is valid, also while the database is away.

use std::time::Duration;

use runtraced::proto::StreamRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use super::{Key, client, create, create_for, customer, refused, revoke, until_judged};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::spool::SpoolDir;
use crate::support::tables::count;
use crate::support::wire::{Exchange, channel};

/// How soon a daemon must have noticed; it looks every second.
const SOON: Duration = Duration::from_secs(10);

async fn open(daemon: &Daemon, key: &Key) -> Exchange {
    let (requests, outgoing) = mpsc::channel::<StreamRequest>(1);
    let mut request = Request::new(ReceiverStream::new(outgoing));
    let bearer = format!("Bearer {}", key.text).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    let acks = client.stream(request).await.unwrap().into_inner();
    Exchange { requests, acks }
}

/// Scenario: while a daemon runs a key is made, used by an open stream and by calls, and revoked.
/// Guarantees: it is valid within seconds and without a restart; revoked, within seconds too: calls are
/// refused, and the open stream ends with UNAUTHENTICATED after what was accepted is acked and committed.
#[tokio::test(flavor = "multi_thread")]
async fn keys_come_and_go_while_the_daemon_runs() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    let key = create(database.url(), "late", &[]).await;
    let stays = create(database.url(), "stays", &[]).await;
    assert!(until_judged(&daemon, &key, true).await < SOON);
    until_judged(&daemon, &stays, true).await;
    let (mut used, mut other) = (open(&daemon, &key).await, open(&daemon, &stays).await);
    let runs: Vec<_> = (0..5).map(|_| new_id()).collect();
    for (sequence, run) in (1..).zip(&runs) {
        used.send(sequence, vec![run_started(0, *run)]).await;
    }
    let first = used.acks.message().await.unwrap().unwrap();
    revoke(database.url(), &key).await;
    let begin = std::time::Instant::now();
    let mut settled = first.settled_sequence;
    let status = loop {
        match used.acks.message().await {
            Ok(Some(ack)) => settled = ack.settled_sequence,
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "the key is not valid");
    assert_eq!(settled, 5, "what was accepted is acked first");
    let mut conn = database.connect().await;
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_runs WHERE id = ANY ($1)")
        .bind(&runs)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(written, 5);
    until_judged(&daemon, &key, false).await;
    // Another key's stream goes on.
    other.send(1, vec![run_started(0, new_id())]).await;
    assert_eq!(
        other
            .acks
            .message()
            .await
            .unwrap()
            .unwrap()
            .settled_sequence,
        1
    );
    drop((used, other));
    daemon.finish().await;
}

/// Scenario: the customer of a key is deleted, as the product does it: softly.
/// Guarantees: the key is no longer valid; others are.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_with_its_customer() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (gone, stays) = (customer(&mut conn).await, customer(&mut conn).await);
    let daemon = Daemon::start(database.url()).await;
    let key = create_for(database.url(), gone).await;
    let other = create_for(database.url(), stays).await;
    until_judged(&daemon, &key, true).await;
    sqlx::query("UPDATE customers SET deleted_at = now() WHERE id = $1")
        .bind(gone)
        .execute(&mut conn)
        .await
        .unwrap();
    until_judged(&daemon, &key, false).await;
    until_judged(&daemon, &other, true).await;
    daemon.finish().await;
}

/// Scenario: Postgres is stopped; keys are used, good and bad, and the daemon is killed and started again
/// while it is still away; it comes back, and the key is revoked.
/// Guarantees: those that were valid stay so, also over the restart, for agents are not to notice; bad ones
/// are refused all the while; the file that remembers holds no key and is the daemon's alone; the
/// revocation is noticed once the database is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_keeps_keys_as_they_were() {
    let mut cluster = pg::own_cluster().await;
    let spool = SpoolDir::new();
    let args = spool.flags(&["--require-keys", "--spool-after", "0.3"]);
    let mut daemon = Daemon::with_args(cluster.url(), &args).await;
    daemon.expect_warnings(AWAY);
    let key = create(cluster.url(), "agent", &[]).await;
    until_judged(&daemon, &key, true).await;
    cluster.stop_immediate().await;
    let stranger = Key {
        id: new_id(),
        text: format!("rt_{}_{:064x}", key.id.simple(), 7),
    };
    for restarted in [false, true] {
        let begin = std::time::Instant::now();
        // Longer than it takes to look for keys a few times.
        while begin.elapsed() < Duration::from_secs(3) {
            let events = vec![run_started(0, new_id())];
            client(&daemon, &key).await.submit(events).await.unwrap();
            let denied = client(&daemon, &stranger).await.submit(Vec::new()).await;
            assert_eq!(refused(denied.unwrap_err()), Code::Unauthenticated);
        }
        if !restarted {
            daemon.kill();
            daemon = Daemon::spawn_as_is(cluster.url(), &args).await;
            daemon.expect_warnings(AWAY);
        }
    }
    let kept = std::fs::read_to_string(spool.path().join("keys.json")).unwrap();
    assert!(!kept.contains(&key.text[36..]), "{kept}");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(spool.path().join("keys.json"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    cluster.start().await;
    revoke(cluster.url(), &key).await;
    until_judged(&daemon, &key, false).await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while count(&mut conn, "agent_runs").await <= 2 {
        assert!(std::time::Instant::now() < deadline, "nothing came of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    conn.close().await.unwrap();
    daemon.finish().await;
}
