//! `runtraced doctor` and `runtraced spool` with several servers.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::TwoServers;
use crate::retention::rows::run_sql;
use crate::support::process::runtraced;
use crate::support::spool::SpoolDir;

/// Exit code and findings.
async fn doctor(urls: &str, flags: &[&str]) -> (i32, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    let listen = [
        "--grpc-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
    ];
    let args = [&["doctor", "--json"], &listen[..], flags].concat();
    command.args(args).env("DATABASE_URL", urls);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let findings = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), findings.unwrap())
}

/// The severities of a check, and all that it found.
fn of_check(findings: &[Value], check: &str) -> (Vec<String>, String) {
    let of_check = findings.iter().filter(|finding| finding["check"] == check);
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let severities = of_check.clone().map(|finding| text(finding, "severity"));
    let found: Vec<String> = of_check.map(|finding| text(finding, "found")).collect();
    (severities.collect(), found.join("\n"))
}

/// Scenario: a store of two servers, as it should be; then a customer and a user are on one server only; then the servers
/// are given in another order.
/// Guarantees: every check is made for each server, which it names; what differs is a warning; the order is a failure.
#[tokio::test(flavor = "multi_thread")]
async fn every_server_is_checked() {
    let servers = TwoServers::new().await;
    servers.run(&["migrate"]).await;
    let dir = SpoolDir::new();
    let flags = dir.flags(&[]);
    let (code, findings) = doctor(&servers.urls(), &flags).await;
    assert_eq!(code, 0, "{findings:#?}");
    for check in ["database", "write epoch", "spool"] {
        let (severities, found) = of_check(&findings, check);
        assert_eq!(severities.len(), 2, "{findings:#?}");
        assert!(
            found.contains("server 1/2") && found.contains("server 2/2"),
            "{found}"
        );
    }
    let (_, found) = of_check(&findings, "spool");
    assert!(
        found.contains("/server_01_of_02") && found.contains("/server_02_of_02"),
        "{found}"
    );
    for check in ["store", "customers", "users", "retention rules"] {
        assert_eq!(of_check(&findings, check).0, ["ok"], "{findings:#?}");
    }

    let mut conns = servers.connect().await;
    run_sql(
        &mut conns[0],
        "INSERT INTO customers (name, arr) VALUES ('a', 1)",
    )
    .await;
    run_sql(
        &mut conns[1],
        "INSERT INTO customers (name, arr) VALUES ('a', 1)",
    )
    .await;
    let rule = "INSERT INTO retention_rules (agent_id, keep) VALUES ('a', NULL)";
    run_sql(&mut conns[0], rule).await;
    let (code, findings) = doctor(&servers.urls(), &flags).await;
    assert_eq!(code, 0, "{findings:#?}");
    assert_eq!(of_check(&findings, "customers").0, ["warning"]);
    assert_eq!(of_check(&findings, "users").0, ["ok"]);
    assert_eq!(of_check(&findings, "retention rules").0, ["warning"]);
    run_sql(&mut conns[1], rule).await;
    let (_, findings) = doctor(&servers.urls(), &flags).await;
    assert_eq!(of_check(&findings, "retention rules").0, ["ok"]);

    let (code, findings) = doctor(&servers.reversed(), &flags).await;
    assert_eq!(code, 1, "{findings:#?}");
    assert_eq!(of_check(&findings, "store").0, ["failure"]);
    assert_eq!(of_check(&findings, "write epoch").0, ["failure", "failure"]);

    let one = servers.databases[0].url();
    let (code, findings) = doctor(one, &flags).await;
    assert_eq!(code, 1, "{findings:#?}");
    assert_eq!(of_check(&findings, "write epoch").0, ["failure"]);
}

/// Scenario: the folder of a spool has a folder for each server, one with a damaged file.
/// Guarantees: the commands look into each, and name it.
#[tokio::test(flavor = "multi_thread")]
async fn spools_of_all_servers_are_one_spool() {
    let dir = SpoolDir::new();
    for server in ["server_01_of_02", "server_02_of_02"] {
        fs::create_dir(dir.path().join(server)).unwrap();
    }
    let folder = dir.path().to_str().unwrap().to_owned();
    let (code, said) = runtraced(&["spool", "ls", "--spool-dir", &folder], "").await;
    assert!(code == 0 && said.contains("empty"), "{said}");
    fs::write(
        dir.path()
            .join("server_02_of_02/00000000000000000001.spool"),
        "no spool",
    )
    .unwrap();
    for command in ["ls", "verify"] {
        let (_, said) = runtraced(&["spool", command, "--spool-dir", &folder], "").await;
        assert!(said.contains("server_02_of_02/"), "{said}");
    }
}
