//! `runtraced send` against the real daemon.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::support::{daemon::Daemon, pg, process::runtraced, tables, watchdog};

fn send(endpoint: &str, file: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command
        .args(["send", file, "--endpoint", endpoint])
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (
        status.code().unwrap(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

fn file(name: &str, content: &str) -> String {
    let path = watchdog::scratch_dir("send").join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn step(run: Uuid, name: &str) -> String {
    format!(
        r#"{{"time":"2026-01-01T00:00:01Z","step_ended":{{"step_id":"{}","run_id":"{run}","status":"END_STATUS_COMPLETED","details":{{"step_type":"STEP_TYPE_TOOL_CALL","name":"{name}"}}}}}}"#,
        Uuid::now_v7()
    )
}

#[tokio::test]
async fn each_line_is_accepted_known_or_refused_with_its_number() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let id = Uuid::now_v7();
    let lines = [
        format!(
            r#"{{"time":"2026-01-01T00:00:00Z","runStarted":{{"runId":"{id}","agentId":"a","agentType":"t","metadataJson":{{"b":1.50,"a":null}}}}}}"#
        ),
        String::new(),
        "{\"time\": yesterday}".to_owned(),
        step(id, "kept \\ud800"),
        r#"{"time":"2026-01-01T00:00:01Z","heartbeat":{}}"#.to_owned(),
        "   ".to_owned(),
        r#"{"heartbeat":{"runid":""}}"#.to_owned(),
        format!(
            r#"{{"time":"2026-01-01T00:00:02Z","heartbeat":{{"run_id":"{}"}}}}"#,
            "x".repeat(600)
        ),
        format!(
            r#"{{"time":"2026-01-01T00:00:02Z","runEnded":{{"runId":"{id}","status":1,"output":"done"}}}}"#
        ),
    ];
    let file = file("events.jsonl", &lines.join("\n"));
    let (code, out, err) = run(send(daemon.grpc_url(), &file).args(["--max-line-bytes", "500"]));
    let refused = "  line 3: column 10: expected value\n  \
         line 5: MISSING_FIELD: run_id is missing\n  \
         line 7: column 21: unknown field `runid` in Heartbeat\n  \
         line 8: longer than 500 bytes\n";
    assert_eq!(
        out,
        format!("3 accepted, 0 duplicate, 4 refused\n{refused}")
    );
    assert_eq!((code, err.as_str()), (1, ""), "no bar where no terminal is");

    let mut connection = database.connect().await;
    let query = "SELECT metadata::text FROM agent_runs";
    let metadata = tables::value(&mut connection, query).await;
    assert_eq!(metadata, r#"{"a": null, "b": 1.50}"#);
    let query = "SELECT name FROM agent_steps";
    assert_eq!(tables::value(&mut connection, query).await, "kept \u{FFFD}");
    let query = "SELECT status FROM agent_runs";
    assert_eq!(tables::value(&mut connection, query).await, "completed");

    let (code, out, _) = run(send(daemon.grpc_url(), &file).args([
        "--max-line-bytes",
        "500",
        "--max-refused-shown",
        "1",
    ]));
    assert_eq!(
        out,
        "0 accepted, 3 duplicate, 4 refused\n  \
         line 3: column 10: expected value\n  and 3 more\n"
    );
    assert_eq!(code, 1);
    daemon.finish().await;
}

/// Scenario: `RUNTRACED_ENDPOINT` is set for the Python and TypeScript clients, to the HTTP
/// endpoint; then to that of a daemon that requires keys.
/// Guarantees: `runtraced send` sends to the same daemon, with its key. Without one it says what
/// is missing.
#[tokio::test]
async fn one_variable_serves_the_command_line_and_the_packages() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let file = file("one.jsonl", &step(Uuid::now_v7(), "x"));
    let sent = |daemon: &Daemon, key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
        command
            .args(["send", &file])
            .env(
                "RUNTRACED_ENDPOINT",
                format!("http://{}", daemon.http_address()),
            )
            .env("RUNTRACED_KEY", key)
            .stdin(Stdio::null());
        run(&mut command)
    };
    let told = |line: &str| (0, format!("{line}\n"), String::new());
    assert_eq!(
        sent(&daemon, ""),
        told("1 accepted, 0 duplicate, 0 refused")
    );
    daemon.finish().await;
    let (code, said) = runtraced(&["keys", "create", "--name", "a"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let key = said.lines().find(|line| line.starts_with("rt_")).unwrap();
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    assert_eq!(
        sent(&daemon, key),
        told("0 accepted, 1 duplicate, 0 refused")
    );
    let (code, _, complained) = sent(&daemon, "");
    assert_eq!(code, 69);
    assert!(
        complained.contains("give a valid key in RUNTRACED_KEY"),
        "{complained}"
    );
    daemon.finish().await;
}

#[tokio::test]
async fn many_small_batches_in_flight_arrive_once() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let id = Uuid::now_v7();
    let lines: Vec<String> = (0..3_000).map(|n| step(id, &n.to_string())).collect();
    let file = file("many.jsonl", &lines.join("\n"));
    let mut command = send(daemon.grpc_url(), &file);
    let (code, out, err) = run(command.args(["--batch-events", "7", "--in-flight", "5"]));
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "3,000 accepted, 0 duplicate, 0 refused\n", "")
    );
    let mut connection = database.connect().await;
    assert_eq!(tables::count(&mut connection, "agent_steps").await, 3_000);
    daemon.finish().await;
}

#[tokio::test]
async fn lines_from_a_pipe_arrive_while_it_is_open() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut connection = database.connect().await;
    let mut child = send(daemon.grpc_url(), "-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    writeln!(pipe, "{}", step(Uuid::now_v7(), "live")).unwrap();
    let began = Instant::now();
    while tables::count(&mut connection, "agent_steps").await == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing arrives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"1 accepted, 0 duplicate, 0 refused\n");
    daemon.finish().await;
}

#[test]
fn exit_codes_tell_wrong_use_from_absence() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let file = file("one.jsonl", &step(Uuid::now_v7(), "x"));
    let (code, _, err) = run(send(&nobody, &file).args(["--give-up-after", "1"]));
    assert_eq!(code, 69, "{err}");
    let refused = format!("runtraced: no daemon answers at {nobody}: connection refused; ");
    assert_eq!(
        err.lines().collect::<Vec<_>>(),
        [
            format!("{refused}retrying for up to 1s"),
            format!(
                "{refused}start it with `runtraced serve`, or correct --endpoint \
                 (RUNTRACED_ENDPOINT)"
            ),
        ]
    );
    let (code, _, err) = run(&mut send("127.0.0.1:4317", &file));
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("write http://127.0.0.1:4317"), "{err}");
    let (code, _, err) = run(&mut send(&nobody, "/nowhere/events.jsonl"));
    assert_eq!(code, 66, "{err}");
    let (code, _, err) = run(send(&nobody, &file).args(["--batch-events", "0"]));
    assert_eq!(code, 64, "{err}");
    let (code, _, err) = run(&mut send(&nobody, "/"));
    assert_eq!(
        (code, &*err),
        (66, "runtraced: cannot read /: is a directory\n")
    );
}

/// Scenario: nobody listens, and the command may retry for a minute.
/// Guarantees: it says so at once, with the address and how long it will retry.
#[test]
fn a_daemon_that_does_not_answer_is_reported_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let file = file("one.jsonl", &step(Uuid::now_v7(), "x"));
    let mut child = send(&nobody, &file)
        .args(["--give-up-after", "1m"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut line = String::new();
    let stderr = child.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(
        line,
        format!(
            "runtraced: no daemon answers at {nobody}: connection refused; \
             retrying for up to 60s\n"
        )
    );
}

/// Scenario: several flags and variables with values that cannot be parsed.
/// Guarantees: each is reported, by the name under which it was given; sizes take units.
#[test]
fn all_faulty_values_are_reported_at_once() {
    let file = file("one.jsonl", "");
    let mut command = send("nowhere", &file);
    command
        .args(["--batch-events", "x", "--max-line-bytes", "3MX"])
        .env("RUNTRACED_SEND_IN_FLIGHT", "many");
    let (code, out, err) = run(&mut command);
    assert_eq!((code, &*out), (64, ""));
    assert_eq!(
        err.lines().collect::<Vec<_>>(),
        [
            "runtraced: --endpoint: `nowhere` is not the address of a daemon: \
             write http://nowhere, or https://nowhere for a daemon with TLS",
            "runtraced: --batch-events x is not a whole number from 1 to 100000",
            "runtraced: RUNTRACED_SEND_IN_FLIGHT many is not a whole number from 1 to 10000",
            "runtraced: --max-line-bytes 3MX is not a size like 1048576, 64MiB or 4GB",
        ]
    );
}
