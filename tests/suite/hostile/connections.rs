//! Connections that are no clients.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Bystander, scale};
use crate::support::daemon::Daemon;
use crate::support::pg;

/// Scenario: hundreds of connections at both doors that say nothing, that send
/// garbage, that begin HTTP/2 and go on with garbage, that open a head and never
/// end it, or that go away in the middle; again and again.
/// Guarantees: all of them are gone soon after, memory does not grow with them,
/// and a client is served all the time.
#[tokio::test(flavor = "multi_thread")]
async fn half_open_and_garbage_connections_cost_little() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--handshake-timeout", "2"]).await;
    let bystander = Bystander::start(&daemon).await;
    let grpc = daemon.grpc_url().trim_start_matches("http://").to_owned();
    let doors = [grpc, daemon.http_address().to_owned()];
    for round in 0..scale() {
        let mut open = Vec::new();
        for number in 0..400_usize {
            let Ok(mut socket) = TcpStream::connect(&doors[number % 2]).await else {
                continue;
            };
            let garbage: Vec<u8> = (0..4_096).map(|_| rand::random()).collect();
            let say: &[&[u8]] = match number / 2 % 5 {
                0 => &[],
                1 => &[&garbage],
                2 => &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &garbage],
                3 => &[b"POST /v1/traces HTTP/1.1\r\nHost: a\r\nX-A: b"],
                _ => &[b"\x16\x03\x01\x02\x00\x01\x00"],
            };
            for part in say {
                let _ = socket.write_all(part).await;
            }
            // Every third one goes away in the middle.
            if number % 3 > 0 {
                open.push(socket);
            }
        }
        let mut waited = Duration::ZERO;
        loop {
            let metrics = daemon.metrics().await;
            let count = metrics["runtraced_connections{door=\"grpc\"}"]
                + metrics["runtraced_connections{door=\"http\"}"];
            // The bystander's, and the one that asks.
            if count <= 3 {
                break;
            }
            let step = Duration::from_millis(100);
            waited += step;
            assert!(
                waited < Duration::from_secs(60),
                "round {round}: {count} are open"
            );
            tokio::time::sleep(step).await;
        }
        drop(open);
    }
    bystander.check(&daemon, "connections", 64).await;
    daemon.finish().await;
}
