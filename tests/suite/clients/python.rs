//! The package in `clients/python`.

use super::{ClientStage, folder, is_there, run};

/// Scenario: the tests of the package itself run, with a daemon that is there.
/// Guarantees: they pass, and the daemon has nothing to complain about.
#[tokio::test(flavor = "multi_thread")]
async fn the_tests_of_the_python_package_pass() {
    if !folder("python").is_dir() || !is_there("python3") {
        return;
    }
    let stage = ClientStage::start().await;
    let mut command = stage.command("python3", "python");
    command.args(["-m", "unittest", "discover", "-s", "tests"]);
    run(command).await;
    stage.daemon.finish().await;
}
