//! A daemon never feeds itself.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;

/// Scenario: a daemon is to send its spans to its own gRPC endpoint, or to its HTTP endpoint, by
/// address or by name.
/// Guarantees: it does not start; one line says what to change.
#[test]
fn itself_as_the_collector_is_refused() {
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (grpc, http) = (free(), free());
    for (collector, name) in [
        (format!("http://127.0.0.1:{grpc}"), "gRPC"),
        (format!("http://localhost:{http}"), "HTTP"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .arg("serve")
            .args(["--grpc-listen", &format!("127.0.0.1:{grpc}")])
            .args(["--http-listen", &format!("127.0.0.1:{http}")])
            .args(["--otel-endpoint", &collector])
            .env("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
            .env("RUNTRACED_SPOOL_BYTES", "0")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{said}");
        let expected = format!(
            "--otel-endpoint {collector} is the {name} endpoint of this daemon; name another collector"
        );
        assert!(said.contains(&expected), "{said}");
    }
}

/// Scenario: what a daemon sends to its collector comes back to it, unchanged.
/// Guarantees: it drops these spans and counts them; they make no new ones; they are no rows.
#[tokio::test(flavor = "multi_thread")]
async fn own_spans_that_come_back_are_dropped_and_counted() {
    let (returned, sent) = (
        "runtraced_otlp_spans_total{dialect=\"\",outcome=\"ignored\",reason=\"own\"}",
        "runtraced_own_spans_total{outcome=\"sent\"}",
    );
    let mirror = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", mirror.local_addr().unwrap());
    let database = pg::database().await;
    let flags = [
        "--otel-endpoint",
        &url,
        "--otel-sample",
        "1",
        "--keep-foreign-spans",
        "--sweep-interval",
        "1h",
    ];
    let mut daemon = Daemon::with_args(database.url(), &flags).await;
    // Its last spans come back when it listens no more.
    daemon.expect_warnings("the collector does not take the daemon's own spans");
    let target = daemon
        .grpc_url()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let mirroring = tokio::spawn(async move {
        loop {
            let (mut from, _) = mirror.accept().await.unwrap();
            let mut to = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut from, &mut to).await });
        }
    });
    daemon.submit(vec![run_started(0, new_id())]).await;
    let until = Instant::now() + Duration::from_secs(60);
    let mut last = 0;
    // Until nothing new has come back for three times as long as it takes.
    let mut quiet_since = Instant::now();
    while last == 0 || quiet_since.elapsed() < Duration::from_secs(4) {
        let seen = daemon.metrics().await.get(returned).copied().unwrap_or(0);
        if seen != last {
            (last, quiet_since) = (seen, Instant::now());
        }
        assert!(Instant::now() < until, "it does not end: {last}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics = daemon.metrics().await;
    assert_eq!(metrics[sent], last);
    // A submit with its parts, and a write batch with its transaction.
    assert_eq!(last, 5 + 9, "{metrics:#?}");
    let mut connection = database.connect().await;
    let steps: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_steps")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(steps, 0);
    daemon.finish().await;
    mirroring.abort();
}
