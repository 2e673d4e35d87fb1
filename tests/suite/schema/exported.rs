//! `runtraced migrate --export`: the files make what `migrate` makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::catalog::dump;
use crate::support::daemon::Daemon;
use crate::support::needed;
use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;

/// The files of a format, by name, in a folder of their own.
async fn export(format: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
    export_with(format, &[]).await
}

/// The same with more flags.
pub async fn export_with(format: &str, flags: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let args = [&["migrate", "--export", path, "--format", format], flags].concat();
    // A URL that leads nowhere: no database is needed.
    let (code, said) = runtraced(&args, "").await;
    assert_eq!(code, 0, "{said}");
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    (folder, files)
}

pub fn psql(url: &str, file: &Path) -> Output {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"]);
    command.arg(file).output().unwrap()
}

/// What must hold once the files are applied.
async fn check(database: &TestDatabase, how: &str) {
    let migrated = pg::database().await;
    assert_eq!(
        dump(database.url()).await,
        dump(migrated.url()).await,
        "{how}"
    );
    let (code, said) = runtraced(&["migrate"], database.url()).await;
    assert_eq!(
        (code, said.as_str()),
        (0, "nothing to do: the schema is up to date\n"),
        "{how}"
    );
}

/// Scenario: the files of both formats are applied to empty databases by psql, in the order of
/// their names; one of them again; then a daemon that may not migrate starts.
/// Guarantees: the schema is the one that `migrate` makes, and is known to be; a file that is
/// applied changes nothing; Supabase's files have its names and no way down among them.
#[tokio::test(flavor = "multi_thread")]
async fn files_make_the_same_schema() {
    for format in ["plain", "supabase"] {
        let (_folder, files) = export(format).await;
        let database = pg::empty_database().await;
        for file in &files {
            let output = psql(database.url(), file);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}: {said}", file.display());
            let name = file.file_name().unwrap().to_str().unwrap();
            let digits = name.split('_').next().unwrap();
            assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
            assert_eq!(
                digits.len(),
                if format == "plain" { 3 } else { 14 },
                "{name}"
            );
        }
        let again = psql(database.url(), files.last().unwrap());
        assert!(!again.status.success());
        check(&database, format).await;
        let daemon = Daemon::spawn_as_is(database.url(), &["--no-migrate"]).await;
        daemon.wait_ready().await;
        daemon.finish().await;
    }
}

/// Scenario: the ways back in the files' comments are run, newest first, after all files.
/// Guarantees: nothing of the schema is left, and the files can be applied again.
#[tokio::test(flavor = "multi_thread")]
async fn the_comments_lead_back() {
    let (folder, files) = export("plain").await;
    let database = pg::empty_database().await;
    let apply_all = || {
        for file in &files {
            let output = psql(database.url(), file);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}: {said}", file.display());
        }
    };
    apply_all();
    for file in files.iter().rev() {
        let text = fs::read_to_string(file).unwrap();
        let (head, _) = text.split_once("\nBEGIN;\n").unwrap();
        let back = head.lines().filter_map(|line| line.strip_prefix("--   "));
        let back = back.collect::<Vec<_>>().join("\n");
        let down = folder.path().join("down");
        fs::write(&down, format!("BEGIN;\n{back}\nCOMMIT;\n")).unwrap();
        let output = psql(database.url(), &down);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {said}", file.display());
    }
    let rest = dump(database.url()).await;
    for gone in ["agent_runs", "run_timeline", "SCHEMA auth"] {
        assert!(!rest.contains(gone), "{gone} is left");
    }
    apply_all();
    check(&database, "again").await;
}

/// Scenario: the script runs with Node and the package `pg`, twice.
/// Guarantees: it applies every file once, and the schema is the one that `migrate` makes.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_applies_the_files() {
    let work = tempfile::tempdir().unwrap();
    let install = ["install", "--silent", "--no-audit", "--no-fund", "pg@8"];
    let installed = needed::run(Command::new("npm").args(install).current_dir(&work));
    if needed::or_skip(installed).is_none() {
        return;
    }
    let (folder, files) = export("plain").await;
    let database = pg::empty_database().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/run-migration.js");
    let run = || {
        let mut command = Command::new("node");
        command.arg(&script).arg(folder.path()).current_dir(&work);
        let output = command
            .env("DATABASE_URL", database.url())
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = run();
    assert_eq!(said.matches("applied ").count(), files.len(), "{said}");
    assert_eq!(run(), "the schema is up to date\n");
    check(&database, "node").await;
}
