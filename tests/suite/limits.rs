//! Every limit of the doors: what is at it is taken, what is beyond it is
//! refused in the way that docs/SECURITY.md says, and others are served.

mod connections;
mod events;
mod keyless;
mod slow;
mod streams;

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::daemon::Daemon;

/// `ADDRESS:PORT` of gRPC.
fn grpc_address(daemon: &Daemon) -> &str {
    daemon.grpc_url().trim_start_matches("http://")
}

/// Both doors.
fn doors(daemon: &Daemon) -> [&str; 2] {
    [grpc_address(daemon), daemon.http_address()]
}

async fn ended(daemon: &Daemon, door: &str, reason: &str) -> u64 {
    let name = format!("runtraced_connections_ended_total{{door=\"{door}\",reason=\"{reason}\"}}");
    daemon.metrics().await[&name]
}

/// How long the daemon keeps a connection on which the client does nothing
/// more; what it still says is read.
async fn until_closed(socket: &mut TcpStream) -> Duration {
    let started = Instant::now();
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), socket.read_to_end(&mut said));
    // A reset is an end, too.
    let _ = read.await.expect("the connection stays open");
    started.elapsed()
}
