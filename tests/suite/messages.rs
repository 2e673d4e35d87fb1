//! What commands and the daemon say when something is wrong: each cause once, and what to do.

use std::process::{Command, Stdio};

use runtraced::postgres::{PrivatePostgres, StopMode};

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started, started_with};
use crate::support::{pg, watchdog};

/// Runs the program without settings of its environment; exit code and stderr.
fn fails(args: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(args)
        .env_remove("DATABASE_URL")
        .env_remove("RUST_LOG")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?}: {said}");
    (output.status.code().unwrap(), said)
}

/// Scenario: every command that reads the database, with a wrong password, to a database that is
/// not there, one without the schema, a closed port, a port that is not Postgres', and with a URL
/// that is none.
/// Guarantees: one line names the cause once and says what to do; no line of any source code, no
/// password.
#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_database_are_said_once_with_what_to_do() {
    let dir = watchdog::scratch_dir("messages");
    let mut server = PrivatePostgres::start(&pg::config(&dir)).await.unwrap();
    let right = server.tcp_url().to_owned();
    let (_, after_at) = right.rsplit_once('@').unwrap();
    let (address, _) = after_at.split_once('/').unwrap();
    let empty = pg::empty_database().await;
    let daemon = Daemon::start(pg::database().await.url()).await;
    let other = daemon.grpc_url().strip_prefix("http://").unwrap();
    let commands: [&[&str]; 6] = [
        &["runs"],
        &["timeline", "0194"],
        &["keys", "list"],
        &["dead-letters", "list"],
        &["migrate"],
        &["grant", "--role", "nobody"],
    ];
    let schema = "run `runtraced migrate` as the owner of the database";
    for (url, code, cause, advice) in [
        (
            format!("postgresql://runtraced:hunter2@{address}/runtraced"),
            69,
            "password authentication failed",
            "correct user and password in --database-url (DATABASE_URL)",
        ),
        (
            right.replace(&format!("{address}/runtraced"), &format!("{address}/nodb")),
            69,
            "database \"nodb\" does not exist",
            "create it, or correct --database-url (DATABASE_URL)",
        ),
        (empty.url().to_owned(), 69, "does not exist", schema),
        (
            "postgresql://me:hunter2@127.0.0.1:1/db".to_owned(),
            69,
            "at 127.0.0.1:1: connection refused",
            "start Postgres there, or correct --database-url (DATABASE_URL)",
        ),
        (
            format!("postgresql://me:hunter2@{other}/db"),
            69,
            "does not speak the Postgres protocol",
            "correct --database-url (DATABASE_URL)",
        ),
        (
            "mysql://me:hunter2@127.0.0.1/db".to_owned(),
            64,
            "--database-url does not start with postgres://",
            "write it like postgresql://user:password@host:5432/database",
        ),
    ] {
        for args in commands {
            // They do not need a schema, or make it.
            if advice == schema && ["migrate", "grant"].contains(&args[0]) {
                continue;
            }
            let (found, said) = fails(args, &[("DATABASE_URL", &url)]);
            assert_eq!(found, code, "{args:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
            assert_eq!(said.matches(cause).count(), 1, "{args:?}: {said}");
            assert!(said.trim_end().ends_with(advice), "{args:?}: {said}");
            for never in ["at line", "sqlx", "os error", "hunter2"] {
                assert!(!said.contains(never), "{args:?}: {said}");
            }
        }
    }
    daemon.finish().await;
    server.stop(StopMode::Fast).await.unwrap();
}

/// Scenario: `serve` with values that cannot be parsed, in flags and in variables, and others that
/// contradict each other.
/// Guarantees: all of them are reported at once, by the name under which they were given; exit
/// code 64.
#[test]
fn serve_reports_every_faulty_value_at_once() {
    let args = [
        "serve",
        "--writers",
        "x",
        "--linger-ms",
        "y",
        "--tls-cert",
        "cert.pem",
        "--spool-bytes",
        "3KiB",
    ];
    let variables = [
        ("RUNTRACED_BATCH_BYTES", "8MX"),
        ("RUNTRACED_NO_MIGRATE", "perhaps"),
        ("RUNTRACED_RUN_TIMEOUT", "1y"),
    ];
    let (code, said) = fails(&args, &variables);
    assert_eq!(code, 64, "{said}");
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "runtraced: --linger-ms y is not a whole number from 0 to 31622400000",
            "runtraced: --spool-bytes 3KiB is below 1MiB, the smallest spool; 0 means no spool",
            "runtraced: --tls-cert needs --tls-key",
            "runtraced: --writers x is not a whole number from 1 to 256",
            "runtraced: RUNTRACED_BATCH_BYTES 8MX is not a size like 1048576, 64MiB or 4GB",
            "runtraced: RUNTRACED_NO_MIGRATE perhaps is not true or false",
            "runtraced: RUNTRACED_RUN_TIMEOUT 1y is not a duration like 30 (seconds), 500ms, 5m or 2h",
        ]
    );
}

/// Scenario: `serve` on a port that is taken, with a spool folder that is a file, with a certificate
/// that is missing; `spool` on a folder that is not there.
/// Guarantees: each cause is said once with what to do; nothing is created.
#[tokio::test(flavor = "multi_thread")]
async fn faults_at_the_start_are_said_once_with_what_to_do() {
    let database = pg::database().await;
    let dir = watchdog::scratch_dir("messages");
    let file = dir.join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let missing = dir.join("missing");
    let missing = missing.to_str().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let serve = [
        "serve",
        "--database-url",
        database.url(),
        "--http-listen",
        "127.0.0.1:0",
    ];
    let any_port = ["--grpc-listen", "127.0.0.1:0"];
    fn with<'a>(serve: &[&'a str], more: &[&'a str], value: &'a str) -> Vec<&'a str> {
        [serve, more, &[value]].concat()
    }
    for (args, says) in [
        (
            with(&serve, &["--grpc-listen"], &taken),
            format!(
                "cannot listen on {taken}: address already in use; stop the process that listens \
                 there, or choose another address (--grpc-listen, --http-listen)"
            ),
        ),
        (
            [&with(&serve, &["--spool-dir"], file)[..], &any_port].concat(),
            format!(
                "the spool folder {file} cannot be used: not a directory; choose another --spool-dir, \
                 or make it a folder that this user can read and write"
            ),
        ),
        (
            [
                &with(
                    &serve,
                    &["--spool-bytes", "0", "--tls-key", "/key", "--tls-cert"],
                    missing,
                )[..],
                &any_port,
            ]
            .concat(),
            format!("TLS: cannot read {missing}: no such file or directory"),
        ),
        (
            vec!["spool", "replay", "--spool-dir", missing],
            format!("there is no spool folder {missing}"),
        ),
        (
            vec!["spool", "ls", "--spool-dir", missing],
            format!(
                "the spool folder {missing} cannot be used: no such file or directory; choose \
                 another --spool-dir, or make it a folder that this user can read and write"
            ),
        ),
    ] {
        let (code, said) = fails(&args, &[]);
        assert_eq!(
            (code, said),
            (1, format!("runtraced: {says}\n")),
            "{args:?}"
        );
    }
    drop(listener);
    assert!(!std::path::Path::new(missing).exists());
}

/// Scenario: agents, runs and customers have names that would act on a terminal, reorder text or make lines.
/// Guarantees: the tables of commands show them on one line each, and no such character reaches the terminal.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_acts_on_the_terminal_that_lists_it() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let hostile = format!("{}\u{1b}[2J\r\n\u{7}\u{202e}exe.{}", "a", "b".repeat(90));
    let run = new_id();
    let begun = started_with(run_started(0, run), |start| {
        start.agent_id = hostile.clone();
        start.name = Some(hostile.clone());
    });
    assert_eq!(daemon.submit(vec![begun]).await.refused, []);
    for command in [
        &["customers", "add", "--name", &hostile][..],
        &["keys", "create", "--name", &hostile],
        &["runs"],
        &["customers", "list"],
        &["keys", "list"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .args(command)
            .env("DATABASE_URL", database.url())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let acts = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(acts), "{text:?}");
        let is_list = ["runs", "list"].contains(command.last().unwrap());
        assert!(!is_list || text.lines().count() == 3, "{text}");
    }
    daemon.finish().await;
}
