//! Who comes in, and who does not.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use runtraced_client::{Client, StreamOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::authority::Authority;
use super::{Files, connect, curl, hasty, https};
use crate::support::events::{new_id, steps};
use crate::support::otlp::{request, span};
use crate::support::pg;

/// Scenario: native calls and streams, OTLP over gRPC and over HTTP/1 and
/// HTTP/2, all with TLS; then clients without TLS, and one that trusts another
/// authority.
/// Guarantees: the former are served; of the latter none gets a word in, and
/// they learn of it at once.
#[tokio::test(flavor = "multi_thread")]
async fn both_doors_speak_tls_and_nothing_else() {
    let database = pg::database().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue());
    files.write("ca.pem", &authority.pem);
    let daemon = files.daemon(database.url(), false).await;

    let client = connect(&daemon, &authority, None).await.unwrap();
    let mut committed = 0;
    // It may still be bringing the schema up to date.
    let answer = client.submit(steps(new_id(), 3)).await.unwrap();
    committed += answer.outcome.unwrap().committed;
    let mut stream = client.stream(StreamOptions::default());
    for number in 0..20 {
        stream.send(steps(new_id(), 5), number).await.unwrap();
    }
    committed += stream.finish().await.unwrap().committed;
    assert_eq!(committed, 103);

    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
    let endpoint = Endpoint::from_shared(https(&daemon)).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let message = request(vec![span(new_id(), 1)]);
    let answer = TraceServiceClient::new(channel)
        .export(message.clone())
        .await;
    assert_eq!(answer.unwrap().into_inner().partial_success, None);

    let body = files.path("body");
    std::fs::write(&body, prost::Message::encode_to_vec(&message)).unwrap();
    let data = format!("@{}", body.display());
    for version in ["--http1.1", "--http2"] {
        let ca = files.path("ca.pem");
        let (code, page) = curl(&daemon, &ca, &[version]);
        assert_eq!((code, &*page), (Some(0), "ready\n"), "{version}");
        let export = std::process::Command::new("curl")
            .args(["-sS", "--max-time", "20", version, "--cacert"])
            .arg(&ca)
            .args([
                "-H",
                "Content-Type: application/x-protobuf",
                "-o",
                "/dev/null",
            ])
            .args(["-w", "%{http_code} %{http_version}", "--data-binary", &data])
            .arg(format!("https://{}/v1/traces", daemon.http_address()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&export.stdout);
        let want = if version == "--http2" {
            "200 2"
        } else {
            "200 1.1"
        };
        assert_eq!(said, want, "{export:?}");
    }

    let started = Instant::now();
    let plain = Client::connect(daemon.grpc_url(), hasty()).await;
    let told = match plain {
        Ok(client) => client.submit(steps(new_id(), 1)).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(told.is_err(), "a client without TLS is served");
    for address in [
        daemon.grpc_url().trim_start_matches("http://"),
        daemon.http_address(),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(15));
    let stranger = connect(&daemon, &Authority::new("another"), None).await;
    assert!(stranger.is_err());
    super::finish(daemon, &files).await;
}

/// Scenario: mutual TLS; clients with a certificate of the right authority, of
/// another, an expired one, and none.
/// Guarantees: the first is served at both doors, and nobody else at any.
#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_lets_in_whom_it_knows() {
    let database = pg::database().await;
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let clients = Authority::new("clients");
    let files = Files::new(&ours.issue());
    files.write("ca.pem", &ours.pem);
    files.write("clients.pem", &clients.pem);
    let daemon = files.daemon(database.url(), true).await;
    let right = clients.issue();
    let client = connect(&daemon, &ours, Some(&right)).await.unwrap();
    let answer = client.submit(steps(new_id(), 3)).await.unwrap();
    assert_eq!(answer.outcome.unwrap().committed, 3);

    let expired = clients.issue_until(2_001);
    let other = theirs.issue();
    for wrong in [None, Some(&other), Some(&expired)] {
        // In TLS 1.3 a client learns of it with its first request.
        let told = match connect(&daemon, &ours, wrong).await {
            Ok(client) => client.submit(steps(new_id(), 1)).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(told.is_err(), "{}", wrong.is_some());
    }
    let ca = files.path("ca.pem");
    assert_ne!(curl(&daemon, &ca, &[]).0, Some(0));
    files.write("me.pem", &right.cert_pem);
    files.write("me.key", &right.key_pem);
    let (cert, key) = (files.path("me.pem"), files.path("me.key"));
    let me = [
        "--cert",
        cert.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
    ];
    assert_eq!(curl(&daemon, &ca, &me), (Some(0), "ready\n".into()));
    let metrics = super::page(&daemon, &ca, &me, "/metrics");
    let refused = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix("runtraced_connections_ended_total{door=\"grpc\",reason=\"tls\"} ")
        })
        .unwrap();
    assert!(refused.parse::<u64>().unwrap() >= 3, "{refused}");
    super::finish_with(daemon, &files, &me).await;
}

/// Scenario: a client that sends the first byte of TLS, and no more.
/// Guarantees: it is closed after the handshake timeout, while others are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_drips_is_cut() {
    let database = pg::database().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue());
    files.write("ca.pem", &authority.pem);
    let mut args = files.args(false);
    args.extend(["--handshake-timeout".into(), "1".into()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let daemon = crate::support::daemon::Daemon::spawn(database.url(), &args).await;
    let address = daemon.grpc_url().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let started = Instant::now();
    // A handshake record of 512 bytes, of which one comes each 200 ms.
    let mut next = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]
        .into_iter()
        .chain(std::iter::repeat(3));
    while socket.write_all(&[next.next().unwrap()]).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20), "it stays open");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(started.elapsed() > Duration::from_millis(900));
    let client = connect(&daemon, &authority, None).await.unwrap();
    let answer = client.submit(steps(new_id(), 3)).await.unwrap();
    assert_eq!(answer.outcome.unwrap().committed, 3);
    super::finish(daemon, &files).await;
}
