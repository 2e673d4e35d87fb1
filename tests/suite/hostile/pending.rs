//! Messages that are never complete.

use std::time::{Duration, Instant};

use axum::http::Request;
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Bystander, MEGABYTE, scale};
use crate::support::daemon::Daemon;
use crate::support::pg;

/// Scenario: on many connections a stream each, all sending a native message of
/// megabytes but for its last byte.
/// Guarantees: they are taken in only as far as the budget goes, whatever their
/// number, and small messages are served all the while.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_being_received_are_bounded() {
    let database = pg::database().await;
    let args = [
        "--memory-budget-bytes",
        "16777216",
        "--max-message-bytes",
        "8388608",
        "--receive-timeout",
        "60",
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let bystander = Bystander::start(&daemon).await;
    let address = daemon.grpc_url().trim_start_matches("http://").to_owned();
    let mut senders = Vec::new();
    for _ in 0..40 * scale() {
        let address = address.clone();
        senders.push(tokio::spawn(async move {
            let socket = TcpStream::connect(&address).await.unwrap();
            let (requests, connection) = h2::client::handshake(socket).await.unwrap();
            tokio::spawn(connection);
            let mut requests = requests.ready().await.unwrap();
            let request =
                Request::post(format!("http://{address}/runtraced.v1.TraceIngest/Stream"))
                    .header("content-type", "application/grpc")
                    .body(())
                    .unwrap();
            let (response, mut body) = requests.send_request(request, false).unwrap();
            let mut message = BytesMut::new();
            message.put_u8(0);
            message.put_u32(8_000_000);
            message.resize(8_000_004, 7);
            let mut message: Bytes = message.freeze();
            // As much as the daemon lets it, for five seconds.
            let deadline = Instant::now() + Duration::from_secs(5);
            while !message.is_empty() && Instant::now() < deadline {
                body.reserve_capacity(message.len());
                let more = std::future::poll_fn(|cx| body.poll_capacity(cx));
                let more = tokio::time::timeout(Duration::from_secs(1), more).await;
                if let Ok(Some(Ok(capacity))) = more {
                    let part = message.split_to(capacity.min(message.len()));
                    body.send_data(part, false).unwrap();
                }
            }
            (message.len(), requests, response, body)
        }));
    }
    let mut held_back = 0;
    let mut open = Vec::new();
    for sender in senders {
        let sent = sender.await.unwrap();
        held_back += usize::from(sent.0 > MEGABYTE);
        open.push(sent);
    }
    assert!(held_back > 20, "only {held_back} are held back");
    bystander.check(&daemon, "pending messages", 96).await;
    drop(open);
    daemon.finish().await;
}

/// Scenario: a call whose message is as long as allowed and whose body goes on
/// for ever after it; one that says more than allowed; a body in HTTP/1 chunks
/// without end.
/// Guarantees: each is answered long before much of it is read.
#[tokio::test(flavor = "multi_thread")]
async fn endless_bodies_are_answered() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-message-bytes", "1048576"]).await;
    let bystander = Bystander::start(&daemon).await;
    for (len, status) in [(10_u32, "13"), (1_048_577, "11")] {
        let address = daemon.grpc_url().trim_start_matches("http://");
        let socket = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let mut requests = requests.ready().await.unwrap();
        let request = Request::post(format!("http://{address}/runtraced.v1.TraceIngest/Submit"))
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let (response, mut body) = requests.send_request(request, false).unwrap();
        let endless = tokio::spawn(async move {
            let head = [&[0][..], &len.to_be_bytes()].concat();
            let _ = body.send_data(Bytes::from(head), false);
            let mut sent = 0_usize;
            loop {
                body.reserve_capacity(65_536);
                match std::future::poll_fn(|cx| body.poll_capacity(cx)).await {
                    Some(Ok(capacity)) => {
                        sent += capacity;
                        let part = Bytes::from(vec![7; capacity]);
                        if body.send_data(part, false).is_err() {
                            return sent;
                        }
                    }
                    _ => return sent,
                }
            }
        });
        let answer = tokio::time::timeout(Duration::from_secs(20), response).await;
        let answer = answer.expect("no answer").unwrap();
        assert_eq!(answer.headers()["grpc-status"], status, "{len}");
        drop(answer);
        let sent = tokio::time::timeout(Duration::from_secs(20), endless).await;
        let sent = sent.expect("it may send for ever").unwrap();
        assert!(sent < 64 * MEGABYTE, "{sent} bytes were taken");
    }

    let mut socket = TcpStream::connect(daemon.http_address()).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut from, mut to) = socket.into_split();
    let sending = tokio::spawn(async move {
        let chunk = [b"10000\r\n", &[7; 65_536][..], b"\r\n"].concat();
        let mut sent = 0;
        while to.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), from.read_to_end(&mut answer));
    let _ = read.await.expect("it goes on for ever");
    assert!(
        answer.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    drop(from);
    let sent = tokio::time::timeout(Duration::from_secs(20), sending).await;
    println!(
        "{} bytes of an endless body were sent",
        sent.expect("sending for ever").unwrap()
    );
    bystander.check(&daemon, "endless bodies", 64).await;
    daemon.finish().await;
}
