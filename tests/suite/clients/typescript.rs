//! The package in `clients/typescript`, built from its sources, and the agents in
//! `examples/typescript`, as a person runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::json;
use sqlx::PgConnection;

use super::{ClientStage, VARIABLES, check_wrong_port, faults, folder, rows, run};
use crate::support::{needed, tables};

/// Installs the packages and builds the client and the examples, once. Or why that fails.
static BUILT: LazyLock<Result<(), String>> = LazyLock::new(|| {
    needed::program("node")?;
    needed::program("npm")?;
    let script = root().join("scripts/install-node-packages.sh");
    needed::run(&mut Command::new(script)).map(drop)
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether the client is built. Otherwise the test is skipped.
fn is_built() -> bool {
    needed::or_skip(BUILT.clone()).is_some()
}

/// Scenario: the tests of the package run.
/// Guarantees: they pass.
#[tokio::test(flavor = "multi_thread")]
async fn the_tests_of_the_typescript_package_pass() {
    if !is_built() {
        return;
    }
    let tests = folder("typescript").join("test");
    let files = fs::read_dir(tests)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    let mut command = Command::new("node");
    for name in VARIABLES {
        command.env_remove(name);
    }
    command
        .args(["--experimental-vm-modules", "--test"])
        .args(files)
        .current_dir(folder("typescript"))
        .stdin(Stdio::null());
    run(command).await;
}

/// Scenario: TypeScript makes the calls of all conformance cases.
/// Guarantees: the rows are those that the events of the cases make.
#[tokio::test(flavor = "multi_thread")]
async fn typescript_leaves_the_rows_of_the_conformance_cases() {
    if !is_built() {
        return;
    }
    let stage = ClientStage::start().await;
    let mut command = stage.command("node", "typescript");
    command.arg("test/programs/conformance.mjs");
    run(command).await;
    rows::assert_as_expected(&stage).await;
    stage.daemon.finish().await;
}

/// Scenario: faults between Node processes and Postgres.
/// Guarantees: those of [`faults::check`].
#[tokio::test(flavor = "multi_thread")]
async fn what_typescript_knew_to_be_settled_survives_every_fault() {
    if !is_built() {
        return;
    }
    faults::check(|endpoint| {
        let mut command = Command::new("node");
        for name in VARIABLES {
            command.env_remove(name);
        }
        command
            .arg("test/programs/worker.mjs")
            .env("RUNTRACED_ENDPOINT", endpoint)
            .current_dir(folder("typescript"));
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typescript_says_that_it_has_the_wrong_port() {
    if !is_built() {
        return;
    }
    let stage = ClientStage::start().await;
    let mut command = stage.command("node", "typescript");
    command.args(["test/programs/ends.mjs", "returns"]);
    check_wrong_port(&stage, command).await;
    stage.daemon.finish().await;
}

/// Scenario: an agent in TypeScript asks a person, who decides in the database.
/// Guarantees: the agent goes on with the decision and its notes.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_typescript_waits_for_a_person() {
    if !is_built() {
        return;
    }
    let stage = ClientStage::start().await;
    let mut command = stage.command("node", "typescript");
    command.arg("test/programs/ask.mjs");
    let agent = tokio::spawn(run(command));
    decide(&mut stage.database.connect().await, "approved", "Good.").await;
    assert_eq!(agent.await.unwrap(), "true approved Good.\n0\n");
    stage.daemon.finish().await;
}

/// Waits until an approval is asked for, and decides it.
async fn decide(connection: &mut PgConnection, status: &str, notes: &str) {
    let pending = "SELECT count(*) AS pending FROM approvals WHERE status = 'pending'";
    tables::eventually(connection, pending, json!({"pending": 1})).await;
    let decide =
        "UPDATE approvals SET status = $1, notes = $2, decided_at = now() WHERE status = 'pending'";
    let decided = sqlx::query(decide).bind(status).bind(notes);
    decided.execute(connection).await.unwrap();
}

/// Runs an example while a person decides. What it must print is in its README.
async fn play(stage: &ClientStage, example: &str, status: &str, notes: &str) -> String {
    let examples = root().join("examples/typescript");
    let mut command = stage.command("node", "typescript");
    command
        .current_dir(&examples)
        .arg(format!("dist/{example}_agent.js"));
    let agent = tokio::spawn(run(command));
    decide(&mut stage.database.connect().await, status, notes).await;
    let printed = agent.await.unwrap();
    let (text, run) = printed.trim_end().rsplit_once("run: ").unwrap();

    let readme = fs::read_to_string(examples.join("README.md")).unwrap();
    let mark = format!("<!-- {example} -->\n```text\n");
    let (_, promised) = readme.split_once(&mark).unwrap();
    let (promised, _) = promised.split_once("run: ").unwrap();
    assert_eq!(text, promised);
    run.to_owned()
}

/// The run of an example, and the run of its sub-agent.
async fn summaries(stage: &ClientStage, run: &str) -> [serde_json::Value; 2] {
    let mut connection = stage.database.connect().await;
    let query = format!(
        "SELECT agent_id, status, llm_calls, tool_calls, messages, tokens_input, tokens_cache_read, tokens_output,
                approvals, open_steps
         FROM run_summary WHERE run_id = '{run}' OR parent_run_id = '{run}' ORDER BY started_at OFFSET "
    );
    [
        tables::row(&mut connection, &format!("{query} 0")).await,
        tables::row(&mut connection, &format!("{query} 1")).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_with_openai_in_typescript_refunds_what_a_person_approved() {
    if !is_built() {
        return;
    }
    let stage = ClientStage::start().await;
    let run = play(&stage, "openai", "approved", "").await;
    assert_eq!(
        summaries(&stage, &run).await,
        [
            json!({
                "agent_id": "support", "status": "completed", "llm_calls": 1, "tool_calls": 1, "messages": 2,
                "tokens_input": 160, "tokens_cache_read": 96, "tokens_output": 20, "approvals": 0, "open_steps": 0
            }),
            json!({
                "agent_id": "refunds", "status": "completed", "llm_calls": 2, "tool_calls": 1, "messages": 4,
                "tokens_input": 320, "tokens_cache_read": 192, "tokens_output": 40, "approvals": 1, "open_steps": 0
            }),
        ]
    );
    stage.daemon.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_with_the_vercel_sdk_sends_no_mail_that_a_person_rejected() {
    if !is_built() {
        return;
    }
    let stage = ClientStage::start().await;
    let run = play(&stage, "vercel", "rejected", "Too early.").await;
    assert_eq!(
        summaries(&stage, &run).await,
        [
            json!({
                "agent_id": "renewal-assistant", "status": "completed", "llm_calls": 2, "tool_calls": 2, "messages": 5,
                "tokens_input": 320, "tokens_cache_read": 192, "tokens_output": 40, "approvals": 1, "open_steps": 0
            }),
            json!({
                "agent_id": "writer", "status": "completed", "llm_calls": 1, "tool_calls": 0, "messages": 2,
                "tokens_input": 160, "tokens_cache_read": 96, "tokens_output": 20, "approvals": 0, "open_steps": 0
            }),
        ]
    );
    stage.daemon.finish().await;
}
