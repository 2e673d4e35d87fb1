//! Bounded, whatever comes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{lines, refusal, refusals, send, send_with, started, stepped, taken, whole_run};
use crate::support::compressed::compress;
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, steps};
use crate::support::pg;
use crate::support::process::rss_kib;

const MEGABYTE: usize = 1 << 20;

/// Scenario: nothing can be written, and requests fill the memory budget.
/// Guarantees: one that has no room is told 429 and when to come again, and is not counted; those that had room
/// are answered when Postgres is back, or told 503 after the submit timeout.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_daemon_says_when_to_come_again() {
    let database = pg::database().await;
    let args = ["--memory-budget-bytes", "1048576", "--submit-timeout", "3"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let mut conn = database.connect().await;
    let lock = "BEGIN; LOCK TABLE agent_runs IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let large = |bytes: usize| {
        let run = new_id();
        lines(&[
            started(run),
            stepped(run, new_id(), json!("x".repeat(bytes))),
        ])
    };
    let waiting = async {
        let (a, b, c) = (large(300 << 10), large(300 << 10), large(300 << 10));
        tokio::join!(send(&daemon, &a), send(&daemon, &b), send(&daemon, &c))
    };
    let refused = async {
        while daemon.metrics().await["runtraced_memory_used_bytes"] < 900 << 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let answer = send(&daemon, &large(300 << 10)).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (429, &json!("busy"))
        );
        assert_eq!(answer.header("retry-after"), "1");
    };
    let ((a, b, c), ()) = tokio::join!(waiting, refused);
    for answer in [a, b, c] {
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (503, &json!("unavailable"))
        );
        assert_eq!(answer.header("retry-after"), "1");
    }
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    let metrics = daemon.metrics().await;
    assert_eq!(
        metrics["runtraced_events_received_total"], 6,
        "{metrics:#?}"
    );
    daemon.finish().await;
}

/// Scenario: `--max-streams` is 1, and a request is open.
/// Guarantees: the next one is told 429 in JSON.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_told_so_in_json() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-streams", "1"]).await;
    let head = "POST /v1/events HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n{";
    let begun = Instant::now();
    let mut open = Vec::new();
    let answer = loop {
        // One that comes while the daemon still works for the last request is refused itself.
        let mut socket = TcpStream::connect(daemon.http_address()).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        open.push(socket);
        let answer = send(&daemon, "\n").await;
        if answer.status != 200 {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never full");
    };
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (429, &json!("busy"))
    );
    assert_eq!(answer.header("retry-after"), "1");
    drop(open);
    daemon.finish().await;
}

/// Scenario: a body drips, a byte each 200 ms, with a receive timeout of a second.
/// Guarantees: 408; others are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_given_up() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--receive-timeout", "1"]).await;
    let mut socket = TcpStream::connect(daemon.http_address()).await.unwrap();
    let head = "POST /v1/events HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut answer = [0; 512];
    let read = loop {
        let _ = socket.write_all(b" ").await;
        let read = tokio::time::timeout(Duration::from_millis(200), socket.read(&mut answer)).await;
        if let Ok(read) = read {
            break read.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no answer");
    };
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"slow\""), "{answer}");
    let (_, events) = whole_run();
    assert_eq!(send(&daemon, &lines(&events)).await.json(), taken(3, 0));
    daemon.finish().await;
}

/// Scenario: bombs of zeros, blanks and tiny lines in each encoding; a line of 60 MB; a million empty lines;
/// arrays of tiny elements; deep JSON; all while a native client sends.
/// Guarantees: each is answered soon and for good, in bounded memory; the other client is served.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_are_answered_in_bounded_memory() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    daemon.submit(steps(new_id(), 1_000)).await;
    let (before_kib, _) = rss_kib(daemon.pid());
    let unfolded = [
        ("zeros", vec![0; 100 * MEGABYTE], [413, 413]),
        ("blanks", vec![b'\n'; 100 * MEGABYTE], [413, 413]),
        ("tiny lines", b"{}\n".repeat(MEGABYTE), [413, 413]),
        (
            "tiny elements",
            [&b"["[..], &b"{},".repeat(MEGABYTE)].concat(),
            [413, 413],
        ),
        ("few tiny lines", b"{}\n".repeat(32_000), [400, 400]),
    ];
    for (name, plain, expected) in &unfolded {
        for (encoding, expected) in ["gzip", "zstd"].into_iter().zip(expected) {
            let bomb = compress(encoding, plain);
            let encoding = format!("Content-Encoding: {encoding}");
            let headers = [&*encoding];
            let one = || send_with(&daemon, &headers, &bomb);
            let (a, b, c) = tokio::join!(one(), one(), one());
            for answer in [a, b, c] {
                assert_eq!(answer.status, *expected, "{name}, {encoding}");
            }
        }
    }
    let run = new_id();
    let plain: [(&str, Vec<u8>, u16); 4] = [
        ("a million empty lines", vec![b'\n'; MEGABYTE], 200),
        (
            "a long line that is no event",
            vec![b'x'; 60 * MEGABYTE],
            400,
        ),
        (
            "an id of 30 MB",
            format!(
                "{{\"heartbeat\":{{\"runId\":\"{}\"}}}}",
                "x".repeat(30 * MEGABYTE)
            )
            .into_bytes(),
            400,
        ),
        (
            "an unknown field of 30 MB",
            format!("{{\"{}\":1}}", "x".repeat(30 * MEGABYTE)).into_bytes(),
            400,
        ),
    ];
    for (name, body, expected) in plain {
        let begun = Instant::now();
        let answer = send_with(&daemon, &[], &body).await;
        assert_eq!(answer.status, expected, "{name}: {}", answer.text());
        assert!(answer.body.len() < 2_000, "{name}: {}", answer.text());
        println!("{name}: {:?}", begun.elapsed());
    }
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let nested = |json: &str| {
        let step = stepped(run, new_id(), Value::Null).to_string();
        step.replace("\"output_json\":null", &format!("\"output_json\":{json}"))
    };
    for (body, code) in [
        (nested(&deep(500_000)), "JSON_TOO_DEEP"),
        (nested(&format!("\"{}\"", deep(500_000))), "JSON_TOO_DEEP"),
        (deep(500_000), "NOT_AN_EVENT"),
        (format!("{{\"time\":{}}}", deep(500_000)), "NOT_AN_EVENT"),
        (
            nested(&format!("[{}]", vec!["1e300"; 100_000].join(","))),
            "NUMBER_OUT_OF_RANGE",
        ),
    ] {
        let answer = send(&daemon, &body).await;
        assert_eq!(refusals(&answer), [refusal(1, code)], "{}", &body[..40]);
    }
    assert_eq!(daemon.submit(steps(new_id(), 5)).await.committed, 5);
    let (_, peak_kib) = rss_kib(daemon.pid());
    let grown = peak_kib.saturating_sub(before_kib) >> 10;
    println!("grown by {grown} MiB");
    assert!(grown <= 500, "grown by {grown} MiB");
    daemon.finish().await;
}

/// Scenario: one step with an output of 30 MB, near the limit of a field, and one beyond it.
/// Guarantees: the first is stored whole, the second is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_is_stored_whole() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    let long = |megabytes: usize| stepped(run, new_id(), json!("y".repeat(megabytes * MEGABYTE)));
    let answer = send(&daemon, &lines(&[started(run), long(30)])).await;
    assert_eq!(answer.json(), taken(2, 0));
    let answer = send(&daemon, &lines(&[long(33), started(run)])).await;
    assert_eq!(refusals(&answer), [refusal(1, "FIELD_TOO_LONG")]);
    let mut conn = database.connect().await;
    let query = "SELECT length(output #>> '{}') FROM agent_steps";
    let length: i32 = sqlx::query_scalar(query)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(usize::try_from(length).unwrap(), 30 * MEGABYTE);
    daemon.finish().await;
}
