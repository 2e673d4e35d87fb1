//! The demo, and its runs through the reading commands.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use runtraced::cli::demo::{Story, story};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    daemon::Daemon,
    pg::{self, TestDatabase},
    tables, watchdog,
};

/// 2025-01-31 12:00:00 UTC: in a past year, so that the output does not depend on the day.
const BEGIN_US: i64 = 1_738_324_800_000_000;

/// The story with ids 1, 2, 3 …, in a database of its own.
async fn told() -> (TestDatabase, Story) {
    let mut number = 0_u128;
    let story = story(BEGIN_US, &mut || {
        number += 1;
        Uuid::from_u128(number)
    });
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let events = story.scenes.iter().flat_map(|scene| scene.events.clone());
    let outcome = daemon.submit(events.collect()).await;
    assert_eq!(outcome.refused, []);
    daemon.finish().await;
    (database, story)
}

fn runtraced(database_url: &str, args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(args)
        .env("DATABASE_URL", database_url)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        status.code().unwrap(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

#[tokio::test]
async fn the_demos_runs_look_as_reviewed() {
    let (database, story) = told().await;
    let mut shown = String::new();
    for run in [story.renewal, story.contract, story.outreach] {
        let (code, text, error) = runtraced(database.url(), &["timeline", &run.to_string()]);
        assert_eq!((code, error.as_str()), (0, ""));
        shown.push_str(&text);
        shown.push('\n');
    }
    insta::assert_snapshot!("waterfalls", shown);
    let (code, table, _) = runtraced(database.url(), &["runs"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("runs", table);

    let mut rows = Vec::new();
    let mut connection = database.connect().await;
    for run in [story.renewal, story.contract, story.outreach] {
        let query = format!(
            "SELECT jsonb_agg(concat_ws(' | ', position, repeat('  ', depth) || item, kind, name, status,
                offset_ms, duration_ms, tokens_input, tokens_cache_read, tokens_output, error,
                coalesce(content, output::text), flags) ORDER BY position)
             FROM run_timeline WHERE run_id = '{run}'"
        );
        let Value::Array(lines) = tables::value(&mut connection, &query).await else {
            panic!("no rows");
        };
        rows.extend(lines.iter().map(|line| line.as_str().unwrap().to_owned()));
        rows.push(String::new());
    }
    insta::assert_snapshot!("timelines", rows.join("\n"));
}

#[tokio::test]
async fn the_reading_commands_find_filter_and_explain() {
    let (database, story) = told().await;
    let url = database.url();

    let (_, json, _) = runtraced(url, &["runs", "--json", "--status", "failed"]);
    let runs: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{json}");
    assert_eq!(runs[0]["run_id"], story.contract.to_string());
    let (_, json, _) = runtraced(
        url,
        &["runs", "--json", "--limit", "1", "--agent", "email-writer"],
    );
    assert!(json.contains("Write to Dana Reyes"), "{json}");
    let (_, text, _) = runtraced(url, &["runs", "--without-start"]);
    assert_eq!(text, "No runs.\n");

    let run = story.outreach.to_string();
    let (code, json, _) = runtraced(url, &["timeline", "--json", &run]);
    let timeline: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &timeline["run"]["waiting_ms"]),
        (0, &Value::from(2_000))
    );
    let kinds = timeline["timeline"].as_array().unwrap();
    assert!(kinds.iter().any(|row| row["item"] == "approval"), "{json}");
    let (_, narrow, _) = runtraced(url, &["timeline", &run, "--width", "10"]);
    assert!(narrow.contains("│    ░░░░░░│"), "{narrow}");

    let (code, full, error) = runtraced(url, &["timeline", &run, "--full"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let (_, drawing, _) = runtraced(url, &["timeline", &run]);
    assert!(
        full.starts_with(&drawing),
        "the drawing comes first: {full}"
    );
    for line in [
        "    output: Dana Reyes was written to; reply tracked.",
        "✓ step  find_stakeholder (tool_call) · completed in 240 ms · at 340 ms",
        "    input: {\"role\": \"sponsor\"}",
        "✓ approval  Send the email to Dana Reyes (send_email) · approved after 2.0 s · at 2.1 s",
        "    notes: Good. Send it today.",
    ] {
        assert!(full.lines().any(|shown| shown == line), "{line}\n{full}");
    }
    let contract = story.contract.to_string();
    let (_, full, _) = runtraced(url, &["timeline", &contract, "--full"]);
    for line in [
        "    error: globex-2026.pdf is encrypted: a password is needed",
        "    text: Take the entitlements from globex-2026.pdf.",
    ] {
        assert!(full.lines().any(|shown| shown == line), "{line}\n{full}");
    }
    assert_eq!(
        runtraced(url, &["timeline", &run, "--full", "--json"]).0,
        64
    );

    // The ids are small numbers: all begin with the same digits.
    let (code, _, error) = runtraced(url, &["timeline", "0000"]);
    assert_eq!(code, 1);
    assert!(error.contains(&story.renewal.to_string()), "{error}");
    let (code, _, error) = runtraced(url, &["timeline", "ffff"]);
    assert_eq!(
        (code, error.as_str()),
        (
            1,
            "runtraced: no such run; `runtraced runs` lists the latest ones\n"
        )
    );
    assert_eq!(runtraced(url, &["timeline", "nonsense"]).0, 64);

    let (code, text, error) = runtraced(
        url,
        &["psql", "-At", "-c", "SELECT count(*) FROM run_summary"],
    );
    assert_eq!((code, text.as_str()), (0, "4\n"), "{error}");

    let nobody = "postgresql://me:secret@127.0.0.1:1/db";
    for command in ["runs", "psql"] {
        let (code, _, error) = runtraced(nobody, &[command]);
        assert_ne!(code, 0, "{command}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// `runtraced demo`, with a temporary place of its own.
fn demo(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command
        .arg("demo")
        .env("TMPDIR", dir)
        // Somebody's daemon is configured here; the demo must not touch it.
        .env("DATABASE_URL", "postgresql://me@127.0.0.1:1/precious")
        .env("RUNTRACED_GRPC_LISTEN", "nowhere")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// No file, and no process that was started on one.
fn assert_nothing_left(dir: &Path) {
    let files: Vec<_> = fs::read_dir(dir).unwrap().collect();
    assert!(files.is_empty(), "{files:?}");
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        // Watchdogs of the tests name the folder above.
        assert!(
            !command.contains(&format!("{}/", dir.display())),
            "{command}"
        );
    }
}

#[tokio::test]
async fn the_demo_shows_three_runs_and_leaves_nothing() {
    let dir = watchdog::scratch_dir("demo");
    let Output {
        status,
        stdout,
        stderr,
    } = demo(&dir).output().unwrap();
    let out = String::from_utf8(stdout).unwrap();
    let err = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{out}{err}");
    assert_eq!(err, "");
    assert!(!out.contains('\u{1b}'), "no colours where no terminal is");
    for expected in [
        "psql 'postgresql://",
        "▸ tool  usage_report",
        "running for",
        "54 events over 4 streams",
        "✓ Renewal brief for Acme Corp — renewal-assistant (assistant) · completed in",
        "✗ Read the contract of Globex — contract-reader (extractor) · failed in",
        "approved: Good. Send it today.",
        "risk-responder     Respond to a churn risk at Initech",
    ] {
        assert!(out.contains(expected), "no {expected:?} in\n{out}");
    }
    assert_nothing_left(&dir);
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing() {
    for (signal, after_ms) in [("INT", 200), ("TERM", 1_500), ("INT", 6_000)] {
        let dir = watchdog::scratch_dir("demo");
        let child = demo(&dir).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        pg::send(child.id(), signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{signal} after {after_ms} ms: {output:?}"
        );
        assert_nothing_left(&dir);
    }
}
