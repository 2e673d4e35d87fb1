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

/// Scenario: the arguments of a request have a long key, a key of two lines, a number of 400 digits, and texts that
/// begin with tabs, with characters that nobody sees and with wide ones.
/// Guarantees: each ends with a word, and all these words can be read: nothing is beyond the edge of its row, on a
/// wide screen and on a phone.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_request_is_beyond_the_edge() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, asked] = [(); 2].map(|()| new_id());
    let about = About {
        name: "hide",
        agent: "clerk",
        ..About::default()
    };
    let digits = format!("{}7", "1".repeat(400));
    let mut data = format!("{{\"number\":{digits}");
    for (key, value) in [
        (format!("{}KEYEND", "k ".repeat(200)), "v".to_owned()),
        ("line\nSECOND".to_owned(), "BESIDE".to_owned()),
        ("tabs".to_owned(), format!("{}TABEND", "\t".repeat(90))),
        ("soft".to_owned(), format!("{}SOFTEND", "\u{ad}".repeat(90))),
        (
            "wide".to_owned(),
            format!("{}WIDEEND", "\u{6f22}".repeat(90)),
        ),
        ("one".to_owned(), format!("{}ONEEND", "x".repeat(900))),
    ] {
        data.push_str(&format!(",{}:{}", json!(key), json!(value)));
    }
    data.push('}');
    let mut request = approval_requested(10, run, asked);
    if let Some(Body::ApprovalRequested(asked)) = &mut request.event {
        asked.action_data_json = Some(data);
    }
    let list = vec![started(run, &about), request];
    assert_eq!(daemon.submit(list).await.refused, []);
    for width in [1_440, 390] {
        let Some(page) = Browser::sized(daemon.http_address(), width, 900) else {
            return daemon.finish().await;
        };
        page.go("/approvals");
        page.wait_text(".ask .text", "one");
        let beyond = page.value(
            "[...document.querySelectorAll('.ask .vrow')].filter(row => {
                const room = row.closest('.virtual').getBoundingClientRect();
                const range = document.createRange();
                range.selectNodeContents(row);
                return [...range.getClientRects()].some(r => r.right > room.right + 1 || r.height > 30)
                    || row.scrollHeight > row.clientHeight + 2;
            }).map(row => row.textContent.slice(0, 60))",
        );
        assert_eq!(beyond, json!([]), "{width}");
        // The rows that are not in sight too.
        for word in [
            "KEYEND", "SECOND", "BESIDE", "TABEND", "SOFTEND", "WIDEEND", "ONEEND", "17",
        ] {
            page.run(
                "const field = document.querySelector('[aria-label=\"Find in Arguments\"]'); field.value = arguments[0]; field.dispatchEvent(new Event('input'))",
                &[json!(word)],
            );
            let seen = "[...document.querySelectorAll('.ask .vrow')].some(row => row.textContent.includes(window.word) && row.scrollWidth <= row.closest('.virtual').clientWidth + 1)";
            page.run("window.word = arguments[0]", &[json!(word)]);
            page.wait(seen);
        }
        page.finish();
    }
    daemon.finish().await;
}
