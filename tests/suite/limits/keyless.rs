//! What is open to everybody takes nothing from those with keys.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::{doors, ended, grpc_address, until_closed};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, steps};
use crate::support::otlp::exchange;
use crate::support::pg::{self, TestDatabase};
use crate::support::wire::channel;

/// Open requests of one connection without a key.
const PER_CONNECTION: usize = 64;

/// A daemon that requires keys, with these flags, and a key.
async fn with_key(flags: &[&str]) -> (TestDatabase, Daemon, String) {
    let database = pg::database().await;
    let mut create = tokio::process::Command::new(env!("CARGO_BIN_EXE_runtraced"));
    create.args(["keys", "create", "--name", "agent"]);
    let created = create.env("DATABASE_URL", database.url()).output().await;
    let key = String::from_utf8(created.unwrap().stdout).unwrap();
    let flags = [&["--require-keys"], flags].concat();
    let daemon = Daemon::with_args(database.url(), &flags).await;
    (database, daemon, key.trim().to_owned())
}

fn with_bearer<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// Sends events with a key, over a new connection.
async fn submit(daemon: &Daemon, key: &str) {
    submit_over(channel(daemon.grpc_url()).await, key).await;
}

async fn submit_over(channel: Channel, key: &str) {
    let message = SubmitRequest {
        events: steps(new_id(), 3),
        ..Default::default()
    };
    let mut client = TraceIngestClient::new(channel);
    let answer = client.submit(with_bearer(message, key)).await.unwrap();
    assert_eq!(answer.into_inner().outcome.unwrap().committed, 3);
}

async fn watch(channel: &Channel) -> Result<Streaming<HealthCheckResponse>, tonic::Status> {
    let mut client = HealthClient::new(channel.clone());
    let mut states = client
        .watch(HealthCheckRequest::default())
        .await?
        .into_inner();
    states.message().await?;
    Ok(states)
}

/// Scenario: `Watch` streams without a key, on one connection and on many, more than --max-streams.
/// Guarantees: a connection has so many, and all together so many; those beyond are told RESOURCE_EXHAUSTED with a
/// delay; with a valid key ingest goes on, on the same connection too, and so does a `Watch`; `Check` answers.
#[tokio::test(flavor = "multi_thread")]
async fn watches_without_a_key_take_no_place_of_ingest() {
    let (_database, daemon, key) = with_key(&["--max-streams", "4"]).await;
    let shared = channel(daemon.grpc_url()).await;
    let mut open = Vec::new();
    for _ in 0..PER_CONNECTION {
        open.push(watch(&shared).await.unwrap());
    }
    let status = watch(&shared).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert!(details.retry_info().is_some(), "{status}");
    submit_over(shared.clone(), &key).await;

    let mut refused = 0;
    let mut connections = Vec::new();
    for _ in 0..17 {
        let connection = channel(daemon.grpc_url()).await;
        for _ in 0..PER_CONNECTION {
            match watch(&connection).await {
                Ok(states) => open.push(states),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                    refused += 1;
                }
            }
        }
        connections.push(connection);
    }
    assert_eq!((open.len(), refused), (1_024, 128));
    for _ in 0..5 {
        submit(&daemon, &key).await;
    }
    let mut health = HealthClient::new(channel(daemon.grpc_url()).await);
    let answer = health.check(HealthCheckRequest::default()).await;
    assert!(answer.is_ok(), "{answer:?}");
    let watched = health.watch(with_bearer(HealthCheckRequest::default(), &key));
    assert!(watched.await.is_ok());
    drop((open, connections));
    daemon.finish().await;
}

/// Scenario: reflection streams without a key that stay open; a request that is far too long.
/// Guarantees: so many are open, the next is told RESOURCE_EXHAUSTED; the long one is not read; ingest goes on.
#[tokio::test(flavor = "multi_thread")]
async fn reflection_has_few_places_and_reads_short_requests_only() {
    let (_database, daemon, key) = with_key(&["--max-streams", "4"]).await;
    let shared = channel(daemon.grpc_url()).await;
    let ask = |symbol: String| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol)),
    };
    let mut client = ServerReflectionClient::new(shared);
    let long = tokio_stream::iter([ask("x".repeat(1 << 20))]);
    let answer = client.server_reflection_info(long).await.unwrap();
    let answer = answer.into_inner().message().await;
    assert!(!matches!(answer, Ok(Some(_))), "{answer:?}");
    let mut open = Vec::new();
    let status = loop {
        let (asks, asked) = tokio::sync::mpsc::channel(1);
        let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
        match client.server_reflection_info(asked).await {
            Ok(answers) => open.push((asks, answers)),
            Err(status) => break status,
        }
        assert!(open.len() <= PER_CONNECTION);
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(open.len() >= 16, "{}", open.len());
    submit(&daemon, &key).await;
    drop(open);
    daemon.finish().await;
}

/// An HTTP/2 connection whose client reads no body: its streams have no window.
async fn without_window(address: &str) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (requests, connection) = builder
        .initial_window_size(0)
        .handshake::<_, Bytes>(socket)
        .await
        .unwrap();
    tokio::spawn(connection);
    requests.ready().await.unwrap()
}

/// Scenario: HTTP clients that ask for /livez, /metrics and a page that is not there, and read no body.
/// Guarantees: beyond so many of one connection they get 429; others' pages and ingest go on, with few streams.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_nobody_reads_take_no_place_of_ingest() {
    let (_database, daemon, key) = with_key(&["--max-streams", "4"]).await;
    let mut held = Vec::new();
    for path in ["/livez", "/metrics", "/nothing", "/nothing"] {
        let mut requests = without_window(daemon.http_address()).await;
        let mut statuses = Vec::new();
        for _ in 0..PER_CONNECTION + 3 {
            let uri = format!("http://{}{path}", daemon.http_address());
            let request = axum::http::Request::get(uri).body(()).unwrap();
            requests = requests.ready().await.unwrap();
            let (response, _) = requests.send_request(request, true).unwrap();
            let response = response.await.unwrap();
            statuses.push(response.status().as_u16());
            if statuses.last() == Some(&429) {
                assert!(response.headers().contains_key("retry-after"));
            }
            held.push(response);
        }
        let refused = statuses.iter().filter(|status| **status == 429).count();
        assert_eq!(refused, 3, "{path}: {statuses:?}");
    }
    assert_eq!(daemon.get("/livez").await.0, 200);
    assert_eq!(daemon.get("/readyz").await.0, 200);
    submit(&daemon, &key).await;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = exchange(daemon.http_address(), head.as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        daemon.get("/metrics").await.0,
        429,
        "its places are all taken"
    );
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(30);
    while daemon.get("/metrics").await.0 != 200 {
        assert!(Instant::now() < deadline, "the places are not free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    daemon.finish().await;
}

/// Scenario: calls without a key whose messages never come: of ingest and of `Check`.
/// Guarantees: the former are refused before their body; none takes a place of ingest.
#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_key_whose_body_never_comes_take_no_place() {
    let (_database, daemon, key) = with_key(&["--max-streams", "2"]).await;
    let address = grpc_address(&daemon);
    let (mut held, mut answered) = (Vec::new(), Vec::new());
    for path in [
        "/runtraced.v1.TraceIngest/Submit",
        "/runtraced.v1.TraceIngest/Stream",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/nothing/Nothing",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Nothing",
    ] {
        let mut requests = without_window(address).await;
        let mut answers = tokio::task::JoinSet::new();
        for _ in 0..PER_CONNECTION + 1 {
            let request = axum::http::Request::post(format!("http://{address}{path}"))
                .header("content-type", "application/grpc")
                .body(())
                .unwrap();
            requests = requests.ready().await.unwrap();
            let (response, body) = requests.send_request(request, false).unwrap();
            answers.spawn(response);
            held.push(body);
        }
        // One of them is refused, in whichever order they are handled.
        let first = tokio::time::timeout(Duration::from_secs(30), answers.join_next());
        let response = first.await.expect("no answer").unwrap().unwrap().unwrap();
        let status = response.headers()["grpc-status"].to_str().unwrap();
        match path.starts_with("/grpc.") {
            false => assert_eq!(status, "16", "{path}"),
            // What is not there is answered before its body.
            true => assert!(["8", "12"].contains(&status), "{path}: {status}"),
        }
        answered.push(answers);
    }
    submit(&daemon, &key).await;
    let mut health = HealthClient::new(channel(daemon.grpc_url()).await);
    let answer = health.check(HealthCheckRequest::default()).await;
    assert!(answer.is_ok(), "{answer:?}");
    drop((held, answered));
    daemon.finish().await;
}

/// Scenario: keys are required. Connections without one take all places of both endpoints, again and again:
/// silent ones, idle ones of HTTP/2, and such with a `Watch`. Beside them is one with a key.
/// Guarantees: that one stays, new ones with a key are served; those without give way, and are counted.
#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_key_give_way() {
    let flags = ["--max-connections", "8", "--handshake-timeout", "60"];
    let (_database, mut daemon, key) = with_key(&flags).await;
    daemon.expect_warnings("--max-connections");
    let kept = channel(daemon.grpc_url()).await;
    submit_over(kept.clone(), &key).await;
    let mut watching = Vec::new();
    for _ in 0..7 {
        watching.push(watch(&channel(daemon.grpc_url()).await).await.unwrap());
    }
    submit(&daemon, &key).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut idle = TcpStream::connect(grpc_address(&daemon)).await.unwrap();
        idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        held.push(idle);
    }
    submit(&daemon, &key).await;
    for address in doors(&daemon) {
        for _ in 0..20 {
            held.push(TcpStream::connect(address).await.unwrap());
        }
    }
    for _ in 0..3 {
        submit(&daemon, &key).await;
        submit_over(kept.clone(), &key).await;
        assert_eq!(daemon.get("/livez").await.0, 200);
    }
    // The oldest gave way.
    assert!(until_closed(&mut held[0]).await < Duration::from_secs(20));
    assert!(ended(&daemon, "grpc", "full").await >= 20);
    daemon.finish().await;
}

/// Scenario: all places are taken by connections with keys.
/// Guarantees: a new one is closed at once, and those with keys are served.
#[tokio::test(flavor = "multi_thread")]
async fn connections_with_a_key_do_not_give_way() {
    let (_database, mut daemon, key) = with_key(&["--max-connections", "3"]).await;
    daemon.expect_warnings("--max-connections");
    let mut open = Vec::new();
    for _ in 0..3 {
        let one = channel(daemon.grpc_url()).await;
        submit_over(one.clone(), &key).await;
        open.push(one);
    }
    let mut extra = TcpStream::connect(grpc_address(&daemon)).await.unwrap();
    assert!(until_closed(&mut extra).await < Duration::from_secs(10));
    for one in open {
        submit_over(one, &key).await;
    }
    daemon.finish().await;
}

/// Scenario: `Watch` streams, with a key and without, one of which is never read, and an idle reflection stream
/// are open when the daemon is told to stop.
/// Guarantees: it stops long before the drain timeout, and the watchers hear first that it does not serve.
#[tokio::test(flavor = "multi_thread")]
async fn open_services_do_not_hold_up_a_shutdown() {
    let (_database, mut daemon, key) = with_key(&["--drain-timeout", "60"]).await;
    let shared = channel(daemon.grpc_url()).await;
    let mut keyless = watch(&shared).await.unwrap();
    let mut client = HealthClient::new(channel(daemon.grpc_url()).await);
    let keyed = client
        .watch(with_bearer(HealthCheckRequest::default(), &key))
        .await
        .unwrap();
    let (_asks, asked) = tokio::sync::mpsc::channel::<ServerReflectionRequest>(1);
    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
    let answers = ServerReflectionClient::new(shared)
        .server_reflection_info(asked)
        .await
        .unwrap();
    let mut requests = without_window(grpc_address(&daemon)).await;
    let uri = format!("{}/grpc.health.v1.Health/Watch", daemon.grpc_url());
    let request = axum::http::Request::post(uri)
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (unread, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
    let unread = unread.await.unwrap();

    let begin = Instant::now();
    let (status, heard) = tokio::join!(daemon.terminate(), keyless.message());
    assert!(status.success(), "{status}");
    assert!(
        begin.elapsed() < Duration::from_secs(40),
        "{:?}",
        begin.elapsed()
    );
    let heard = heard.unwrap().unwrap();
    assert_eq!(heard.status, 2, "NOT_SERVING");
    daemon.check_logs();
    drop((keyed, answers, unread));
}

/// Scenario: without required keys, `Watch` streams and unread pages are held open beyond --max-streams.
/// Guarantees: ingest without a key goes on.
#[tokio::test(flavor = "multi_thread")]
async fn open_services_take_no_place_of_ingest_without_keys_either() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-streams", "2"]).await;
    let shared = channel(daemon.grpc_url()).await;
    let mut open = Vec::new();
    for _ in 0..PER_CONNECTION {
        open.push(watch(&shared).await.unwrap());
    }
    let mut http = TcpStream::connect(daemon.http_address()).await.unwrap();
    http.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
    let mut first = [0; 12];
    http.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 404");
    drop(open);
    daemon.finish().await;
}
