//! What people need who see less, or use the keyboard alone.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::browser::Browser;
use super::world::{About, started, told};
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, new_id};
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
