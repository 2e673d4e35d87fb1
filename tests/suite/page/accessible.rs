//! What people need who see less, or use the keyboard alone.

use std::path::Path;
use std::process::Command;

use runtraced::proto::EndStatus;
use serde_json::json;

use super::browser::Browser;
use super::world::{About, started, told, tool};
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, new_id, run_ended};
use crate::support::pg;

const AXE: &str = "4.14.1";

/// The script of axe-core, from npm; None: npm or the package cannot be had.
fn axe() -> Option<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
    let script = folder.join("node_modules/axe-core/axe.min.js");
    if !script.exists() {
        let status = Command::new("npm")
            .args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--no-save",
                "--prefix",
            ])
            .arg(&folder)
            .arg(format!("axe-core@{AXE}"))
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return None;
        }
    }
    std::fs::read_to_string(script).ok()
}

/// Scenario: every screen, light and dark, is examined by axe-core.
/// Guarantees: it finds nothing serious: contrast, roles, names, keyboard.
#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_on_any_screen() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let session = new_id();
    let about = About {
        name: "run",
        agent: "agent",
        error: Some("it broke"),
        session: Some(session),
        metadata: Some(r#"{"tags":["prod"]}"#),
        took: 100,
        tool: "search",
        input_tokens: 10,
        ..About::default()
    };
    let run = told(&about);
    let live = new_id();
    daemon.submit(run.events).await;
    daemon
        .submit(vec![
            started(live, &about),
            approval_requested(10, live, new_id()),
        ])
        .await;
    let (Some(axe), Some(page)) = (axe(), Browser::open(daemon.http_address())) else {
        println!("skipped: npm has no axe-core, or there is no browser");
        return daemon.finish().await;
    };
    let run = run.run;
    let screens = [
        "/".to_owned(),
        "/?status=failed&agent=agent".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{live}"),
        format!("/runs/{run}?tab=conversation"),
        format!("/runs/{run}?tab=raw"),
        format!("/sessions/{session}"),
        format!("/compare?a={run}&b={live}"),
        "/approvals".to_owned(),
        "/overview?since=2025-12-31T00:00:00Z".to_owned(),
        "/cost?since=2025-12-31T00:00:00Z".to_owned(),
        "/login".to_owned(),
    ];
    for scheme in ["light", "dark"] {
        page.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        for path in &screens {
            page.go(path);
            page.wait("document.querySelector('main').children.length && !document.querySelector('main').textContent.includes('Loading')");
            page.run(&format!("{axe}; window.axe = axe"), &[]);
            let found = page.run_async(
                "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(r => done(r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical').map(v => [v.id, v.nodes[0].html])))",
            );
            assert_eq!(found, json!([]), "{path}, {scheme}");
        }
    }
    page.finish();
    daemon.finish().await;
}

/// Scenario: a run of thirty steps, the last of which failed; somebody goes through its map by keyboard.
/// Guarantees: the map says where it is and what is there, and every key of a slider goes as far as it says; the step
/// is the selected one of the tree too.
#[tokio::test(flavor = "multi_thread")]
async fn the_map_of_the_steps_is_used_by_keyboard() {
    const KEYS: [(&str, u64); 7] = [
        ("\u{e010}", 31),
        ("\u{e011}", 1),
        ("\u{e00f}", 5),
        ("\u{e015}", 6),
        ("\u{e015}", 7),
        ("\u{e013}", 6),
        ("\u{e00e}", 2),
    ];
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    let about = About {
        name: "map",
        agent: "agent",
        tool: "search",
        ..About::default()
    };
    let mut list = vec![started(run, &about)];
    for n in 0..30 {
        let error = (n == 29).then_some("it broke");
        list.push(tool(run, new_id(), &about, 10 * n, 10 * n + 8, error));
    }
    list.push(run_ended(300, run, EndStatus::Completed));
    daemon.submit(list).await;
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/runs/{run}"));
    page.wait("document.querySelector('.map[aria-valuenow=\"1\"]')");
    page.run("document.querySelector('.map').focus()", &[]);
    for (key, row) in KEYS {
        page.press(key);
        page.wait(&format!(
            "document.querySelector('.map').ariaValueNow === '{row}' && document.querySelector('[aria-selected=true]')?.id === 'row-{}'",
            row - 1
        ));
        let says = page.value("document.querySelector('.map').ariaValueText");
        let said = match row {
            1 => "map",
            31 => "search, failed",
            _ => "search",
        };
        assert_eq!(says, json!(said), "{row}");
        assert_eq!(page.value("document.activeElement.className"), json!("map"));
    }
    page.finish();
    daemon.finish().await;
}
