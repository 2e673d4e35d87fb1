//! The example in Python, against the real daemon.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::json;

use crate::support::{daemon::Daemon, pg, tables};

#[tokio::test]
async fn a_python_program_with_nothing_but_grpcio_traces_a_run() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python");
    let python = match environment(&example) {
        Ok(python) => python,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let output = run(Command::new(&python)
        .arg(example.join("trace_agent.py"))
        .args(["--endpoint", daemon.grpc_url()])
        .env("PYTHONDONTWRITEBYTECODE", "1"))
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

/// A Python with the example's requirements, kept between test runs.
fn environment(example: &Path) -> Result<PathBuf, String> {
    let wanted = fs::read_to_string(example.join("requirements.txt")).unwrap();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-example");
    let python = dir.join("bin/python");
    let complete = dir.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|made_with| made_with == wanted) {
        return Ok(python);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&dir))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args([
            "--timeout",
            "20",
            "--retries",
            "1",
            "--only-binary",
            ":all:",
        ])
        .arg("-r")
        .arg(example.join("requirements.txt")))?;
    fs::write(complete, wanted).unwrap();
    Ok(python)
}

/// Runs a program; its stdout, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&stderr);
        Err(format!("{command:?}: {status}: {stderr}"))
    }
}
