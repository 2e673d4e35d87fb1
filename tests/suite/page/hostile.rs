//! Content that is not friendly.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, MessageRole};
use serde_json::json;

use super::browser::Browser;
use super::world::{About, HOSTILE, message, started, tool};
use crate::support::daemon::Daemon;
use crate::support::events::{self, approval_requested, new_id, session_titled};
use crate::support::pg;

/// Scenario: every field of a run holds scripts, tags, bidirectional marks and ANSI; a tool
/// takes a megabyte without a blank and gives back JSON 60 levels deep.
/// Guarantees: every screen shows it as text; nothing of it runs or becomes an element; marks
/// that reorder text, and what nobody can see, are shown by name; the page stays small.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_content_is_text_on_every_screen() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, session) = (new_id(), new_id());
    let metadata = json!({HOSTILE: HOSTILE}).to_string();
    let about = About {
        name: HOSTILE,
        agent: HOSTILE,
        session: Some(session),
        metadata: Some(&metadata),
        tool: HOSTILE,
        ..About::default()
    };
    let mut huge = tool(run, new_id(), &about, 10, 20, Some(HOSTILE));
    if let Some(Body::StepEnded(ended)) = &mut huge.event {
        let details = ended.details.as_mut().unwrap();
        details.input_json = Some(json!({"q": "x".repeat(1_000_000)}).to_string());
        ended.output_json = Some(format!("{}{}", "[".repeat(60), "]".repeat(60)));
    }
    let mut approval = approval_requested(30, run, new_id());
    if let Some(Body::ApprovalRequested(asked)) = &mut approval.event {
        asked.action_type = HOSTILE.into();
        asked.action_description = Some(HOSTILE.into());
        asked.action_data_json = Some(metadata.clone());
    }
    let mut used = events::tokens(26, run, new_id(), 10, 20);
    if let Some(Body::TokenCount(count)) = &mut used.event {
        count.model = Some(HOSTILE.into());
    }
    let end = events::ended_with(events::run_ended(100, run, EndStatus::Failed), |ended| {
        ended.error = Some(HOSTILE.into());
        ended.output = Some(HOSTILE.into());
    });
    let outcome = daemon
        .submit(vec![
            session_titled(0, session, HOSTILE),
            started(run, &about),
            huge,
            message(run, 25, MessageRole::Assistant, HOSTILE),
            approval,
            used,
            end,
        ])
        .await;
    assert_eq!(outcome.refused, []);
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    let screens = [
        "/".to_owned(),
        format!("/?agent={}", urlencoded(HOSTILE)),
        format!("/runs/{run}"),
        format!("/runs/{run}?tab=conversation"),
        format!("/runs/{run}?tab=raw"),
        format!("/sessions/{session}"),
        format!("/compare?a={run}&b={run}"),
        "/approvals".to_owned(),
        "/overview?since=2025-12-31T00:00:00Z".to_owned(),
        "/cost?since=2025-12-31T00:00:00Z".to_owned(),
    ];
    for path in screens {
        page.go(&path);
        page.wait_text("main", "<script>");
        if path == format!("/runs/{run}") {
            page.press("j");
            page.wait_text(".right .text", "xxxxxxxx");
        }
        assert_ne!(page.value("document.title"), "pwned", "{path}");
        assert_eq!(
            page.count("body script, main img, iframe, [onerror]"),
            0,
            "{path}"
        );
        assert_eq!(
            page.value(
                "/[\\u202e\\u001b\\u00ad\\u3164\\ufff9\\u{e0041}]/u.test(document.body.textContent)"
            ),
            false,
            "{path}"
        );
        assert_eq!(
            page.value("document.body.textContent.includes('\\\\u202egnp.exe')"),
            true,
            "{path}"
        );
        assert!(page.count("*") < 2_000, "{path}");
    }
    page.finish();
    daemon.finish().await;
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
