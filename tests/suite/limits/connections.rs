//! How many connections, and how large a head.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Request};

use super::{doors, ended, grpc_address, until_closed};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, steps};
use crate::support::otlp::exchange;
use crate::support::pg;
use crate::support::wire::channel;
use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;

/// Scenario: as many connections as allowed at each door, then one more; then
/// one of them goes.
/// Guarantees: the one more is closed at once and counted; those that are open
/// are served; when one has gone there is room again; one door's connections
/// take no place at the other.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed_at_once() {
    let database = pg::database().await;
    let mut daemon = Daemon::with_args(
        database.url(),
        &["--max-connections", "3", "--handshake-timeout", "60"],
    )
    .await;
    daemon.expect_warnings("--max-connections");
    let address = grpc_address(&daemon).to_owned();
    let served = channel(daemon.grpc_url()).await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    let mut extra = TcpStream::connect(&address).await.unwrap();
    assert!(until_closed(&mut extra).await < Duration::from_secs(10));
    assert_eq!(ended(&daemon, "grpc", "full").await, 1);
    let mut client = TraceIngestClient::new(served);
    let request = SubmitRequest {
        events: steps(new_id(), 3),
        ..Default::default()
    };
    let answer = client.submit(request).await.unwrap().into_inner();
    assert_eq!(answer.outcome.unwrap().committed, 3);

    idle.pop();
    let mut waited = 0;
    while daemon.metrics().await["runtraced_connections{door=\"grpc\"}"] > 2 {
        waited += 1;
        assert!(waited < 500, "the place is not free again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
    daemon.finish().await;
}

/// Scenario: requests whose heads are as long as allowed, one byte longer, and far longer, over HTTP/1
/// and HTTP/2; one of HTTP/1 comes in two parts.
/// Guarantees: the former are served; the latter are told 431, or over gRPC fail alone; the daemon
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_beyond_the_limit_is_refused() {
    const LIMIT: usize = 8_192;
    let database = pg::database().await;
    let limit = LIMIT.to_string();
    let daemon = Daemon::with_args(database.url(), &["--max-header-bytes", &limit]).await;
    // From the first byte to the empty line.
    let head = |bytes: usize| {
        let head = |padding: usize| {
            let padding = "x".repeat(padding);
            format!(
                "GET /livez HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Padding: {padding}\r\n\r\n"
            )
        };
        head(bytes - head(0).len())
    };
    for (bytes, status) in [(LIMIT, 200), (LIMIT + 1, 431), (400_000, 431)] {
        let answer = exchange(daemon.http_address(), head(bytes).as_bytes()).await;
        assert_eq!(answer.status, status, "{bytes}");
    }
    let mut socket = TcpStream::connect(daemon.http_address()).await.unwrap();
    let (first, second) = (&head(LIMIT)[..LIMIT - 1], "\n");
    socket.write_all(first.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    socket.write_all(second.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // HTTP/2 counts 32 bytes more for each field (RFC 9113, 10.5.1), and takes less than the limit.
    for (bytes, taken) in [(LIMIT - 1, true), (LIMIT, false), (4 * LIMIT, false)] {
        let status = head_of_http2(&daemon, bytes).await;
        assert_eq!(status == Some(200), taken, "{bytes}: {status:?}");
    }
    let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    let mut request = Request::new(SubmitRequest::default());
    let padding = "x".repeat(LIMIT).parse().unwrap();
    request.metadata_mut().insert("x-padding", padding);
    assert_ne!(client.submit(request).await.unwrap_err().code(), Code::Ok);
    let again = client.submit(SubmitRequest::default()).await;
    assert!(again.is_ok(), "{again:?}");
    assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
    daemon.finish().await;
}

/// The HTTP status of a call whose head counts so many bytes; `None` if it fails without one.
async fn head_of_http2(daemon: &Daemon, bytes: usize) -> Option<u16> {
    let address = grpc_address(daemon);
    let socket = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut requests = requests.ready().await.unwrap();
    let path = "/runtraced.v1.TraceIngest/Submit";
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", address),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-padding", ""),
    ];
    let without: usize = fields
        .map(|(name, value)| name.len() + value.len() + 32)
        .iter()
        .sum();
    let mut request = axum::http::Request::post(format!("http://{address}{path}"));
    for (name, value) in &fields[4..6] {
        request = request.header(*name, *value);
    }
    let request = request.header("x-padding", "x".repeat(bytes - without));
    let (response, mut body) = requests
        .send_request(request.body(()).unwrap(), false)
        .ok()?;
    // An empty message. A refused call takes no body.
    let _ = body.send_data(vec![0; 5].into(), true);
    let response = response.await.ok();
    drop(requests);
    connection.abort();
    response.map(|response| response.status().as_u16())
}

/// Scenario: more headers than any client has, without an end.
/// Guarantees: the daemon answers 431 or closes long before it has read all.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_headers_is_cut() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    for address in doors(&daemon) {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket
            .write_all(b"GET /livez HTTP/1.1\r\nHost: test\r\n")
            .await
            .unwrap();
        let mut sent: u64 = 0;
        while sent < 64 << 20 {
            let line = format!("X-{sent}: {}\r\n", "y".repeat(1_000));
            match socket.write_all(line.as_bytes()).await {
                Ok(()) => sent += line.len() as u64,
                Err(_) => break,
            }
        }
        assert!(sent < 16 << 20, "{sent} bytes were taken");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
    }
    daemon.finish().await;
}
