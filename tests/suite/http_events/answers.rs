//! What is sent, and what is answered.

use serde_json::{Value, json};

use super::{AS_CURL, lines, refusal, refusals, send, send_with, started, taken, whole_run};
use crate::support::compressed::compress;
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::call;
use crate::support::{pg, tables};

/// Writes events as a body.
type WriteEvents = fn(&[Value]) -> Vec<u8>;

/// Scenario: a run comes as lines, as an array, with Windows' ends of line, with a byte order mark, and in
/// each encoding; each comes twice.
/// Guarantees: each makes the same rows once; the second time all are duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_events_makes_the_same_rows() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let as_lines = |events: &[Value]| lines(events).into_bytes();
    let written: [(&str, WriteEvents); 5] = [
        ("lines", as_lines),
        ("array", |events| {
            Value::from(events).to_string().into_bytes()
        }),
        ("indented array", |events| {
            format!("\n\n{:#}", Value::from(events)).into_bytes()
        }),
        ("Windows", |events| {
            format!("\u{feff}{}", lines(events).replace('\n', "\r\n\r\n")).into_bytes()
        }),
        ("no last end", |events| {
            lines(events).trim_end().as_bytes().to_vec()
        }),
    ];
    let mut sent = Vec::new();
    for (name, write) in written {
        sent.push((name, "identity", write));
    }
    for encoding in ["gzip", "zstd", "deflate"] {
        sent.push((encoding, encoding, as_lines as WriteEvents));
    }
    for (name, encoding, write) in sent {
        let (run, events) = whole_run();
        let body = match encoding {
            "identity" => write(&events),
            _ => compress(encoding, &write(&events)),
        };
        let encoding = format!("Content-Encoding: {encoding}");
        for expected in [taken(3, 0), taken(0, 3)] {
            let answer = send_with(&daemon, &[AS_CURL, &encoding], &body).await;
            assert_eq!((answer.status, answer.json()), (200, expected), "{name}");
            assert_eq!(answer.header("content-type"), "application/json");
        }
        let query = format!(
            "SELECT jsonb_build_array(r.status, r.output, s.name, s.output, s.duration_ms)
             FROM agent_runs r JOIN agent_steps s ON s.run_id = r.id WHERE r.id = '{run}'"
        );
        let row = tables::value(&mut conn, &query).await;
        let found = json!({ "found": [1, "two"] });
        assert_eq!(
            row,
            json!(["completed", "done", "look_up", found, 1000]),
            "{name}"
        );
    }
    daemon.finish().await;
}

/// Scenario: lines that are no JSON, no events, no UTF-8, or events that are not valid, between good ones.
/// Guarantees: each is refused with the number of its line, its code and a reason; the others are stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_harms_only_itself() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, events) = whole_run();
    let good = |index: usize| events[index].to_string();
    let body = [
        good(0).as_bytes(),
        b"",
        b"{\"time\": oops}",
        b"{\"heartbeat\":{\"runId\":\"x\"}}",
        good(1).as_bytes(),
        b"\xff\xfe",
        b"{\"runEnded\":{\"runid\":1}}",
        b"[]",
        b"\0",
        good(2).as_bytes(),
        b"{}",
        b"{\"time\":\"2026-01-01T00:00:00Z\",\"heartbeat\":{}}",
    ]
    .join(&b'\n');
    let answer = send_with(&daemon, &[], &body).await;
    let said = answer.json();
    assert_eq!(
        (answer.status, &said["accepted"]),
        (200, &json!(3)),
        "{said}"
    );
    let expected = [3, 4, 6, 7, 8, 9].map(|line| refusal(line, "NOT_AN_EVENT"));
    let invalid = [11, 12].map(|line| refusal(line, "MISSING_FIELD"));
    assert_eq!(refusals(&answer), [&expected[..], &invalid].concat());
    for (at, reason) in [
        (0, "column 10: expected value"),
        (1, "expected a UUID for `run_id`"),
        (2, "column 1: not UTF-8"),
        (3, "unknown field `runid` in RunEnded"),
        (4, "an object for Event"),
        (7, "run_id"),
    ] {
        let told = said["refused"][at]["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{told}");
    }
    let mut conn = database.connect().await;
    let query = format!("SELECT status FROM agent_runs WHERE id = '{run}'");
    assert_eq!(tables::value(&mut conn, &query).await, "completed");
    // In an array, the number is the place.
    let array = format!("[{},\n\n{{}}, 7,\n{}]", good(0), good(2));
    let answer = send(&daemon, &array).await;
    assert_eq!(answer.json()["duplicate"], 2);
    let expected = [refusal(2, "MISSING_FIELD"), refusal(3, "NOT_AN_EVENT")];
    assert_eq!(refusals(&answer), expected);
    daemon.finish().await;
}

/// Scenario: bodies of which nothing can be taken, and bodies with nothing in them.
/// Guarantees: the status says so; the body says what is wrong, and where.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_an_error_in_json() {
    let database = pg::database().await;
    let args = ["--max-message-events", "3", "--max-message-bytes", "65536"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    for empty in ["", "\n\n\n", "[]", " [ ] \n"] {
        let answer = send(&daemon, empty).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, taken(0, 0)),
            "{empty:?}"
        );
    }
    let answer = send(&daemon, "<html>\n{}\n").await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("refused"))
    );
    let expected = [refusal(1, "NOT_AN_EVENT"), refusal(2, "MISSING_FIELD")];
    assert_eq!(refusals(&answer), expected);

    let broken = format!("[{},\n  oops]", started(new_id()));
    let answer = send(&daemon, &broken).await;
    let said = answer.json();
    assert_eq!(
        (answer.status, &said["code"]),
        (400, &json!("bad_request")),
        "{said}"
    );
    assert_eq!(
        (&said["line"], &said["column"]),
        (&json!(2), &json!(3)),
        "{said}"
    );

    let many = lines(&vec![started(new_id()); 4]);
    let long = " ".repeat(65_537);
    for (status, code, headers, body) in [
        (413, "too_large", vec![], many.as_bytes()),
        (413, "too_large", vec![], long.as_bytes()),
        (
            415,
            "unsupported",
            vec!["Content-Encoding: br"],
            b"{}".as_slice(),
        ),
        (
            415,
            "unsupported",
            vec!["Content-Type: application/x-protobuf"],
            b"",
        ),
        (
            415,
            "unsupported",
            vec!["Content-Type: multipart/form-data; boundary=a"],
            b"--a--",
        ),
        (
            400,
            "bad_request",
            vec!["Content-Encoding: gzip"],
            b"no gzip",
        ),
        (
            403,
            "forbidden",
            vec!["Origin: https://evil.example"],
            b"{}",
        ),
        (403, "forbidden", vec!["Sec-Fetch-Site: cross-site"], b"{}"),
    ] {
        let answer = send_with(&daemon, &headers, body).await;
        let said = answer.json();
        assert_eq!(
            (answer.status, &said["code"]),
            (status, &json!(code)),
            "{headers:?}: {said}"
        );
        assert!(!said["error"].as_str().unwrap().is_empty());
    }
    let unknown = send_with(&daemon, &["Content-Encoding: br"], b"{}").await;
    assert!(unknown.header("accept-encoding").contains("zstd"));
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = call(&daemon, method, "/v1/events", &[], b"").await;
        let code = answer.json()["code"].clone();
        assert_eq!(
            (answer.status, code),
            (405, json!("method_not_allowed")),
            "{method}"
        );
        assert_eq!(answer.header("allow"), "POST");
    }
    let answer = call(&daemon, "POST", "/v1/events?durability=fast", &[], b"{}").await;
    assert_eq!(answer.status, 400);
    daemon.finish().await;
}
