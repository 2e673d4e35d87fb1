//! Who may read and decide, as the page shows it.

use serde_json::json;

use super::browser::Browser;
use super::world::{About, started};
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, new_id};
use crate::support::pg;
use crate::support::process::runtraced;

const ENTER: &str = "\u{e007}";

/// Scenario: the daemon requires keys. Somebody opens a link without one, tries a key that may
/// only write, and then one that may read; and logs out.
/// Guarantees: nothing is shown before; a wrong key is told as such; the link opens after the
/// login; a reader cannot decide; nothing is shown after the log-out.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_the_page_and_a_log_out_closes_it() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    let key = async |rights: &[&str]| {
        let args = [&["keys", "create", "--name", "k"], rights].concat();
        let (code, said) = runtraced(&args, database.url()).await;
        assert_eq!(code, 0, "{said}");
        said.lines()
            .find(|line| line.starts_with("rt_"))
            .unwrap()
            .to_owned()
    };
    let (writer, reader) = (key(&[]).await, key(&["--read"]).await);
    let run = new_id();
    let about = About {
        name: "secret run",
        agent: "agent",
        ..About::default()
    };
    let events = vec![started(run, &about), approval_requested(10, run, new_id())];
    let client = daemon.client().await.with_key(&writer).unwrap();
    client.submit_committed(events).await.unwrap();
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/runs/{run}"));
    let enter = |key: &str| {
        page.wait("document.activeElement.id === 'key'");
        page.run(
            "document.querySelector('#key').value = arguments[0]",
            &[json!(key)],
        );
        page.press(ENTER);
    };
    enter(&writer);
    page.wait("document.querySelector('.login [role=alert]')?.textContent");
    assert!(!page.text("body").contains("secret run"));
    enter(&reader);
    page.wait_text("h1", "secret run");
    page.go("/approvals");
    page.wait_text(".ask footer", "You may read, not decide");
    assert_eq!(page.count(".ask footer button:enabled"), 0);
    page.click("#log-out");
    page.wait("document.querySelector('.login')");
    page.go(&format!("/runs/{run}"));
    page.wait("document.querySelector('.login')");
    assert!(!page.text("main").contains("secret run"));
    page.finish();
    daemon.finish().await;
}
