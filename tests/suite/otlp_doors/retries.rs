//! Answers that make clients retry, and what a drain does to requests.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::answers::{JS, PB, status_of};
use super::{new_trace, traces};
use crate::support::daemon::Daemon;
use crate::support::otlp::{Answer, exchange, post, request, span};
use crate::support::pg;
use crate::support::tables::count;

/// Scenario: a lock blocks all writes. First the budget has capacity left, then it is
/// full.
/// Guarantees: 503 and UNAVAILABLE, then 429 and RESOURCE_EXHAUSTED, each with a
/// retry delay. Admitted requests are written when the lock is gone; sending them
/// again changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn retryable_errors_name_a_delay() {
    let database = pg::database().await;
    let args = [
        "--submit-timeout",
        "0.5",
        "--memory-budget-bytes",
        "1048576",
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let mut conn = database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE agent_runs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut conn)
        .await
        .unwrap();
    let trace = new_trace();
    let sized = |number: u64, bytes: usize| {
        let mut span = span(trace, number);
        span.name = "x".repeat(bytes);
        request(vec![span])
    };
    let check = |status: Status, code: Code| {
        assert_eq!(status.code(), code, "{status}");
        let delay = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_secs(1)));
    };
    let check_http = |answer: Answer, code: u16, headers: &[&str]| {
        assert_eq!((answer.status, answer.header("retry-after")), (code, "1"));
        assert_eq!(
            headers[0],
            format!("Content-Type: {}", answer.header("content-type"))
        );
        let (_, message) = status_of(&answer);
        assert!(!message.is_empty());
        if headers == JS {
            let detail = &answer.json()["details"][0];
            assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.RetryInfo");
            assert_eq!(detail["retryDelay"], "1s");
        }
    };
    let mut client = traces(&daemon).await;
    check(
        client.export(sized(1, 10)).await.unwrap_err(),
        Code::Unavailable,
    );
    for (number, headers) in [(2, PB), (3, JS)] {
        let message = sized(number, 200 << 10);
        let body = match headers {
            PB => message.encode_to_vec(),
            _ => serde_json::to_vec(&message).unwrap(),
        };
        let answer = post(&daemon, "/v1/traces", headers, &body).await;
        check_http(answer, 503, headers);
    }
    let too_much = sized(4, 900 << 10);
    let full = client.export(too_much.clone()).await.unwrap_err();
    check(full, Code::ResourceExhausted);
    let body = too_much.encode_to_vec();
    check_http(post(&daemon, "/v1/traces", PB, &body).await, 429, PB);
    // A client with a deadline is answered before it, so it can retry.
    let mut hurried = tonic::Request::new(sized(5, 10));
    hurried.set_timeout(Duration::from_millis(300));
    check(client.export(hurried).await.unwrap_err(), Code::Unavailable);

    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    let all = (1..=5).map(|number| sized(number, 10).resource_spans.remove(0));
    let all = ExportTraceServiceRequest {
        resource_spans: all.collect(),
    };
    let mut answer = client.export(all.clone()).await;
    while let Err(status) = answer {
        check(status, Code::Unavailable);
        answer = client.export(all.clone()).await;
    }
    assert_eq!(count(&mut conn, "agent_steps").await, 5);
    daemon.finish().await;
}

/// Scenario: the daemon is stopped while requests wait for the database.
/// Guarantees: each is settled or told to retry. New requests are not accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_settles_waiting_requests() {
    let database = pg::database().await;
    let mut daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE agent_runs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut conn)
        .await
        .unwrap();
    let trace = new_trace();
    let mut client = traces(&daemon).await;
    let waiting = tokio::spawn(async move { client.export(request(vec![span(trace, 1)])).await });
    let http = {
        let address = daemon.http_address().to_owned();
        let body = request(vec![span(trace, 2)]).encode_to_vec();
        let mut bytes = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: test\r\n{}\r\nContent-Length: {}\r\n\r\n",
            PB[0],
            body.len()
        )
        .into_bytes();
        bytes.extend(body);
        tokio::spawn(async move { exchange(&address, &bytes).await })
    };
    while daemon.metrics().await["runtraced_events_received_total"] < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pg::send(daemon.pid(), "TERM");
    daemon.wait_ready_state(false).await;
    let answer = post(&daemon, "/v1/traces", PB, b"").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    assert_eq!(
        waiting.await.unwrap().unwrap().into_inner().partial_success,
        None
    );
    assert_eq!(http.await.unwrap().status, 200);
    assert!(daemon.terminate().await.success(), "{}", daemon.logs());
    daemon.check_logs();
    assert_eq!(count(&mut conn, "agent_steps").await, 2);
}
