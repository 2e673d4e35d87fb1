//! The list of runs.

use std::collections::HashSet;

use runtraced::proto::EndStatus;
use serde_json::json;

use super::browser::Browser;
use super::world::{About, started, told};
use crate::support::daemon::Daemon;
use crate::support::events::{self, new_id};
use crate::support::pg;

const ENTER: &str = "\u{e007}";

/// Scenario: the list is open on an empty database; a run starts, and then fails.
/// Guarantees: the row appears and changes by itself; the page was not loaded again.
#[tokio::test(flavor = "multi_thread")]
async fn runs_appear_and_end_without_a_reload() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/");
    page.wait_text("main", "No runs yet");
    page.wait_text(".live", "Live");
    page.run("window.same = 'page'", &[]);
    let run = new_id();
    let about = About {
        name: "Write to Dana",
        agent: "writer",
        ..About::default()
    };
    daemon.submit(vec![started(run, &about)]).await;
    page.wait_text("tbody tr", "Write to Dana");
    assert_eq!(page.count("tbody .dot.running"), 1);
    daemon
        .submit(vec![events::run_ended(900, run, EndStatus::Failed)])
        .await;
    page.wait("document.querySelector('tbody .dot.failed')");
    page.wait_text("tbody td", "900 ms");
    assert_eq!(page.value("window.same"), "page");
    page.finish();
    daemon.finish().await;
}

/// Scenario: four runs that differ in everything; each filter is used as a person would.
/// Guarantees: the filter shows exactly the runs that match; the address holds it, and shows
/// the same in a new load; taking the filter away shows all again.
#[tokio::test(flavor = "multi_thread")]
async fn every_filter_shows_what_matches_and_is_in_the_address() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (session, customer) = (new_id(), new_id());
    let mut conn = database.connect().await;
    for insert in [
        format!("INSERT INTO customers (id, name, arr) VALUES ('{customer}', 'Acme', 1)"),
        "INSERT INTO model_prices (model, input, output) VALUES ('gpt-4o', 1, 0)".into(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(insert))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let base = About {
        name: "plain",
        agent: "writer",
        took: 100,
        tool: "search",
        input_tokens: 100,
        ..About::default()
    };
    let failing = About {
        name: "broken",
        error: Some("the mailbox is full"),
        ..base.clone()
    };
    let other = About {
        name: "other",
        agent: "reader",
        tool: "refund",
        session: Some(session),
        customer: Some(customer),
        metadata: Some(r#"{"team":"docs","tags":["prod"],"user":"dana"}"#),
        took: 90_000,
        input_tokens: 50_000,
        ..base.clone()
    };
    for about in [&base, &failing, &other] {
        let outcome = daemon.submit(told(about).events).await;
        assert_eq!(outcome.refused, []);
    }
    let live = About {
        name: "live",
        ..base.clone()
    };
    daemon.submit(vec![started(new_id(), &live)]).await;
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };

    let names = |page: &Browser| -> HashSet<String> {
        let names = page.value(
            "[...document.querySelectorAll('tbody .what a:first-of-type')].map(a => a.textContent)",
        );
        serde_json::from_value(names).unwrap()
    };
    let shows = |page: &Browser, want: &[&str], address: &str| {
        page.wait(&format!(
            "document.querySelectorAll('tbody tr').length === {}",
            want.len()
        ));
        page.wait_text(".live", "Live");
        let want: HashSet<String> = want.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names(page), want, "{address}");
        assert_eq!(page.address(), address);
    };
    let all = ["plain", "broken", "other", "live"];
    page.go("/");
    shows(&page, &all, "/");

    for (status, want) in [("running", "live"), ("failed", "broken")] {
        page.click(&format!(".seg button[value={status}]"));
        shows(&page, &[want], &format!("/?status={status}"));
    }
    page.click(".seg button[value='']");
    shows(&page, &all, "/");
    page.press("/mailbox");
    page.press(ENTER);
    shows(&page, &["broken"], "/?q=mailbox");
    page.go("/");
    shows(&page, &all, "/");
    // All of these runs began on the first day of 2026.
    page.run(
        "const time = document.querySelector('select'); time.value = '15m'; time.dispatchEvent(new Event('change'))",
        &[],
    );
    page.wait_text("main", "No run matches the filter");
    assert_eq!(page.address(), "/?since=15m");

    let (session, customer) = (session.to_string(), customer.to_string());
    let fields: [(&str, &str, &[&str], String); 14] = [
        ("[name=tag]", "prod", &["other"], "tag=prod".into()),
        ("[name=user]", "dana", &["other"], "user=dana".into()),
        (
            "[name=customer]",
            &customer,
            &["other"],
            format!("customer={customer}"),
        ),
        // 100 tokens cost $0.0001, and 50,000 cost $0.05. What has not ended has cost nothing yet.
        (
            "[name=min_cost]",
            "$0.05",
            &["other"],
            "min_cost=0.05".into(),
        ),
        (
            "[name=max_cost]",
            "0.01",
            &["plain", "broken"],
            "max_cost=0.01".into(),
        ),
        (
            "[name=max_tokens]",
            "5k",
            &["plain", "broken", "live"],
            "max_tokens=5000".into(),
        ),
        ("[name=agent]", "reader", &["other"], "agent=reader".into()),
        (
            "[name=model]",
            "gpt-4o",
            &["plain", "broken", "other"],
            "model=gpt-4o".into(),
        ),
        ("[name=tool]", "refund", &["other"], "tool=refund".into()),
        (
            "[name=session]",
            &session,
            &["other"],
            format!("session={session}"),
        ),
        (
            "[name=error]",
            "MAILBOX",
            &["broken"],
            "error=MAILBOX".into(),
        ),
        ("[name=min_ms]", "1.5s", &["other"], "min_ms=1500".into()),
        (
            "[name=max_ms]",
            "1.5s",
            &["plain", "broken"],
            "max_ms=1500".into(),
        ),
        (
            "[name=min_tokens]",
            "5k",
            &["other"],
            "min_tokens=5000".into(),
        ),
    ];
    for (field, typed, want, query) in fields {
        page.go("/");
        shows(&page, &all, "/");
        page.click("summary");
        page.wait("document.activeElement.name === 'agent'");
        page.fill(field, typed);
        page.press(ENTER);
        let address = format!("/?{query}");
        shows(&page, want, &address);
        // A colleague who opens the link sees the same.
        page.go(&address);
        shows(&page, want, &address);
        // The chip takes the filter away.
        page.click(".chip button");
        shows(&page, &all, "/");
    }
    page.click("summary");
    page.wait("document.activeElement.name === 'agent'");
    page.fill("#meta-key", "team");
    page.fill("#meta-value", "docs");
    page.press(ENTER);
    shows(&page, &["other"], "/?meta.team=docs");
    page.click("summary");
    page.wait("document.activeElement.name === 'agent'");
    page.fill("[name=max_cost]", "nonsense");
    page.press(ENTER);
    page.wait_text("form [role=alert]", "cannot read “nonsense”");
    page.finish();
    daemon.finish().await;
}

/// Scenario: 60 runs, of which each takes longer than the one before.
/// Guarantees: pages follow each other without a gap; each heading sorts, both ways; the
/// address holds it.
#[tokio::test(flavor = "multi_thread")]
async fn pages_and_orders_are_in_the_address() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    for n in 0..60 {
        let name = format!("run {n}");
        let about = About {
            name: &name,
            agent: "a",
            at: 1_000 * n,
            took: 50 + n,
            tool: "t",
            input_tokens: 10 + n,
            ..About::default()
        };
        daemon.submit(told(&about).events).await;
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/");
    page.wait_text("tbody tr:first-child", "run 59");
    assert_eq!(page.count("tbody tr"), 50);
    page.wait_text(".bar a", "Next page");
    page.press("]");
    page.wait_text("tbody tr:first-child", "run 9");
    assert_eq!(page.count("tbody tr"), 10);
    assert!(page.address().starts_with("/?cursor="));
    page.press("[");
    page.wait_text("tbody tr:first-child", "run 59");
    for (heading, field) in [
        ("Duration", "duration"),
        ("Tokens", "tokens"),
        ("Started", "started"),
    ] {
        let click = "[...document.querySelectorAll('th button')].find(b => b.textContent.startsWith(arguments[0])).click()";
        page.run(click, &[json!(heading)]);
        let down = format!("/?sort={field}");
        page.wait(&format!("location.search === '{}'", &down[1..]));
        page.wait_text("tbody tr:first-child", "run 59");
        page.run(click, &[json!(heading)]);
        page.wait_text("tbody tr:first-child", "run 0");
        assert_eq!(page.address(), format!("/?sort={field}&order=asc"));
    }
    page.finish();
    daemon.finish().await;
}

/// Scenario: the list is used with the keyboard alone.
/// Guarantees: keys go through the rows, find the failure, mark two runs and compare them,
/// open a run, show help and SQL.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_used_by_keys() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    for (n, (name, error)) in [("third", None), ("second", Some("no")), ("first", None)]
        .into_iter()
        .enumerate()
    {
        let at = 1_000 * i64::try_from(n).unwrap();
        let about = About {
            name,
            agent: "a",
            error,
            at,
            took: 50,
            tool: "t",
            ..About::default()
        };
        daemon.submit(told(&about).events).await;
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/");
    page.wait("document.querySelectorAll('tbody tr').length === 3");
    page.wait_text(".live", "Live");
    let focused = |page: &Browser| page.value("document.activeElement.textContent");
    for (key, want) in [
        ("j", "first"),
        ("j", "second"),
        ("J", "third"),
        ("k", "second"),
        ("K", "first"),
        ("e", "second"),
    ] {
        page.press(key);
        assert_eq!(focused(&page), want, "{key}");
    }
    page.press("?");
    page.wait_text("dialog[open]", "previous error");
    page.press("\u{e00c}");
    page.wait("!document.querySelector('dialog')");
    page.press("s");
    page.wait_text("dialog[open] pre", "SELECT");
    page.press("\u{e00c}");
    page.wait("!document.querySelector('dialog')");
    page.press("xjx");
    page.wait_text(".bar", "2 runs marked");
    page.press("c");
    page.wait("location.pathname === '/compare'");
    page.wait_text(".pairs", "t");
    page.run("history.back()", &[]);
    page.wait("document.querySelectorAll('tbody tr').length === 3");
    page.press("jj");
    page.press(ENTER);
    page.wait("location.pathname.startsWith('/runs/')");
    page.wait_text("h1", "second");
    page.finish();
    daemon.finish().await;
}
