//! What was answered is kept, whatever happens to the daemon or to Postgres.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::{lines, send, send_with, taken, whole_run};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::otlp::post;
use crate::support::spool::SpoolDir;
use crate::support::{pg, tables};

const SENDERS: usize = 4;
const KILLS: usize = 5;

/// Runs, and whether they were answered.
type Sent = Arc<Mutex<HashMap<Uuid, (Vec<Value>, bool)>>>;

/// The status of a request; `None`: the daemon is gone.
async fn try_send(address: &str, body: &str) -> Option<u16> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + body).as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let _: Value = serde_json::from_str(body).ok()?;
    head.split(' ').nth(1)?.parse().ok()
}

async fn send_until_gone(address: String, sent: Sent) {
    loop {
        let (run, events) = whole_run();
        let body = lines(&events);
        sent.lock().unwrap().insert(run, (events, false));
        match try_send(&address, &body).await {
            Some(200) => sent.lock().unwrap().get_mut(&run).unwrap().1 = true,
            Some(status) => panic!("status {status}"),
            None => return,
        }
    }
}

async fn check_acked(conn: &mut PgConnection, sent: &Sent) -> usize {
    let of_acked = |(run, (_, acked)): (&Uuid, &(Vec<Value>, bool))| acked.then_some(*run);
    let acked: Vec<Uuid> = sent.lock().unwrap().iter().filter_map(of_acked).collect();
    let query = "SELECT count(*) FROM agent_runs r JOIN agent_steps s ON s.run_id = r.id
                 WHERE r.id = ANY ($1) AND r.status = 'completed' AND s.status = 'completed'";
    let found: i64 = sqlx::query_scalar(query)
        .bind(&acked)
        .fetch_one(conn)
        .await
        .unwrap();
    assert_eq!(usize::try_from(found).unwrap(), acked.len());
    acked.len()
}

/// Scenario: the daemon is killed with SIGKILL under load, several times; then everything is sent again.
/// Guarantees: after each kill every run that was answered is there, whole; after the retry every run is there
/// exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_answered() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let sent = Sent::default();
    for kill in 0..KILLS {
        let daemon = Daemon::start(database.url()).await;
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                tokio::spawn(send_until_gone(
                    daemon.http_address().to_owned(),
                    sent.clone(),
                ))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100 + 150 * kill as u64)).await;
        daemon.kill();
        for sender in senders {
            sender.await.unwrap();
        }
        check_acked(&mut conn, &sent).await;
    }
    let daemon = Daemon::start(database.url()).await;
    let acked = check_acked(&mut conn, &sent).await;
    assert!(
        acked > KILLS * SENDERS,
        "too few to prove anything: {acked}"
    );
    let all: Vec<Value> = {
        let sent = sent.lock().unwrap();
        sent.values()
            .flat_map(|(events, _)| events.clone())
            .collect()
    };
    for part in all.chunks(1_000) {
        let answer = send(&daemon, &lines(part)).await;
        let said = answer.json();
        assert_eq!((answer.status, &said["refused"]), (200, &json!([])));
        let settled = said["accepted"].as_u64().unwrap() + said["duplicate"].as_u64().unwrap();
        assert_eq!(settled, part.len() as u64);
    }
    for (table, each) in [("agent_runs", 1), ("agent_steps", 1)] {
        let count = tables::count(&mut conn, table).await;
        let expected = i64::try_from(sent.lock().unwrap().len() * each).unwrap();
        assert_eq!(count, expected, "{table}");
    }
    daemon.finish().await;
}

/// Scenario: Postgres is stopped; events come, some of which insist on being committed; it comes back.
/// Guarantees: the former are answered from the spool and the answer says so; the latter are told to come again,
/// with the time to wait; everything is there in the end.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_what_is_in_the_spool() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let args = dir.flags(&["--spool-after", "0.5", "--submit-timeout", "3"]);
    let mut daemon = Daemon::with_args(cluster.url(), &args).await;
    daemon.expect_warnings(AWAY);
    cluster.stop_immediate().await;
    let (_, spooled) = whole_run();
    let (_, committed) = whole_run();
    let answer = send(&daemon, &lines(&spooled)).await;
    let mut expected = taken(3, 0);
    expected["durability"] = json!("SPOOLED");
    expected["spooled"] = json!(3);
    assert_eq!((answer.status, answer.json()), (200, expected));
    let insisting = "/v1/events?durability=committed";
    let answer = post(&daemon, insisting, &[], lines(&committed).as_bytes()).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("unavailable"))
    );
    assert_eq!(answer.header("retry-after"), "1");
    cluster.start().await;
    let answer = loop {
        let answer = post(&daemon, insisting, &[], lines(&committed).as_bytes()).await;
        if answer.status == 200 {
            break answer.json();
        }
        assert_eq!(answer.status, 503);
    };
    assert_eq!(answer["durability"], "COMMITTED", "{answer}");
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    let runs = "SELECT count(*) FROM agent_runs WHERE status = 'completed'";
    tables::eventually(&mut conn, runs, json!({ "count": 2 })).await;
    conn.close().await.unwrap();
    daemon.finish().await;
}

/// Scenario: a daemon is told to end while a request waits for Postgres, and gets another one.
/// Guarantees: the first is settled and answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_answers_what_it_took() {
    let database = pg::database().await;
    let mut daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let lock = "BEGIN; LOCK TABLE agent_runs IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let (_, events) = whole_run();
    let body = lines(&events);
    let waiting = async {
        let answer = send_with(&daemon, &[], body.as_bytes()).await;
        (answer.status, answer.json())
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        pg::send(daemon.pid(), "TERM");
        tokio::time::sleep(Duration::from_millis(500)).await;
        sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, release);
    assert_eq!(answer, (200, taken(3, 0)));
    let status = daemon.terminate().await;
    assert!(status.success(), "{status}");
}
