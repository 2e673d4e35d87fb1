//! Several runs: side by side, in one session, as a whole; and what they cost.

use std::time::Duration;

use super::browser::Browser;
use super::world::{About, told};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, session_titled};
use crate::support::pg;

/// Scenario: three runs of one session; the others ask for something else, one of them at the same length.
/// Guarantees: the comparison says which step differs and shows the difference; the session
/// shows the conversation of both runs and its title.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_are_compared_and_a_session_is_read_across_them() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let session = new_id();
    let about = About {
        name: "first wish",
        agent: "agent",
        session: Some(session),
        took: 100,
        tool: "search",
        input_tokens: 10,
        ..About::default()
    };
    let one = told(&about);
    let other = told(&About {
        name: "another wish, longer than the first",
        at: 5_000,
        ..about.clone()
    });
    // As long as the first.
    let third = told(&About {
        name: "third wish",
        at: 10_000,
        ..about
    });
    daemon
        .submit(vec![session_titled(0, session, "What Dana asked")])
        .await;
    for events in [one.events, other.events, third.events] {
        assert_eq!(daemon.submit(events).await.refused, []);
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/compare?a={}&b={}", one.run, other.run));
    page.wait_text(".pairs .sign", "≠");
    page.press("e");
    page.wait_text(".difference .minus", "first wish");
    page.wait_text(".difference .plus", "another wish");
    page.press("s");
    page.wait("document.querySelectorAll('dialog pre').length === 2");
    page.press("\u{e00c}");
    page.go(&format!("/compare?a={}&b={}", one.run, third.run));
    page.wait_text(".pairs .sign", "≠");
    page.press("e");
    page.wait_text(".difference .plus", "third wish");

    page.go(&format!("/sessions/{session}"));
    page.wait_text("h1", "What Dana asked");
    page.wait_text(".right", "first wish");
    page.wait_text(".talk", "please: first wish");
    page.wait_text(".talk", "please: another wish");
    page.press("/");
    page.press("another");
    page.wait("document.querySelector('.talk mark')");
    page.finish();
    daemon.finish().await;
}

/// Scenario: three runs of two agents, one of which failed.
/// Guarantees: the overview counts them, groups the failure and links to its runs; the cost
/// view has a row for each agent; each has its SQL.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_and_its_cost_are_seen() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let base = About {
        name: "run",
        agent: "reader",
        took: 100,
        tool: "search",
        input_tokens: 1_000_000,
        ..About::default()
    };
    for about in [
        base.clone(),
        About {
            agent: "writer",
            ..base.clone()
        },
        About {
            error: Some("the mailbox is full"),
            ..base
        },
    ] {
        daemon.submit(told(&about).events).await;
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/overview?since=2025-12-31T00:00:00Z&until=2026-01-02T00:00:00Z");
    page.wait_text(".tile", "3runs");
    page.wait_text(".tile", "1failed");
    page.wait_text(".card", "the mailbox is full");
    page.wait("document.querySelectorAll('.chart svg').length >= 4");
    page.press("s");
    page.wait_text("dialog pre", "SELECT");
    page.press("\u{e00c}");
    page.run("[...document.querySelectorAll('.card a')].find(a => a.textContent === 'the mailbox is full').click()", &[]);
    page.wait("location.pathname === '/'");
    page.wait("location.search.includes('error=')");

    page.go("/cost?by=agent&since=2025-12-31T00:00:00Z");
    page.wait_text(".card tbody", "reader");
    page.wait_text(".card tbody", "writer");
    // 1,000,020 tokens of gpt-4o: $2.50 for a million of input, and a little for the output.
    // The daemon looks for prices of new models from time to time.
    for _ in 0..100 {
        page.go("/cost?by=agent&since=2025-12-31T00:00:00Z");
        page.wait_text(".card tbody", "writer");
        if page.text(".card tbody").contains("$2.50") {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(page.text(".card tbody").contains("$2.50"));
    page.finish();
    daemon.finish().await;
}
