//! What an agent changes while a person looks at it.

use runtraced::proto::Event;
use runtraced::proto::event::Event as Body;
use serde_json::json;
use uuid::Uuid;

use super::browser::Browser;
use super::world::{About, started};
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, new_id};
use crate::support::pg;

fn refund(millis: i64, run: Uuid, approval: Uuid, data: &serde_json::Value) -> Event {
    let mut event = approval_requested(millis, run, approval);
    if let Some(Body::ApprovalRequested(asked)) = &mut event.event {
        asked.action_description = Some("Pay back".into());
        asked.action_data_json = Some(data.to_string());
    }
    event
}

/// Scenario: a person writes a note to a request for $5; the agent asks for $5000 under the same id. First
/// the page does not hear of it and the person approves, then the page does.
/// Guarantees: nothing is approved; the card shows the new amount, says that it was changed, and keeps the
/// note; the person can then approve it. Arguments too long to be shown say so, also if they are emoji.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_shows_what_its_buttons_decide() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, asked] = [(); 2].map(|()| new_id());
    let about = About {
        name: "pay",
        agent: "clerk",
        ..About::default()
    };
    let list = vec![
        started(run, &about),
        refund(10, run, asked, &json!({"refund": 5})),
    ];
    assert_eq!(daemon.submit(list).await.refused, []);
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/approvals");
    page.wait_text(".ask .text", "5");
    page.run("document.querySelector('.ask footer input').value = 'my note'; window.fetched = fetch; window.fetch = (url, o) => o?.method === 'POST' ? fetched(url, o) : new Promise(() => {})", &[]);
    daemon
        .submit(vec![refund(20, run, asked, &json!({"refund": 5_000}))])
        .await;
    page.click(".ask button.main");
    page.wait_text(".ask [role=alert]", "changed");
    page.wait_text(".ask .text", "5000");
    assert_eq!(
        page.value("document.querySelector('.ask footer input').value"),
        "my note"
    );
    page.run("window.fetch = window.fetched", &[]);
    page.go("/approvals");
    page.wait_text(".ask .text", "5000");
    let long = json!({"a": "😀".repeat(20_000), "z": "attacker"});
    daemon.submit(vec![refund(30, run, asked, &long)]).await;
    page.wait_text(".ask [role=alert]", "changed");
    page.wait_text(".ask .payload header", "Load the rest");
    page.click(".ask .payload header .dim button");
    page.wait(
        "!/Load the rest|loading/.test(document.querySelector('.ask .payload header').textContent)",
    );
    page.run(
        "const field = document.querySelector('[aria-label=\"Find in Arguments\"]'); field.value = 'attacker'; field.dispatchEvent(new Event('input'))",
        &[],
    );
    page.wait_text(".ask .text mark", "attacker");
    page.click(".ask button.main");
    page.wait("document.querySelectorAll('.ask').length === 0");
    page.finish();
    daemon.finish().await;
}
