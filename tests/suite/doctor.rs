//! `runtraced doctor` on servers that are as they should be, and on others.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use runtraced::store::{EPOCH_LOCK_CLASS, TraceLayout, WRITE_EPOCH};
use serde_json::Value;
use sqlx::{AssertSqlSafe, raw_sql};

use crate::support::daemon::Daemon;
use crate::support::pg;
use crate::support::spool::SpoolDir;
use crate::support::writer::writer;

/// Addresses that are free on any machine.
const FREE: [(&str, &str); 2] = [
    ("RUNTRACED_GRPC_LISTEN", "127.0.0.1:0"),
    ("RUNTRACED_HTTP_LISTEN", "127.0.0.1:0"),
];

/// Exit code and findings, by check.
async fn doctor(database: &str, args: &[&str]) -> (i32, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    let args = [&["doctor", "--json"], args].concat();
    command.args(args).env("DATABASE_URL", database).envs(FREE);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}"));
    (output.status.code().unwrap(), found)
}

/// The names of the checks that ended so.
fn ended<'a>(findings: &'a [Value], severity: &str) -> Vec<&'a str> {
    let ended = findings
        .iter()
        .filter(|finding| finding["severity"] == severity);
    ended
        .map(|finding| finding["check"].as_str().unwrap())
        .collect()
}

fn advice<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let finding = findings.iter().find(|finding| finding["check"] == check);
    finding.unwrap()["advice"].as_str().unwrap()
}

fn found<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let finding = findings.iter().find(|finding| finding["check"] == check);
    finding.unwrap()["found"].as_str().unwrap()
}

/// Scenario: a database that is up to date, with and without a daemon on the same spool; the same
/// as a table.
/// Guarantees: every check is made and none fails; the server that tests use is told to be unsafe;
/// nothing is changed, and the daemon is not disturbed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sound_setup_has_no_failure() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let flags = dir.flags(&[]);
    let (code, findings) = doctor(database.url(), &flags).await;
    assert_eq!(ended(&findings, "failure"), [""; 0], "{findings:#?}");
    assert_eq!(code, 0);
    let all: Vec<&str> = findings
        .iter()
        .map(|one| one["check"].as_str().unwrap())
        .collect();
    let of_layout = match pg::layout() {
        TraceLayout::Plain => None,
        TraceLayout::ByMonth => Some("partitions"),
        TraceLayout::InSlots(_) => Some("slots"),
    };
    let all: Vec<&str> = all
        .into_iter()
        .filter(|one| Some(*one) != of_layout)
        .collect();
    assert_eq!(findings.len(), all.len() + usize::from(of_layout.is_some()));
    assert_eq!(
        all,
        [
            "open files",
            "exposure",
            "masking",
            "database",
            "pooler",
            "version",
            "writable",
            "encoding",
            "durability",
            "commits",
            "connections",
            "timeouts",
            "extensions",
            "rights",
            "reader role",
            "clock",
            "schema",
            "write epoch",
            "customer tables",
            "spool",
            "disk",
            "spool's database",
            "spool files",
            "addresses",
        ]
    );
    assert!(
        ended(&findings, "warning").contains(&"durability"),
        "{findings:#?}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    let daemon = Daemon::with_args(database.url(), &flags).await;
    let (code, findings) = doctor(database.url(), &flags).await;
    assert_eq!(code, 0, "{findings:#?}");
    let spool = findings.iter().find(|one| one["check"] == "spool").unwrap();
    assert!(
        spool["found"]
            .as_str()
            .unwrap()
            .contains("a daemon uses it"),
        "{spool}"
    );
    daemon.finish().await;

    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command
        .arg("doctor")
        .args(&flags)
        .env("DATABASE_URL", database.url())
        .envs(FREE);
    let table = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(table.contains("warning  durability"), "{table}");
    assert!(table.contains("→ turn it on in postgresql.conf"), "{table}");
    assert!(table.ends_with(" 0 failures\n"), "{table}");
}

/// Scenario: a database without a schema that nobody may migrate; a role that may write nothing; a
/// daemon of other rules; a port where nothing listens.
/// Guarantees: each is a failure of its own check, with what to do, and the exit code is 1.
#[tokio::test(flavor = "multi_thread")]
async fn each_failure_is_told_with_what_to_do() {
    let empty = pg::empty_database().await;
    let (code, findings) = doctor(empty.url(), &["--no-migrate"]).await;
    assert_eq!(
        (code, ended(&findings, "failure")),
        (1, vec!["schema"]),
        "{findings:#?}"
    );
    assert!(advice(&findings, "schema").contains("runtraced migrate"));
    let (code, findings) = doctor(empty.url(), &[]).await;
    assert_eq!(code, 0, "{findings:#?}");

    let database = pg::database().await;
    let mut conn = database.connect().await;
    let url = writer(database.url()).await;
    let (code, findings) = doctor(&url, &["--no-migrate"]).await;
    assert_eq!(code, 0, "{findings:#?}");
    let (code, findings) = doctor(&url, &[]).await;
    assert_eq!(
        (code, ended(&findings, "failure")),
        (1, vec!["rights"]),
        "{findings:#?}"
    );
    let role = crate::support::writer::ROLE;
    let revoke = format!("REVOKE INSERT ON agent_runs FROM \"{role}\"");
    raw_sql(AssertSqlSafe(revoke))
        .execute(&mut conn)
        .await
        .unwrap();
    let (code, findings) = doctor(&url, &["--no-migrate"]).await;
    assert_eq!(
        (code, ended(&findings, "failure")),
        (1, vec!["rights"]),
        "{findings:#?}"
    );
    assert!(advice(&findings, "rights").contains("runtraced grant --role"));

    let lock = format!(
        "SELECT pg_advisory_lock_shared({EPOCH_LOCK_CLASS}, {})",
        WRITE_EPOCH + 1
    );
    raw_sql(AssertSqlSafe(lock))
        .execute(&mut conn)
        .await
        .unwrap();
    let (code, findings) = doctor(database.url(), &[]).await;
    assert_eq!(
        (code, ended(&findings, "failure")),
        (1, vec!["write epoch"]),
        "{findings:#?}"
    );

    let nowhere = "postgresql://nobody@127.0.0.1:1/traces";
    let (code, findings) = doctor(nowhere, &[]).await;
    assert_eq!(
        (code, ended(&findings, "failure")),
        (1, vec!["database"]),
        "{findings:#?}"
    );
    assert!(advice(&findings, "database").contains("start Postgres there"));
}

/// Scenario: invalid flags; a spool that others can read; a certificate and an authority that are
/// none; addresses beyond loopback without keys.
/// Guarantees: each is told as what it is.
#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_machine_are_told() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let path = dir.path().to_str().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "no PEM").unwrap();
    let text = text.to_str().unwrap();
    let (code, findings) = doctor(
        database.url(),
        &dir.flags(&[
            "--tls-cert",
            text,
            "--tls-key",
            text,
            "--otel-endpoint",
            "https://collector.invalid:4317",
            "--otel-ca",
            text,
            "--insecure",
            "--http-listen",
            "0.0.0.0:0",
        ]),
    )
    .await;
    assert_eq!(
        (code, ended(&findings, "failure")),
        (1, vec!["TLS", "collector"]),
        "{findings:#?}"
    );
    assert!(advice(&findings, "collector").contains("--otel-ca"));
    let warnings = ended(&findings, "warning");
    for check in ["exposure", "spool"] {
        assert!(warnings.contains(&check), "{findings:#?}");
    }
    assert_eq!(advice(&findings, "spool"), format!("chmod 700 {path}"));

    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command.args(["doctor", "--writers", "0", "--linger-ms", "x"]);
    let output = command
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--writers") && said.contains("--linger-ms"),
        "{said}"
    );
}

/// Scenario: readers' policies are off on one table; the reader may not read another; the role has little time for
/// statements; a program listens on the address.
/// Guarantees: each is a line of its own that names the table or the address, or the time that the role has.
#[tokio::test(flavor = "multi_thread")]
async fn faults_that_only_readers_or_the_start_would_meet_are_told() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let url = writer(database.url()).await + "&options=-c%20statement_timeout%3D7s";
    let grant = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(["grant", "--role", crate::support::writer::ROLE, "--reader"])
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(grant.status.success(), "{grant:?}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let dir = SpoolDir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let flags = dir.flags(&["--no-migrate", "--http-listen", &taken]);
    let (code, findings) = doctor(&url, &flags).await;
    assert_eq!(
        (code, ended(&findings, "failure")),
        (1, vec!["addresses"]),
        "{findings:#?}"
    );
    assert!(
        found(&findings, "addresses").contains(&taken),
        "{findings:#?}"
    );
    assert!(advice(&findings, "addresses").contains("--http-listen"));
    assert!(found(&findings, "timeouts").contains("7s"), "{findings:#?}");

    let flags = dir.flags(&["--no-migrate"]);
    let open_steps = format!(
        "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
        pg::tables_of("agent_steps")[0]
    );
    for (change, severity, table) in [
        (
            "REVOKE SELECT ON approvals FROM runtraced_reader",
            "warning",
            "approvals",
        ),
        (&open_steps, "failure", "agent_steps"),
    ] {
        raw_sql(AssertSqlSafe(change.to_owned()))
            .execute(&mut conn)
            .await
            .unwrap();
        let (_, findings) = doctor(&url, &flags).await;
        assert!(
            ended(&findings, severity).contains(&"reader role"),
            "{findings:#?}"
        );
        assert!(
            found(&findings, "reader role").contains(table),
            "{findings:#?}"
        );
    }
}
