//! The package in `clients/typescript`.

use super::{ClientStage, folder, is_there, run};

/// Scenario: the tests of the package itself run, with a daemon that is there.
/// Guarantees: they pass, and the daemon has nothing to complain about.
#[tokio::test(flavor = "multi_thread")]
async fn the_tests_of_the_typescript_package_pass() {
    if !folder("typescript").is_dir() || !is_there("node") {
        return;
    }
    let stage = ClientStage::start().await;
    let mut command = stage.command("node", "typescript");
    command.args(["--test", "test/"]);
    run(command).await;
    stage.daemon.finish().await;
}
