//! The agents in `examples/python`, as a person runs them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::python::python;
use super::{ClientStage, run};
use crate::support::tables;

/// Runs an example while a person decides, and returns what it printed and its run.
async fn play(stage: &ClientStage, program: &str, status: &str, notes: &str) -> (String, String) {
    let python = python().unwrap();
    let mut command = stage.command(python, "python");
    command.current_dir(examples()).arg(program);
    let agent = tokio::spawn(run(command));
    let mut connection = stage.database.connect().await;
    let pending = "SELECT count(*) AS pending FROM approvals WHERE status = 'pending'";
    tables::eventually(&mut connection, pending, json!({"pending": 1})).await;
    let decide =
        "UPDATE approvals SET status = $1, notes = $2, decided_at = now() WHERE status = 'pending'";
    let decided = sqlx::query(decide).bind(status).bind(notes);
    decided.execute(&mut connection).await.unwrap();
    let printed = agent.await.unwrap();
    let (text, run) = printed.trim_end().rsplit_once("run: ").unwrap();
    (text.to_owned(), run.to_owned())
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python")
}

/// What the README says that an example prints, before the id of its run.
fn promised(mark: &str) -> String {
    let readme = fs::read_to_string(examples().join("README.md")).unwrap();
    let (_, after) = readme
        .split_once(&format!("<!-- {mark} -->\n```text\n"))
        .unwrap();
    let (text, _) = after.split_once("run: ").unwrap();
    text.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_with_openai_refunds_what_a_person_approved() {
    if python().is_none() {
        return;
    }
    let stage = ClientStage::start().await;
    let (printed, id) = play(&stage, "openai_agent.py", "approved", "").await;
    assert_eq!(printed, promised("openai"));
    let mut connection = stage.database.connect().await;
    let query = format!(
        "SELECT agent_id, status, parent_run_id = '{id}' AS is_child, llm_calls, tool_calls, messages,
                tokens_input, tokens_cache_read, tokens_output, approvals, open_steps
         FROM run_summary WHERE run_id = '{id}' OR parent_run_id = '{id}' ORDER BY started_at OFFSET "
    );
    assert_eq!(
        tables::row(&mut connection, &format!("{query} 0")).await,
        json!({
            "agent_id": "support", "status": "completed", "is_child": null, "llm_calls": 1, "tool_calls": 1,
            "messages": 2, "tokens_input": 160, "tokens_cache_read": 96, "tokens_output": 20, "approvals": 0,
            "open_steps": 0
        })
    );
    assert_eq!(
        tables::row(&mut connection, &format!("{query} 1")).await,
        json!({
            "agent_id": "refunds", "status": "completed", "is_child": true, "llm_calls": 2, "tool_calls": 1,
            "messages": 4, "tokens_input": 320, "tokens_cache_read": 192, "tokens_output": 40, "approvals": 1,
            "open_steps": 0
        })
    );
    stage.daemon.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_with_anthropic_sends_no_mail_that_a_person_rejected() {
    if python().is_none() {
        return;
    }
    let stage = ClientStage::start().await;
    let (printed, id) = play(&stage, "anthropic_agent.py", "rejected", "Too early.").await;
    assert_eq!(printed, promised("anthropic"));
    let mut connection = stage.database.connect().await;
    let query = format!(
        "SELECT agent_id, status, llm_calls, tool_calls, messages, tokens_input, tokens_cache_read, tokens_output
         FROM run_summary WHERE run_id = '{id}' OR parent_run_id = '{id}' ORDER BY started_at OFFSET "
    );
    assert_eq!(
        tables::row(&mut connection, &format!("{query} 0")).await,
        json!({
            "agent_id": "renewal-assistant", "status": "completed", "llm_calls": 1, "tool_calls": 2, "messages": 2,
            "tokens_input": 160, "tokens_cache_read": 100, "tokens_output": 25
        })
    );
    assert_eq!(
        tables::row(&mut connection, &format!("{query} 1")).await,
        json!({
            "agent_id": "writer", "status": "completed", "llm_calls": 1, "tool_calls": 0, "messages": 2,
            "tokens_input": 160, "tokens_cache_read": 100, "tokens_output": 25
        })
    );
    stage.daemon.finish().await;
}
