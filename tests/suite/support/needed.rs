//! What some tests need of this machine. Without it they are skipped, with a word; but not where
//! everything must be tested.

use std::process::{Command, Stdio};

/// What was found. If it is not there, the test is skipped; with CI=true it fails.
pub fn or_skip<T>(found: Result<T, String>) -> Option<T> {
    found.map_err(|why| skip(&why)).ok()
}

/// Whether a program runs here.
pub fn program(name: &str) -> Result<(), String> {
    let mut version = Command::new(name);
    version.arg("--version").stdin(Stdio::null());
    match version.output().is_ok_and(|said| said.status.success()) {
        true => Ok(()),
        false => Err(format!("there is no {name}")),
    }
}

/// Runs a command; its stdout, or why it failed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => {
            let complained = String::from_utf8_lossy(&output.stderr);
            Err(format!(
                "{command:?}: {}: {said}{complained}",
                output.status
            ))
        }
    }
}

fn skip(why: &str) {
    let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!required, "needed where CI=true: {why}");
    println!("skipped: {why}");
}
