//! The example in Python, against the real daemon.

use std::process::Command;

use serde_json::json;

use crate::support::{
    daemon::Daemon,
    pg, tables,
    venv::{Example, run},
};

#[tokio::test]
async fn a_python_program_with_nothing_but_grpcio_traces_a_run() {
    let example = match Example::prepare("python") {
        Ok(example) => example,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let output = run(Command::new(example.bin.join("python"))
        .arg(example.folder.join("trace_agent.py"))
        .args(["--endpoint", daemon.grpc_url()]))
    .unwrap();
    assert!(output.contains("submit: 1 event committed"), "{output}");
    assert!(
        output.contains("ack: up to batch 14, committed"),
        "{output}"
    );
    let (_, run) = output.trim_end().rsplit_once("run: ").unwrap();

    let mut connection = database.connect().await;
    let query = format!(
        "SELECT status, finalized_by, agent_id, steps, failed_steps, llm_calls, messages,
                tokens_input, tokens_output, tokens_cache_read, tokens_reasoning, open_steps
         FROM run_summary WHERE run_id = '{run}'"
    );
    assert_eq!(
        tables::row(&mut connection, &query).await,
        json!({
            "status": "completed", "finalized_by": "client", "agent_id": "account-helper",
            "steps": 5, "failed_steps": 1, "llm_calls": 2, "messages": 2,
            "tokens_input": 4150, "tokens_output": 244, "tokens_cache_read": 2048,
            "tokens_reasoning": 32, "open_steps": 0
        })
    );
    let query =
        "SELECT title FROM agent_sessions JOIN agent_runs r ON r.session_id = agent_sessions.id";
    assert_eq!(
        tables::value(&mut connection, query).await,
        "Questions about Acme"
    );
    let query = "SELECT error FROM agent_steps WHERE status = 'failed'";
    assert_eq!(
        tables::value(&mut connection, query).await,
        "TimeoutError: the help desk did not answer"
    );
    daemon.finish().await;
}
