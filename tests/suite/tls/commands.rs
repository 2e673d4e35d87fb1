//! What people see: faults at the start, and the commands.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::authority::Authority;
use super::{Files, https};
use crate::support::daemon::Daemon;
use crate::support::pg;

fn runtraced(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(args)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// Scenario: TLS with one of two flags, with files that are missing, no PEM, or
/// do not belong together; with a certificate that has expired.
/// Guarantees: each fault is told with the file and the reason, and the daemon
/// does not start; the expired one starts, with a warning. No key is in any of it.
#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_at_the_start() {
    let database = pg::database().await;
    let authority = Authority::new("ours");
    let (one, other) = (authority.issue(), authority.issue());
    let files = Files::new(&one);
    files.write("other.key", &other.key_pem);
    files.write("text", "no PEM");
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    for (args, code, says) in [
        (vec!["--tls-cert", &cert], 64, "--tls-cert needs --tls-key"),
        (vec!["--tls-key", &key], 64, "--tls-key needs --tls-cert"),
        (
            vec!["--tls-client-ca", &cert],
            64,
            "--tls-client-ca needs --tls-cert and --tls-key",
        ),
        (
            vec!["--tls-cert", "/nowhere", "--tls-key", &key],
            1,
            "cannot read /nowhere",
        ),
        (
            vec!["--tls-cert", &path("text"), "--tls-key", &key],
            1,
            "holds no certificate",
        ),
        (
            vec!["--tls-cert", &cert, "--tls-key", &path("text")],
            1,
            "holds no private key",
        ),
        (
            vec!["--tls-cert", &cert, "--tls-key", &path("other.key")],
            1,
            "does not belong to the certificate",
        ),
    ] {
        let listen = [
            "--grpc-listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ];
        let all = [
            &["serve", "--database-url", database.url()],
            &listen[..],
            &args,
        ]
        .concat();
        let out = runtraced(&all);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
    let expired = Files::new(&authority.issue_until(2_001));
    let mut daemon = expired.daemon(database.url(), false).await;
    daemon.expect_warnings("has expired");
    assert!(daemon.logs().contains("has expired"), "{}", daemon.logs());
    assert!(daemon.terminate().await.success());
    daemon.check_logs();
}

/// Scenario: `send` and `status` with a daemon of mutual TLS: with all it takes,
/// without the authority, without the certificate, with half of it.
/// Guarantees: the first works; the others fail with their exit codes, and say why.
#[tokio::test(flavor = "multi_thread")]
async fn commands_speak_tls() {
    let database = pg::database().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue());
    files.write("ca.pem", &authority.pem);
    files.write("clients.pem", &authority.pem);
    let me = authority.issue();
    files.write("me.pem", &me.cert_pem);
    files.write("me.key", &me.key_pem);
    let event = r#"{"time":"2026-01-31T12:00:00Z","run_started":{"run_id":"0194bb0a-0000-7000-8000-000000000001","agent_id":"a","agent_type":"b"}}"#;
    files.write("events.jsonl", event);
    let daemon = files.daemon(database.url(), true).await;
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let (endpoint, events) = (https(&daemon), path("events.jsonl"));
    let (ca, cert, key) = (path("ca.pem"), path("me.pem"), path("me.key"));
    let send = [
        "send",
        &events,
        "--endpoint",
        &endpoint,
        "--give-up-after",
        "3",
    ];
    let mine = ["--client-cert", &*cert, "--client-key", &*key];
    let with_ca = [&send[..], &["--ca", &ca]].concat();
    let all = [&with_ca[..], &mine].concat();
    for (args, code, says) in [
        (&all[..], 0, "1 accepted"),
        (
            &send,
            69,
            "UnknownIssuer); give the authority's certificate with --ca",
        ),
        (&with_ca, 69, "--client-cert and --client-key"),
        (&[&with_ca[..], &mine[..2]].concat(), 64, "--client-key"),
        (&[&send[..], &["--ca", "/nowhere"]].concat(), 66, "/nowhere"),
        (
            &[&send[..], &["--ca", &events]].concat(),
            66,
            "events.jsonl holds no certificate in PEM",
        ),
    ] {
        let out = runtraced(args);
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
    let http = format!("https://{}", daemon.http_address());
    let status = [
        "status",
        "--database-url",
        database.url(),
        "--http",
        &http,
        "--ca",
        &ca,
    ];
    let out = runtraced(&[&status[..], &mine].concat());
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{:?}", out.stderr);
    assert!(said.contains("ready"), "{said}");
    assert_eq!(runtraced(&status).status.code(), Some(69));
    super::finish_with(daemon, &files, &["--cert", &cert, "--key", &key]).await;
}

/// Scenario: `send` and `status` with TLS to a port without it, without TLS to a port with it,
/// and to a daemon whose certificate is a CA certificate, as `openssl req -x509` makes them.
/// Guarantees: each is reported with what to do; faults of TLS at once and not after retries;
/// the daemon warns of the CA certificate when it starts.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_with_tls_are_explained() {
    let database = pg::database().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority.issue());
    files.write("ca.pem", &authority.pem);
    files.write("events.jsonl", r#"{"time":"2026-01-31T12:00:00Z","heartbeat":{"run_id":"0194bb0a-0000-7000-8000-000000000001"}}"#);
    let secure = files.daemon(database.url(), false).await;
    let plain = Daemon::spawn(database.url(), &[]).await;
    let as_server = Files::new(&authority.issue_ca());
    as_server.write("ca.pem", &authority.pem);
    let mut mistaken = as_server.daemon(database.url(), false).await;
    mistaken.expect_warnings("--tls-cert is a CA certificate");
    let warning = "`openssl req -x509` makes one with -addext basicConstraints=critical,CA:FALSE";
    let deadline = Instant::now() + Duration::from_secs(30);
    while !mistaken.logs().contains(warning) {
        assert!(Instant::now() < deadline, "{}", mistaken.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let (events, ca) = (path("events.jsonl"), path("ca.pem"));
    let plain_grpc = plain.grpc_url().replacen("http://", "https://", 1);
    let secure_grpc = secure.grpc_url().to_owned();
    let no_tls = "does not speak TLS on this port; write http:// instead of https://";
    let needs_tls = "if the daemon uses TLS, write --";
    let ca_cert = "is a CA certificate, which cannot identify a server (CaUsedAsEndEntity); give";
    for (endpoint, says, at_once) in [
        (plain_grpc, no_tls, true),
        (secure_grpc, needs_tls, false),
        (https(&mistaken), ca_cert, true),
    ] {
        let limit = if at_once { "60s" } else { "1s" };
        let args = ["send", &events, "--ca", &ca, "--endpoint", &endpoint];
        let began = Instant::now();
        let out = runtraced(&[&args[..], &["--give-up-after", limit]].concat());
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(69), "{endpoint}: {said}");
        assert!(said.contains(says), "{endpoint}: {said}");
        assert!(!at_once || said.lines().count() == 1, "{endpoint}: {said}");
        assert!(began.elapsed() < Duration::from_secs(30), "{endpoint}");
    }
    let https = |daemon: &Daemon| format!("https://{}", daemon.http_address());
    for (http, says) in [
        (https(&plain), no_tls),
        (secure.http_address().to_owned(), needs_tls),
        (https(&mistaken), ca_cert),
    ] {
        let out = runtraced(&["status", "--ca", &ca, "--http", &http]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(69), "{http}: {said}");
        assert!(
            said.contains(says) && said.lines().count() == 1,
            "{http}: {said}"
        );
    }
    plain.finish().await;
    super::finish(secure, &files).await;
    assert!(mistaken.terminate().await.success(), "{}", mistaken.logs());
    mistaken.check_logs();
}
