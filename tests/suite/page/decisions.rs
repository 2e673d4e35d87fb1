//! Approvals that a person decides on the page.

use std::time::Duration;

use runtraced::proto::event::Event as Body;
use serde_json::{Value, json};

use super::browser::Browser;
use super::world::{About, started};
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, new_id};
use crate::support::pg;

/// Scenario: an agent waits for two approvals; a person opens the queue, approves one with a
/// note, and rejects the other, which somebody else has decided meanwhile.
/// Guarantees: the agent gets the decision and the note at once; the second person is told who
/// was first; the queue is empty and the list of the approved has the note.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_on_the_page_reaches_the_waiting_agent() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, first, second) = (new_id(), new_id(), new_id());
    let about = About {
        name: "Write to Dana",
        agent: "writer",
        ..About::default()
    };
    let ask = |id, text: &str| {
        let mut event = approval_requested(10, run, id);
        if let Some(Body::ApprovalRequested(asked)) = &mut event.event {
            asked.action_description = Some(text.into());
            asked.action_data_json = Some(json!({"to": "dana@example.org"}).to_string());
        }
        event
    };
    let list = vec![
        started(run, &about),
        ask(first, "Send the email"),
        ask(second, "Delete the account"),
    ];
    assert_eq!(daemon.submit(list).await.refused, []);
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/");
    page.wait_text("#waiting", "2");
    page.wait_text("tbody .badge", "waits");
    page.click("nav a[href='/approvals']");
    page.wait("document.querySelectorAll('.ask').length === 2");
    page.wait_text(".ask .text", "dana@example.org");
    page.wait_text(".ask", "writer");

    let path = format!("/api/approvals/{first}?wait=30s");
    let (answer, ()) = tokio::join!(daemon.get(&path), async {
        // The agent asks first.
        tokio::time::sleep(Duration::from_millis(500)).await;
        tokio::task::block_in_place(|| decide(&page, "Send the email", "Send it today", "main"));
    });
    let answer: Value = serde_json::from_str(&answer.1).unwrap();
    assert_eq!(answer["approval"]["status"], "approved");
    assert_eq!(answer["approval"]["notes"], "Send it today");
    page.wait("document.querySelectorAll('.ask').length === 1");

    let mut connection = database.connect().await;
    page.run("window.fetched = fetch; window.fetch = (url, o) => o?.method === 'POST' ? new Promise(go => { window.release = () => go(fetched(url, o)) }) : new Promise(() => {})", &[]);
    decide(&page, "Delete the account", "no", "reject");
    page.wait("window.release");
    sqlx::query("UPDATE approvals SET status = 'approved', decided_at = now() WHERE id = $1")
        .bind(second)
        .execute(&mut connection)
        .await
        .unwrap();
    page.run("window.release(); window.fetch = window.fetched", &[]);
    page.wait_text(".ask [role=alert]", "It is approved");

    page.go("/approvals?status=approved");
    page.wait_text(".ask", "Send it today");
    page.finish();
    daemon.finish().await;
}

fn decide(page: &Browser, what: &str, note: &str, button: &str) {
    page.run(
        "const card = [...document.querySelectorAll('.ask')].find(c => c.textContent.includes(arguments[0]));
         card.querySelector('footer input').value = arguments[1];
         card.querySelector(`button.${arguments[2]}`).click()",
        &[json!(what), json!(note), json!(button)],
    );
}
