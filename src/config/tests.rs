use clap::Parser;

use super::*;

#[derive(Parser)]
struct ServeCommandLine {
    #[command(flatten)]
    serve: ServeArgs,
}

fn config(args: &[&str]) -> Result<Config, Faults> {
    let args = ["runtraced"].iter().chain(args);
    let parsed = ServeCommandLine::try_parse_from(args).expect("flags");
    parsed.serve.config()
}

#[test]
fn all_faults_are_reported_at_once_and_passwords_never() {
    let faults = config(&[
        "--database-url",
        "mysql://me:secret@host/db",
        "--grpc-listen",
        "nowhere",
        "--http-listen",
        "0.0.0.0:4318",
        "--writers",
        "0",
        "--run-timeout",
        "0",
    ])
    .expect_err("five faults");
    assert_eq!(faults.0.len(), 5, "{faults}");
    assert!(!faults.to_string().contains("secret"));
}

#[test]
fn values_that_cannot_be_parsed_are_reported_with_all_other_faults() {
    let faults = config(&[
        "--writers",
        "x",
        "--linger-ms",
        "y",
        "--spool-bytes",
        "4GX",
        "--memory-budget-bytes",
        "16EiB",
        "--idle-timeout",
        "soon",
        "--keepalive-interval",
        "999d",
        "--batch-bytes",
        "2GiB",
        "--max-json-depth",
        "513",
        "--tls-cert",
        "cert.pem",
        "--grpc-listen",
        "0.0.0.0:4317",
    ])
    .expect_err("ten faults");
    let expected = [
        "--tls-cert needs --tls-key",
        "--grpc-listen 0.0.0.0:4317 is beyond loopback, where anyone could write: \
         add --require-keys, or --insecure to allow that",
        "--writers x is not a whole number from 1 to 256",
        "--memory-budget-bytes 16EiB is not a size like 1048576, 64MiB or 4GB",
        "--batch-bytes 2GiB is not between 1 and 1GiB",
        "--linger-ms y is not a whole number from 0 to 31622400000",
        "--keepalive-interval 999d is not between 50ms and 366d",
        "--idle-timeout soon is not a duration like 30 (seconds), 500ms, 5m or 2h",
        "--max-json-depth 513 is not a whole number from 1 to 512",
        "--spool-bytes 4GX is not a size like 1048576, 64MiB or 4GB",
    ];
    for line in expected {
        assert!(
            faults.0.iter().any(|fault| fault == line),
            "{line}\n{faults}"
        );
    }
    assert_eq!(faults.0.len(), expected.len(), "{faults}");
}

#[test]
fn sizes_and_durations_take_units() {
    let config = config(&[
        "--spool-bytes",
        "2GB",
        "--memory-budget-bytes",
        "128MiB",
        "--max-header-bytes",
        "8KiB",
        "--run-timeout",
        "90",
        "--spool-after",
        "500ms",
        "--drain-timeout",
        "1.5m",
    ])
    .expect("a configuration");
    let spool = config.spool.expect("a spool");
    assert_eq!(spool.bytes, 2_000_000_000);
    assert_eq!(spool.after, Duration::from_millis(500));
    assert_eq!(config.memory_budget_bytes, 128 << 20);
    assert_eq!(config.connections.header_bytes, 8 << 10);
    assert_eq!(config.run_timeout, Duration::from_secs(90));
    assert_eq!(config.drain_timeout, Duration::from_secs(90));
}

#[test]
fn defaults_are_valid_and_those_of_the_documentation() {
    let config = config(&[]).expect("a configuration");
    assert_eq!(config.spool.expect("a spool").bytes, 4 << 30);
    assert_eq!(config.memory_budget_bytes, 64 << 20);
    assert_eq!(config.batch_bytes, 8 << 20);
    assert_eq!(config.max_field_bytes, 32 << 20);
    assert_eq!(config.run_timeout, Duration::from_secs(3_600));
    assert_eq!(config.max_message_events, MAX_EVENTS_PER_MESSAGE);
}

#[test]
fn a_connection_that_answers_pings_is_never_idle() {
    let faults = config(&["--idle-timeout", "20s"]).expect_err("too short");
    assert_eq!(
        faults.0,
        [
            "--idle-timeout 20s is shorter than --keepalive-interval 30s and \
             --keepalive-timeout 20s together: clients that answer pings would count as idle"
        ]
    );
}

#[test]
fn faults_of_own_spans_are_reported() {
    let faults = config(&["--otel-endpoint", "collector:4317", "--otel-sample", "1.5"]);
    assert_eq!(
        faults.expect_err("two faults").0,
        [
            "--otel-sample 1.5 is not a share from 0 to 1, like 0.01",
            "--otel-endpoint collector:4317 is not a URL like http://127.0.0.1:4317",
        ]
    );
    for odd in ["x", "NaN", "-0.1"] {
        assert!(config(&[&format!("--otel-sample={odd}")]).is_err(), "{odd}");
    }
    let settings = config(&["--otel-endpoint", "http://127.0.0.1:4317"]).expect("settings");
    assert_eq!(settings.otel.map(|otel| otel.sample), Some(0.01));
    assert_eq!(config(&["--otel-endpoint", ""]).expect("off").otel, None);
}

#[test]
fn a_collector_is_trusted_by_its_authority() {
    let trust = |args: &[&str]| Some(config(args).ok()?.otel?.trust);
    let endpoint = "--otel-endpoint=https://collector:4317";
    assert_eq!(trust(&[endpoint]), Some(Some(CollectorTrust::Public)));
    let of_file = CollectorTrust::File("ca.pem".into());
    assert_eq!(
        trust(&[endpoint, "--otel-ca=ca.pem"]),
        Some(Some(of_file.clone()))
    );
    let plain = "--otel-endpoint=http://collector:4317";
    assert_eq!(trust(&[plain]), Some(None));
    let faults = config(&[plain, "--otel-ca=ca.pem"]).expect_err("no TLS");
    assert_eq!(
        faults.0,
        ["--otel-ca ca.pem is for TLS; write https:// in --otel-endpoint http://collector:4317"]
    );
}

#[test]
fn beyond_loopback_only_on_purpose() {
    assert!(config(&["--http-listen", "0.0.0.0:1"]).is_err());
    assert!(config(&["--http-listen", "0.0.0.0:1", "--insecure"]).is_ok());
    assert!(config(&["--http-listen", "0.0.0.0:1", "--require-keys"]).is_ok());
    assert!(config(&["--grpc-listen", "[::1]:0"]).is_ok());
    assert!(config(&["--grpc-listen", "localhost:0"]).is_ok());
}
