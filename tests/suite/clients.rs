//! The client packages, each against a real daemon. Their own tests run here too, so that
//! `make test` runs everything.

mod examples;
mod faults;
mod python;
mod rows;
mod rust;
mod typescript;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::daemon::Daemon;
use crate::support::pg::{self, TestDatabase};

/// Variables that change what a client does. A test sets those that it means.
const VARIABLES: [&str; 4] = [
    "RUNTRACED_ENDPOINT",
    "RUNTRACED_KEY",
    "RUNTRACED_SPOOL",
    "RUNTRACED_DISABLED",
];

/// A daemon with a database of its own, and how a client finds it.
struct ClientStage {
    database: TestDatabase,
    daemon: Daemon,
}

impl ClientStage {
    async fn start() -> Self {
        let database = pg::database().await;
        let daemon = Daemon::start(database.url()).await;
        Self { database, daemon }
    }

    /// The address of the HTTP endpoint, as `RUNTRACED_ENDPOINT` names it.
    fn endpoint(&self) -> String {
        format!("http://{}", self.daemon.http_address())
    }

    /// A program in the folder of a package, whose client sends to this daemon.
    fn command(&self, program: &str, package: &str) -> Command {
        let mut command = Command::new(program);
        for name in VARIABLES {
            command.env_remove(name);
        }
        command
            .env("RUNTRACED_ENDPOINT", self.endpoint())
            // Its tests may look at what is stored.
            .env("RUNTRACED_TEST_DATABASE", self.database.url())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(folder(package))
            .stdin(Stdio::null());
        command
    }
}

/// `clients/NAME`.
fn folder(package: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("clients").join(package)
}

/// Runs a program to its end and returns what it printed. It must succeed.
async fn run(command: Command) -> String {
    output(command).await.0
}

/// As [`run`]: stdout and stderr.
async fn output(mut command: Command) -> (String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{}\n{said}\n{complained}",
        output.status
    );
    (said, complained)
}

/// Scenario: `RUNTRACED_ENDPOINT` names the gRPC endpoint, for a program that records a run.
/// Guarantees: the program ends well, and stderr says that its events are lost, and which port
/// they are meant for.
async fn check_wrong_port(stage: &ClientStage, mut command: Command) {
    command.env("RUNTRACED_ENDPOINT", stage.daemon.grpc_url());
    let (_, complained) = output(command).await;
    for part in [
        "events are lost",
        "only gRPC",
        "to the HTTP port (default 4318)",
    ] {
        assert!(complained.contains(part), "{complained}");
    }
}
