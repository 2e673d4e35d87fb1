//! One run.

use runtraced::proto::EndStatus;
use serde_json::Value;
use uuid::Uuid;

use super::browser::Browser;
use super::world::{About, started, told, tool};
use crate::support::daemon::Daemon;
use crate::support::events::{self, new_id};
use crate::support::pg;

/// Waits until this step is selected.
fn at(page: &Browser, step: &str) {
    page.wait(&format!(
        "document.querySelector('[aria-selected=true] .label bdi')?.textContent === '{step}'"
    ));
}

fn selected(page: &Browser) -> String {
    page.text("[aria-selected=true] .label bdi")
}

fn base() -> About<'static> {
    About {
        name: "the run",
        agent: "agent",
        took: 5_000,
        tool: "search",
        input_tokens: 10,
        ..About::default()
    }
}

/// A run whose steps are: outer (with inner, which failed), last (failed).
fn tree(about: &About<'_>) -> Vec<runtraced::proto::Event> {
    use runtraced::proto::event::Event as Body;
    let run = new_id();
    let outer = new_id();
    let named = |name, from, to, error, parent: Option<Uuid>| {
        let id = if name == "outer" { outer } else { new_id() };
        let mut event = tool(
            run,
            id,
            &About {
                tool: name,
                ..about.clone()
            },
            from,
            to,
            error,
        );
        if let Some(Body::StepEnded(ended)) = &mut event.event
            && let Some(details) = &mut ended.details
        {
            details.parent_step_id = parent.map(events::id).unwrap_or_default();
        }
        event
    };
    vec![
        started(run, about),
        named("outer", 10, 2_000, None, None),
        named("inner", 20, 1_000, Some("no such customer"), Some(outer)),
        named("middle", 2_100, 2_200, None, None),
        named("last", 2_300, 2_400, Some("timeout"), None),
        events::run_ended(5_000, run, EndStatus::Completed),
    ]
}

/// Scenario: a run is open in the page while its steps begin, fail and end.
/// Guarantees: rows appear, close and turn red by themselves; the end of the run is seen.
#[tokio::test(flavor = "multi_thread")]
async fn steps_open_and_close_while_the_run_is_watched() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    daemon.submit(vec![started(run, &base())]).await;
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/runs/{run}"));
    page.wait_text(".tree .vrow", "the run");
    page.wait_text(".live", "Live");
    page.run("window.same = 'page'", &[]);
    let step = new_id();
    daemon
        .submit(vec![events::step_started(100, run, step)])
        .await;
    page.wait("document.querySelector('.tree [aria-level=\"2\"] .dot.running')");
    daemon
        .submit(vec![events::step_ended(350, run, step)])
        .await;
    page.wait_text(".tree [aria-level='2']", "250 ms");
    daemon
        .submit(vec![tool(
            run,
            new_id(),
            &base(),
            400,
            500,
            Some("it broke"),
        )])
        .await;
    page.wait("document.querySelector('.tree [aria-level=\"2\"].failed')");
    daemon
        .submit(vec![events::run_ended(5_000, run, EndStatus::Failed)])
        .await;
    page.wait_text("header.head", "failed");
    page.wait_text(".tree [aria-level='1']", "5.00 s");
    assert_eq!(page.value("window.same"), "page");
    page.finish();
    daemon.finish().await;
}

/// Scenario: a run with two failed steps, of which one is inside another, by keys alone.
/// Guarantees: every key of a run does what the list of keys says; the address holds the
/// step, and opens at it again.
#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_run_works_and_the_address_holds_the_step() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let list = tree(&base());
    assert_eq!(daemon.submit(list).await.refused, []);
    for at in [10_000, 20_000] {
        let name = format!("later {at}");
        daemon
            .submit(
                told(&About {
                    name: &name,
                    at,
                    ..base()
                })
                .events,
            )
            .await;
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/?agent=agent");
    page.wait("document.querySelectorAll('tbody tr').length === 3");
    page.wait_text(".live", "Live");
    page.press("jjj");
    page.press("\u{e007}");
    page.wait("document.querySelectorAll('.tree .vrow').length === 5");
    let steps = [
        ("j", "outer"),
        ("j", "inner"),
        ("k", "outer"),
        ("[", "outer"),
        ("j", "middle"),
        ("k", "outer"),
        ("]", "outer"),
        ("j", "inner"),
        ("e", "last"),
        ("e", "inner"),
        ("E", "last"),
        ("{", "last"),
        ("e", "inner"),
        ("[", "outer"),
        ("}", "outer"),
    ];
    for (key, want) in steps {
        page.press(key);
        at(&page, want);
    }
    page.wait("document.querySelectorAll('.tree .vrow').length === 5");
    page.press("e");
    page.wait_text(".right", "no such customer");
    page.wait_text(".right .text", "asked");
    let address = page.address();
    page.go(&address);
    page.wait("document.querySelectorAll('.tree .vrow').length === 5");
    at(&page, "inner");

    // Finding: in names at once, in payloads by the daemon.
    page.press("/middle\u{e007}");
    page.wait("document.querySelectorAll('.tree .hit').length === 1");
    page.wait("document.querySelector('[aria-selected=true]')?.textContent.includes('middle')");
    page.press("/");
    page.press("the run\u{e007}");
    page.wait("document.querySelectorAll('.tree .hit').length > 3");
    let before = selected(&page);
    page.press("n");
    page.wait(&format!(
        "document.querySelector('[aria-selected=true] .label bdi')?.textContent !== '{before}'"
    ));
    page.press("N");
    at(&page, &before);

    for (key, tab) in [("2", "conversation"), ("3", "raw")] {
        page.press(key);
        page.wait(&format!("location.search.includes('tab={tab}')"));
    }
    page.wait_text(".raw .text", "runStarted");
    page.press("1");
    page.wait("document.querySelector('.tree')");
    page.press("K");
    page.wait_text("h1", "later 10000");
    page.press("K");
    page.wait_text("h1", "later 20000");
    page.press("K");
    page.wait_text("#toast", "first run");
    page.press("J");
    page.wait_text("h1", "later 10000");
    page.press("s");
    page.wait_text("dialog[open] pre", "SELECT");
    page.press("\u{e00c}");
    page.press("u");
    page.wait("location.pathname === '/'");
    assert_eq!(page.address(), "/?agent=agent");
    page.finish();
    daemon.finish().await;
}

/// Scenario: light and dark, wide and narrow.
/// Guarantees: the choice stays after a reload; no screen is wider than a phone.
#[tokio::test(flavor = "multi_thread")]
async fn screens_fit_a_phone_and_keep_the_theme() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = told(&base());
    daemon.submit(run.events).await;
    let Some(page) = Browser::sized(daemon.http_address(), 375, 740) else {
        return daemon.finish().await;
    };
    page.go("/");
    page.wait_text("tbody", "the run");
    let dark = "document.documentElement.classList.contains('dark')";
    let before = page.value(dark);
    page.press("t");
    assert_eq!(page.value(dark), Value::Bool(before == false));
    let run = run.run;
    for path in [
        "/",
        "/approvals",
        "/overview",
        "/cost",
        &format!("/runs/{run}"),
        &format!("/runs/{run}?tab=conversation"),
        &format!("/runs/{run}?tab=raw"),
    ] {
        page.go(path);
        page.wait("document.querySelector('main').children.length && !document.querySelector('main').textContent.includes('Loading')");
        assert_eq!(page.value(dark), Value::Bool(before == false), "{path}");
        let width = page
            .value("document.documentElement.scrollWidth")
            .as_u64()
            .unwrap();
        assert!(width <= 375, "{path} is {width} wide");
    }
    page.finish();
    daemon.finish().await;
}
