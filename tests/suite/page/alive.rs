//! A run while it runs, and one whose steps hold each other.

use std::time::{SystemTime, UNIX_EPOCH};

use runtraced::proto::event::Event as Body;
use uuid::Uuid;

use super::browser::Browser;
use super::world::{About, started};
use crate::support::daemon::Daemon;
use crate::support::events::{self, new_id};
use crate::support::pg;

fn about() -> About<'static> {
    About {
        name: "alive",
        agent: "agent",
        tool: "search",
        at: now(),
        ..About::default()
    }
}

/// Milliseconds since 2026 began: a run that began long ago shows no seconds.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() - 1_767_225_600_000
}

/// A step below another one.
fn below(run: Uuid, step: Uuid, parent: Uuid, error: Option<&str>) -> runtraced::proto::Event {
    let mut event = super::world::tool(run, step, &about(), now(), now() + 10, error);
    if let Some(Body::StepEnded(ended)) = &mut event.event
        && let Some(details) = &mut ended.details
    {
        details.parent_step_id = events::id(parent);
    }
    event
}

/// Scenario: somebody types what to find while the run runs, its clock ticks and steps begin.
/// Guarantees: the field keeps the focus, the caret and what was typed, and so do the links of the head.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_keeps_its_focus_while_the_run_runs() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    let list = vec![started(run, &about())];
    assert_eq!(daemon.submit(list).await.refused, []);
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/runs/{run}"));
    page.wait_text(".live", "Live");
    page.run(
        "const field = document.querySelector('.tabs input'); field.focus(); field.value = 'search me'; field.setSelectionRange(3, 3); window.field = field;",
        &[],
    );
    let took = "[...document.querySelectorAll('.head .facts > span')].find(f => f.textContent.startsWith('took')).textContent";
    for steps in 1..=2 {
        let before = page.value(took);
        let step = super::world::tool(
            run,
            new_id(),
            &about(),
            now(),
            now() + 10,
            Some("it failed"),
        );
        assert_eq!(daemon.submit(vec![step]).await.refused, []);
        page.wait(&format!(
            "document.querySelectorAll('.tree .vrow').length === {}",
            steps + 1
        ));
        page.wait(&format!("{took} !== {before}"));
        assert_eq!(
            page.value("document.activeElement === window.field && window.field.selectionStart === 3 && window.field.value"),
            "search me"
        );
    }
    page.wait_text(".tabs button", "2 errors");
    page.run(
        "window.link = [...document.querySelectorAll('.head a')].find(a => a.textContent === 'Export'); window.link.focus();",
        &[],
    );
    let before = page.value(took);
    page.wait(&format!("{took} !== {before}"));
    assert_eq!(page.value("document.activeElement === window.link"), true);
    page.finish();
    daemon.finish().await;
}

/// Scenario: two steps name each other as parent, another one itself; more stand below them, one of which
/// failed. The page opens on a step of the cycle; then another such step arrives.
/// Guarantees: all steps are shown, the failed one is counted and found, and the page goes on.
#[tokio::test(flavor = "multi_thread")]
async fn steps_that_hold_each_other_are_all_shown() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, one, other, own, late] = [(); 5].map(|()| new_id());
    let list = vec![
        started(run, &about()),
        below(run, one, other, None),
        below(run, other, one, None),
        below(run, own, own, None),
        below(run, new_id(), one, Some("hidden failure")),
    ];
    assert_eq!(daemon.submit(list).await.refused, []);
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/runs/{run}?step={one}"));
    page.wait("document.querySelectorAll('.tree .vrow').length === 5");
    page.wait_text(".tabs button", "1 error");
    page.press("e");
    page.wait_text(".right", "hidden failure");
    page.wait_text(".live", "Live");
    assert_eq!(
        daemon
            .submit(vec![below(run, late, late, None)])
            .await
            .refused,
        []
    );
    page.wait("document.querySelectorAll('.tree .vrow').length === 6");
    page.press("k");
    page.finish();
    daemon.finish().await;
}
