//! Clients that are slow, or do nothing.

use std::time::{Duration, Instant};

use runtraced::proto::Event;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{doors, ended, grpc_address, until_closed};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, steps};
use crate::support::otlp::PROTOBUF;
use crate::support::pg;
use crate::support::stream::{RawStream, sum};
use crate::support::wire::{Exchange, channel};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Scenario: connections at both doors that say nothing, half a preface, or a
/// byte of a head each 300 ms, with a handshake timeout of one second.
/// Guarantees: each is closed within a few seconds and counted; meanwhile
/// others are served.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_drips_a_head_is_closed() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--handshake-timeout", "1"]).await;
    for address in doors(&daemon) {
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&PREFACE[..10]).await.unwrap();
        let mut dripping = TcpStream::connect(address).await.unwrap();
        let drip = async {
            let started = Instant::now();
            for byte in b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ".iter().cycle() {
                if dripping.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                assert!(started.elapsed() < Duration::from_secs(30), "it stays open");
            }
        };
        let (one, two, ()) = tokio::join!(until_closed(&mut silent), until_closed(&mut half), drip);
        for lived in [one, two] {
            assert!(lived >= Duration::from_millis(900), "{lived:?}");
        }
        assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
    }
    for door in ["grpc", "http"] {
        assert!(ended(&daemon, door, "slow").await >= 3, "{door}");
    }
    daemon.finish().await;
}

/// Scenario: an HTTP/2 client that answers no ping; an idle stream of one that
/// does, for longer than the idle timeout; a connection that stops in the
/// middle of a header block.
/// Guarantees: the first and the last are closed; the stream lives, and is used
/// after.
#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_live_and_dead_connections_do_not() {
    let database = pg::database().await;
    let args = [
        "--keepalive-interval",
        "0.5",
        "--keepalive-timeout",
        "0.5",
        "--idle-timeout",
        "1.5",
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let idle = Exchange::open(channel(daemon.grpc_url()).await).await;
    for address in doors(&daemon) {
        let mut dead = TcpStream::connect(address).await.unwrap();
        dead.write_all(PREFACE).await.unwrap();
        dead.write_all(SETTINGS).await.unwrap();
        let mut in_headers = TcpStream::connect(address).await.unwrap();
        in_headers.write_all(PREFACE).await.unwrap();
        in_headers.write_all(SETTINGS).await.unwrap();
        // HEADERS of stream 1 without END_HEADERS, then a CONTINUATION that drips.
        in_headers
            .write_all(&[
                0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82, 0, 0, 0xff, 9, 0, 0, 0, 0, 1,
            ])
            .await
            .unwrap();
        let (one, two) = tokio::join!(until_closed(&mut dead), until_closed(&mut in_headers));
        for lived in [one, two] {
            assert!(lived < Duration::from_secs(10), "{lived:?}");
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    idle.send(1, steps(new_id(), 5)).await;
    assert_eq!(sum(&idle.close().await.unwrap(), 0).1.committed, 5);
    daemon.finish().await;
}

/// Scenario: bodies that drip: OTLP over HTTP, and a native message whose
/// header promises more than comes.
/// Guarantees: both are given up after the receive timeout, the one with 408,
/// the other with UNAVAILABLE and a delay.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_come_in_time() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--receive-timeout", "1"]).await;
    let mut socket = TcpStream::connect(daemon.http_address()).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: test\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 1000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let started = Instant::now();
    let mut answer = [0; 64];
    let read = loop {
        let _ = socket.write_all(&[0x12]).await;
        let read = tokio::time::timeout(Duration::from_millis(200), socket.read(&mut answer)).await;
        if let Ok(read) = read {
            break read.unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no answer");
    };
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    let status = drip_native(&daemon).await;
    assert_eq!(status, "14", "{status}");
    assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
    daemon.finish().await;
}

/// `grpc-status` of a `Submit` whose message never comes whole.
async fn drip_native(daemon: &Daemon) -> String {
    use h2::client;
    let socket = TcpStream::connect(grpc_address(daemon)).await.unwrap();
    let (mut requests, connection) = client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = axum::http::Request::post(format!(
        "http://{}/runtraced.v1.TraceIngest/Submit",
        grpc_address(daemon)
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(())
    .unwrap();
    let (response, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(bytes::Bytes::from_static(&[0, 0, 0, 1, 0, 0x12]), false)
        .unwrap();
    let response = tokio::time::timeout(Duration::from_secs(20), response)
        .await
        .expect("no answer")
        .unwrap();
    response.headers()["grpc-status"]
        .to_str()
        .unwrap()
        .to_owned()
}

/// Scenario: a client sends batches whose acks are large, and reads none of them.
/// Guarantees: after the receive timeout its stream is ended, with UNAVAILABLE and
/// not as if all were well; what was taken in is settled, and nothing is held.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_acks_is_given_up() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--receive-timeout", "1"]).await;
    let mut stream = RawStream::with_window(daemon.grpc_url(), 65_535).await;
    // Each makes a refusal.
    let refused = || vec![Event::default(); 2_000];
    let sending = async { while stream.send(refused()).await {} };
    let held_back = tokio::time::timeout(Duration::from_secs(3), sending).await;
    assert!(held_back.is_err(), "the stream is gone before it is read");
    // What is not read within a second is given up.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let end = loop {
        match stream.acks.message().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.unwrap_err().code(), tonic::Code::Unavailable);
    daemon.finish().await;
}
