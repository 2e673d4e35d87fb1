//! Every command in the pages is run: here, by another test, or by a script. If none of these can, the list
//! `tests/data/doc_commands.toml` says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use serde::Deserialize;

use super::markdown;
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, new_id};
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::product::execute;
use crate::support::spool::SpoolDir;
use crate::support::watchdog;

const LIST: &str = "tests/data/doc_commands.toml";
/// The id of anything in the pages.
const SOME_ID: &str = "01a20748-a996-7034-9ea6-a0f99db8dac7";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    here: Vec<String>,
    by_test: BTreeMap<String, String>,
    by_script: BTreeMap<String, String>,
    not_here: BTreeMap<String, String>,
}

fn listed() -> Listed {
    toml::from_str(&fs::read_to_string(markdown::path(LIST)).unwrap()).unwrap()
}

/// The commands of the pages: lines of shell without comments.
fn commands() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for page in markdown::pages() {
        for block in page.blocks("sh") {
            let block = block.replace("\\\n", " ");
            let lines = block.lines().map(without_comment);
            found.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
        }
    }
    found
}

/// A comment begins with `#` behind a blank. No command of the pages has that inside quotes.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.split(" #").next().unwrap_or_default().trim()
}

#[test]
fn every_command_is_listed_once() {
    let listed = listed();
    let maps = [&listed.by_test, &listed.by_script, &listed.not_here];
    let all: Vec<&String> = listed
        .here
        .iter()
        .chain(maps.iter().flat_map(|map| map.keys()))
        .collect();
    let names: BTreeSet<String> = all.iter().map(|name| (*name).clone()).collect();
    assert_eq!(all.len(), names.len(), "{LIST} lists a command twice");
    let commands = commands();
    let new: Vec<_> = commands.difference(&names).collect();
    assert!(
        new.is_empty(),
        "{LIST} says not what runs these commands: {new:#?}"
    );
    let gone: Vec<_> = names.difference(&commands).collect();
    assert!(gone.is_empty(), "no page has these commands: {gone:#?}");
}

#[test]
fn the_tests_and_scripts_that_are_named_exist() {
    let listed = listed();
    for (command, test) in listed.by_test {
        let (module, name) = test.split_once("::").unwrap();
        let mut text = fs::read_to_string(markdown::path(&format!("tests/suite/{module}.rs")));
        let folder = format!("tests/suite/{module}");
        if markdown::path(&folder).is_dir() {
            text = Ok(text.unwrap_or_default() + &super::commands::sources(&folder));
        }
        let text = text.unwrap_or_else(|_| panic!("{command}: there is no module {module}"));
        assert!(
            text.contains(&format!("fn {name}(")),
            "{command}: no test {test}"
        );
    }
    for (command, script) in listed.by_script {
        let text = fs::read_to_string(markdown::path(&script)).unwrap();
        assert!(text.contains(&command), "{script} does not run {command}");
    }
}

/// Runs a line of shell as a person does who reads the pages.
fn run(line: &str, folder: &Path, daemon: &Daemon, env: &[(&str, &str)]) -> Result<(), String> {
    let program = Path::new(env!("CARGO_BIN_EXE_runtraced"));
    let path = env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let grpc = daemon.grpc_url().strip_prefix("http://").unwrap();
    // The daemon of a test has other ports. A file that grows forever is followed for a second.
    let line = line
        .replace("127.0.0.1:4318", daemon.http_address())
        .replace("127.0.0.1:4317", grpc)
        .replace("RUN_ID", "0194bb0a-0000-7000-8000-000000000001")
        .replace("tail -f ", "timeout 1 tail -f ");
    let output = Command::new("/bin/sh")
        .args(["-c", &line])
        .current_dir(folder)
        .env("PATH", path)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{line}\n{}", String::from_utf8_lossy(&said)))
}

/// Scenario: a person follows the pages, with a daemon that runs.
/// Guarantees: every command that can be run here does what it is for, and exits with 0.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_pages_run() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let daemon = Daemon::with_args(database.url(), &dir.flags(&[])).await;
    let mut conn = database.connect().await;
    let (code, said) = runtraced(&["keys", "create", "--name", "first"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let dead = r#"{"time":"2026-01-31T12:00:00Z","run_started":{"run_id":"0195bb0a-0000-7000-8000-000000000001","agent_id":"a"}}"#;
    let things = format!(
        "UPDATE ingest_keys SET id = '{SOME_ID}';
         INSERT INTO ingest_dead_letters (id, source, code, reason, payload)
         VALUES ('{SOME_ID}', 'native', '23514', 'a rule of the product', '{dead}')"
    );
    execute(&mut conn, things).await;
    let approval = SOME_ID.parse().unwrap();
    let asked = vec![approval_requested(0, new_id(), approval)];
    assert_eq!(daemon.submit(asked).await.committed, 1);
    let folder = watchdog::scratch_dir("pages");
    let events = markdown::page("README.md").blocks("jsonl").concat();
    for file in ["events.jsonl", "live.jsonl"] {
        fs::write(folder.join(file), &events).unwrap();
    }
    let env = [
        ("DATABASE_URL", database.url()),
        ("RUNTRACED_ENDPOINT", daemon.grpc_url()),
        ("RUNTRACED_HTTP", daemon.http_address()),
        ("RUNTRACED_SPOOL_DIR", dir.path().to_str().unwrap()),
    ];
    let failed: Vec<String> = listed()
        .here
        .iter()
        .filter_map(|line| run(line, &folder, &daemon, &env).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    watchdog::remove_scratch_dir(&folder);
    daemon.finish().await;
}
