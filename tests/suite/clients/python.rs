//! The package in `clients/python`, installed from a wheel in an environment of its own.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use super::{ClientStage, VARIABLES, check_wrong_port, faults, folder, rows, run};
use crate::support::{needed, tables};

/// The Python of an environment with the client, or why there is none.
static PYTHON: LazyLock<Result<String, String>> = LazyLock::new(|| {
    needed::program("python3")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/python-client.sh");
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-client");
    let said = needed::run(Command::new(script).arg(environment))?;
    Ok(said.trim().to_owned())
});

/// The Python, or none if the test is skipped.
pub fn python() -> Option<&'static str> {
    needed::or_skip(PYTHON.as_deref().map_err(String::clone))
}

/// Scenario: the tests of the package run, and the strictest type checker reads it.
/// Guarantees: they pass.
#[tokio::test(flavor = "multi_thread")]
async fn the_tests_of_the_python_package_pass() {
    let Some(python) = python() else { return };
    let arguments: [&[&str]; 2] = [
        &["-m", "mypy", "--cache-dir=/dev/null"],
        &[
            "-W",
            "ignore::ResourceWarning",
            "-m",
            "unittest",
            "discover",
            "-s",
            "tests",
            "-t",
            ".",
        ],
    ];
    for arguments in arguments {
        let mut command = Command::new(python);
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(folder("python"));
        run(command).await;
    }
}

/// Scenario: Python makes the calls of all conformance cases.
/// Guarantees: the rows are those that the events of the cases make.
#[tokio::test(flavor = "multi_thread")]
async fn python_leaves_the_rows_of_the_conformance_cases() {
    let Some(python) = python() else { return };
    let stage = ClientStage::start().await;
    let mut command = stage.command(python, "python");
    command.args(["-m", "tests.conformance"]).arg(rows::cases());
    run(command).await;
    rows::assert_as_expected(&stage).await;
    stage.daemon.finish().await;
}

/// Scenario: faults between Python processes and Postgres.
/// Guarantees: those of [`faults::check`].
#[tokio::test(flavor = "multi_thread")]
async fn what_python_knew_to_be_settled_survives_every_fault() {
    let Some(python) = python() else { return };
    faults::check(|endpoint| {
        let mut command = Command::new(python);
        command
            .args(["-m", "tests.worker"])
            .env("RUNTRACED_ENDPOINT", endpoint)
            .current_dir(folder("python"));
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_says_that_it_has_the_wrong_port() {
    let Some(python) = python() else { return };
    let stage = ClientStage::start().await;
    let mut command = stage.command(python, "python");
    command.args(["-c", "import runtraced\nwith runtraced.run('a'): pass"]);
    check_wrong_port(&stage, command).await;
    stage.daemon.finish().await;
}

/// Scenario: an agent in Python asks a person, who decides in the database.
/// Guarantees: the agent goes on with the decision and its notes.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_python_waits_for_a_person() {
    let Some(python) = python() else { return };
    let stage = ClientStage::start().await;
    let mut command = stage.command(python, "python");
    command.args(["-c", ASKS]);
    let agent = tokio::spawn(run(command));
    let mut connection = stage.database.connect().await;
    let pending = "SELECT count(*) AS pending FROM approvals WHERE status = 'pending'";
    tables::eventually(&mut connection, pending, serde_json::json!({"pending": 1})).await;
    sqlx::query("UPDATE approvals SET status = 'approved', notes = 'Good.', decided_at = now()")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(agent.await.unwrap(), "True approved Good.\n0\n");
    stage.daemon.finish().await;
}

const ASKS: &str = "
import runtraced
with runtraced.run('asks') as run:
    decision = run.approval('Send the mail?', {'to': 'dana'}).wait(60)
    print(bool(decision), decision.status, decision.notes)
print(runtraced.flush(10))
";
