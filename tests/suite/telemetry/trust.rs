//! Whether the daemon trusts the certificate of its collector.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::tls::authority::Authority;

/// The variable of programs with OpenTelemetry.
const VARIABLE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const WARNING: &str = "the collector does not take the daemon's own spans";

/// Scenario: a collector with a certificate of a private authority. One daemon is given the
/// authority by its flag, one by OpenTelemetry's variable, one another authority by the flag and the
/// right one by the variable, and one none.
/// Guarantees: the first two send their spans; the others send none, and log once why; acks go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_if_it_is_named() {
    let (authority, other) = (Authority::new("of the collector"), Authority::new("other"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issued = authority.issue();
    let (cert, key) = (
        file("cert.pem", &issued.cert_pem),
        file("key.pem", &issued.key_pem),
    );
    let (ca, other) = (
        file("ca.pem", &authority.pem),
        file("other.pem", &other.pem),
    );
    let collecting = pg::database().await;
    let tls = ["--tls-cert", &*cert, "--tls-key", &*key];
    let mut collector = Daemon::spawn(collecting.url(), &tls).await;
    let endpoint = collector.grpc_url().replacen("http://", "https://", 1);
    let flags = ["--otel-endpoint", &*endpoint, "--otel-sample", "1"];
    for (given, variable, taken) in [
        (&["--otel-ca", &*ca][..], "", true),
        (&[], &*ca, true),
        (&["--otel-ca", &*other], &*ca, false),
        (&[], "", false),
    ] {
        let flags = [&flags[..], given].concat();
        let set = [(VARIABLE, variable)];
        let database = pg::database().await;
        let mut daemon = Daemon::spawn_with_env(database.url(), &flags, &set).await;
        daemon.wait_ready().await;
        assert_eq!(
            daemon
                .submit(vec![run_started(0, new_id())])
                .await
                .committed,
            1
        );
        let (sent, dropped) = told(&daemon).await;
        assert_eq!((sent > 0, dropped > 0), (taken, !taken), "{given:?}");
        if !taken {
            daemon.expect_warnings(WARNING);
            let logs = warned(&daemon).await;
            assert_eq!(logs.matches(WARNING).count(), 1, "{logs}");
            assert!(logs.contains("UnknownIssuer"), "{logs}");
        }
        daemon.finish().await;
    }
    // The collector saw handshakes that ended too early.
    assert!(collector.terminate().await.success());
}

/// The log, when the daemon has said that spans are dropped.
async fn warned(daemon: &Daemon) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    while !daemon.logs().contains(WARNING) {
        assert!(Instant::now() < until, "{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    daemon.logs()
}

/// Spans that were sent and dropped, when there are some.
async fn told(daemon: &Daemon) -> (u64, u64) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let metrics = daemon.metrics().await;
        let count =
            |outcome: &str| metrics[&format!("runtraced_own_spans_total{{outcome=\"{outcome}\"}}")];
        let counts = (count("sent"), count("not_taken"));
        if counts != (0, 0) {
            return counts;
        }
        assert!(Instant::now() < until, "nothing is told: {}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Scenario: the file of the authorities is missing, or holds something else.
/// Guarantees: the daemon does not start; one line names the file and what to correct.
#[test]
fn a_file_without_authorities_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "no PEM").unwrap();
    let missing = folder.path().join("missing");
    for (file, why) in [
        (&text, "holds no certificate in PEM"),
        (&missing, "No such file"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .arg("serve")
            .args([
                "--grpc-listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
            ])
            .args(["--otel-endpoint", "https://collector.invalid:4317"])
            .arg("--otel-ca")
            .arg(file)
            .env("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
            .env("RUNTRACED_SPOOL_BYTES", "0")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in ["--otel-ca", file.to_str().unwrap(), why] {
            assert!(said.contains(part), "{said}");
        }
    }
}
