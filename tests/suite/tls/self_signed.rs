//! `runtraced tls self-signed`, and certificates that people make otherwise.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};

use super::authority::Authority;
use super::{Files, curl, https};
use crate::support::daemon::Daemon;
use crate::support::pg;

const EVENT: &str = r#"{"time":"2026-01-31T12:00:00Z","run_started":{"run_id":"0194bb0a-0000-7000-8000-000000000001","agent_id":"a","agent_type":"b"}}"#;

fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).env_remove("RUST_LOG").output().unwrap()
}

fn runtraced(args: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_runtraced"), args)
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// A daemon with the files that the command makes.
async fn spawn(database: &str, dir: &Path) -> Daemon {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("server.pem"), path("server.key"));
    Daemon::spawn(database, &["--tls-cert", &cert, "--tls-key", &key]).await
}

/// Python's own client in its strict mode, by name and by address.
const STRICT: &str = "
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
for host in ['localhost', '127.0.0.1']:
    url = 'https://%s:%s/livez' % (host, sys.argv[2])
    assert urllib.request.urlopen(url, context=context).status == 200
print('strict')
";

/// Scenario: the command makes files; a daemon serves with them; OpenSSL, curl, Python and our own
/// commands connect by name and by address; the command runs again.
/// Guarantees: all of them take the certificate, also where they verify strictly; keys are the
/// owner's alone; the second run keeps the authority, and the daemon takes the new certificate.
#[tokio::test(flavor = "multi_thread")]
async fn all_clients_take_what_the_command_makes() {
    let database = pg::database().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let command = ["tls", "self-signed", "--dir", dir.to_str().unwrap()];
    let names = [
        "--name",
        "localhost",
        "--name",
        "127.0.0.1",
        "--name",
        "::1",
    ];
    let make = [&command[..], &names].concat();
    let out = runtraced(&make);
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("is a new authority"), "{}", said(&out));
    for key in ["ca.key", "server.key"] {
        let mode = fs::metadata(path(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let (ca, cert) = (path("ca.pem"), path("server.pem"));
    let verify = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "localhost",
    ];
    let out = run("openssl", &[&verify[..], &["-CAfile", &ca, &cert]].concat());
    assert!(out.status.success(), "{}", said(&out));

    let mut daemon = spawn(database.url(), &dir).await;
    let (code, text) = curl(
        &daemon,
        Path::new(&ca),
        &["--retry", "20", "--retry-all-errors"],
    );
    assert_eq!(code, Some(0), "{text}");
    let port = daemon.http_address().rsplit(':').next().unwrap().to_owned();
    let out = run("python3", &["-c", STRICT, &ca, &port]);
    assert!(said(&out).contains("strict"), "{}", said(&out));
    let events = path("events.jsonl");
    fs::write(&events, EVENT).unwrap();
    let by_name = https(&daemon).replace("127.0.0.1", "localhost");
    for endpoint in [https(&daemon), by_name] {
        let out = runtraced(&["send", &events, "--endpoint", &endpoint, "--ca", &ca]);
        assert!(out.status.success(), "{endpoint}: {}", said(&out));
    }

    let (authority, before) = (fs::read(&ca).unwrap(), fs::read(&cert).unwrap());
    let out = runtraced(&make);
    assert!(
        said(&out).contains("is the authority, as before"),
        "{}",
        said(&out)
    );
    assert_eq!(fs::read(&ca).unwrap(), authority);
    assert_ne!(fs::read(&cert).unwrap(), before);
    let until = Instant::now() + Duration::from_secs(30);
    while !daemon.logs().contains("new connections use them") {
        assert!(Instant::now() < until, "{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let out = runtraced(&["send", &events, "--endpoint", &https(&daemon), "--ca", &ca]);
    assert!(out.status.success(), "{}", said(&out));
    // Between key and certificate it may see two that do not match, which is an ERROR.
    daemon.expect_warnings("TLS files changed and cannot be used");
    assert!(daemon.terminate().await.success(), "{}", daemon.logs());
}

/// Scenario: names with a scheme or a port, no name, a lifetime of a thousand days, an authority
/// whose key is gone.
/// Guarantees: each is told, and nothing is written.
#[test]
fn what_the_command_cannot_make_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let make = ["tls", "self-signed", "--dir", dir];
    for (args, code, says) in [
        (
            vec!["--name", "https://traces.example"],
            64,
            "without scheme and port",
        ),
        (
            vec!["--name", "localhost:4317"],
            64,
            "without scheme and port",
        ),
        (vec![], 64, "--name"),
        (vec!["--name", "a.example", "--days", "1000"], 64, "--days"),
    ] {
        let out = runtraced(&[&make[..], &args].concat());
        assert_eq!(out.status.code(), Some(code), "{args:?}: {}", said(&out));
        assert!(said(&out).contains(says), "{args:?}: {}", said(&out));
    }
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
    fs::write(folder.path().join("ca.pem"), "kept").unwrap();
    let out = runtraced(&[&make[..], &["--name", "a.example"]].concat());
    assert_eq!(out.status.code(), Some(1));
    assert!(
        said(&out).contains("has no ca.key beside it"),
        "{}",
        said(&out)
    );
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
}

/// Scenario: daemons with certificates that have expired, are not valid yet, name another host, are
/// for clients, name nobody, or come from another authority; `send` and `status` connect.
/// Guarantees: the daemon warns at its start of what it can see; both commands say at once what is
/// wrong and what to do, in one line, and do not retry.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_told_at_once_by_both_sides() {
    let database = pg::database().await;
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let year = |year| rcgen::date_time_ymd(year, 1, 1);
    let issue = |change: &dyn Fn(&mut CertificateParams)| ours.issue_changed(change);
    let other = |params: &mut CertificateParams| {
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())];
    };
    let client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    for (issued, warns, says) in [
        (
            issue(&|params| params.not_after = year(2001)),
            "has expired",
            "has expired; renew",
        ),
        (
            issue(&|params| params.not_before = year(2090)),
            "is not valid yet",
            "check the clocks",
        ),
        (
            issue(&other),
            "",
            "for another host name; connect by a name",
        ),
        (
            issue(&client),
            "not meant for servers",
            "not meant for servers; issue it again",
        ),
        (
            issue(&|params| params.subject_alt_names.clear()),
            "names no host",
            "for another host name",
        ),
        (
            theirs.issue(),
            "",
            "give the authority's certificate with --ca",
        ),
    ] {
        let files = Files::new(&issued);
        files.write("ca.pem", &ours.pem);
        files.write("events.jsonl", EVENT);
        let mut daemon = files.daemon(database.url(), false).await;
        daemon.expect_warnings(warns);
        assert_eq!(
            daemon.logs().contains("--tls-cert "),
            !warns.is_empty(),
            "{}",
            daemon.logs()
        );
        assert!(daemon.logs().contains(warns), "{}", daemon.logs());
        let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
        let (ca, events) = (path("ca.pem"), path("events.jsonl"));
        let http = format!("https://{}", daemon.http_address());
        let endpoint = https(&daemon);
        for args in [
            vec![
                "send",
                &events,
                "--ca",
                &ca,
                "--endpoint",
                &endpoint,
                "--give-up-after",
                "60s",
            ],
            vec!["status", "--ca", &ca, "--http", &http],
        ] {
            let began = Instant::now();
            let out = runtraced(&args);
            let text = said(&out);
            assert_eq!(out.status.code(), Some(69), "{says}: {text}");
            assert!(
                text.contains(says) && text.lines().count() == 1,
                "{says}: {text}"
            );
            assert!(began.elapsed() < Duration::from_secs(20), "{says}: {text}");
        }
        assert!(daemon.terminate().await.success(), "{}", daemon.logs());
        daemon.check_logs();
    }
}

/// Scenario: the usual command of OpenSSL makes a certificate, and an older one that has no
/// extensions.
/// Guarantees: the daemon warns of the first at its start, and says how to make a better one; it
/// does not start with the second, and says so too.
#[tokio::test(flavor = "multi_thread")]
async fn the_usual_certificates_of_openssl_are_explained() {
    let database = pg::database().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, request) = (path("server.pem"), path("server.key"), path("request.pem"));
    let made = |args: &[&str]| {
        let out = run("openssl", args);
        assert!(out.status.success(), "{}", said(&out));
    };
    let subject = ["-nodes", "-subj", "/CN=localhost", "-keyout", &key];
    let usual = [
        "req", "-x509", "-newkey", "rsa:2048", "-days", "30", "-out", &cert,
    ];
    made(&[&usual[..], &subject].concat());
    let mut daemon = spawn(database.url(), folder.path()).await;
    daemon.expect_warnings("--tls-cert is a CA certificate");
    assert!(
        daemon
            .logs()
            .contains("`runtraced tls self-signed` makes one"),
        "{}",
        daemon.logs()
    );
    assert!(daemon.terminate().await.success());
    daemon.check_logs();

    made(
        &[
            &["req", "-new", "-newkey", "rsa:2048", "-out", &request],
            &subject[..],
        ]
        .concat(),
    );
    made(&[
        "x509", "-req", "-in", &request, "-signkey", &key, "-days", "30", "-out", &cert,
    ]);
    let shown = said(&run("openssl", &["x509", "-in", &cert, "-noout", "-text"]));
    if !shown.contains("Version: 1 ") {
        println!("skipped: this OpenSSL makes no certificates of version 1");
        return;
    }
    let out = runtraced(&[
        "serve",
        "--database-url",
        database.url(),
        "--grpc-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ]);
    let text = said(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(
        text.contains("is of X.509 version 1, which clients refuse; issue it"),
        "{text}"
    );
}
