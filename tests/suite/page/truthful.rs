//! What the page says about odd times, about parts, and while the database is away.

use runtraced::proto::event::Event as Body;
use serde_json::json;
use sqlx::raw_sql;

use super::browser::Browser;
use super::world::{About, started, told, tool};
use crate::support::daemon::Daemon;
use crate::support::events::{self, new_id};
use crate::support::pg;

fn about() -> About<'static> {
    About {
        name: "plain",
        agent: "agent",
        tool: "search",
        took: 100,
        ..About::default()
    }
}

/// Scenario: the clock of a sender is a year ahead; somebody looks at the overview of the time before, at a list of
/// no rows, and filters by a time.
/// Guarantees: charts are drawn without a fault; the list shows a run; the filter is told in the time of the reader.
#[tokio::test(flavor = "multi_thread")]
async fn odd_times_and_limits_do_no_harm() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let ahead = About {
        at: 31_536_000_000,
        ..about()
    };
    for about in [about(), ahead] {
        daemon.submit(told(&about).events).await;
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.devtools(
        "Emulation.setTimezoneOverride",
        &json!({"timezoneId": "America/New_York"}),
    );
    page.go("/overview?since=2025-12-31T00:00:00Z");
    page.wait("document.querySelectorAll('.chart svg').length >= 4");
    page.go("/?limit=0");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    page.go("/?since=2025-12-31T12:00:00Z");
    page.wait_text(".chip", "2025-12-31 07:00:00");
    page.go("/runs");
    page.wait("document.querySelectorAll('tbody tr').length === 2");
    page.finish();
    daemon.finish().await;
}

/// Scenario: two runs have texts that differ only behind what is compared.
/// Guarantees: the comparison says that it has only the beginnings, not that the texts are the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_compared_in_part_is_not_called_the_same() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let runs = [new_id(), new_id()];
    for (n, run) in runs.into_iter().enumerate() {
        let mut step = tool(run, new_id(), &about(), 10, 40, None);
        if let Some(Body::StepEnded(ended)) = &mut step.event {
            let text = format!("{}{n}", "line\n".repeat(60_000));
            ended.output_json = Some(json!(text).to_string());
        }
        let list = vec![started(run, &about()), step];
        assert_eq!(daemon.submit(list).await.refused, []);
    }
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/compare?a={}&b={}", runs[0], runs[1]));
    page.wait_text(".pairs .sign", "output");
    page.press("e");
    page.wait_text(".difference h3", "Output");
    let said = page
        .value("[...document.querySelectorAll('.difference .bar')].map(bar => bar.textContent)");
    assert_eq!(
        said,
        json!(["Inputthe same", "Outputthe beginnings are the same"])
    );
    page.finish();
    daemon.finish().await;
}

/// Scenario: a run is watched; a step arrives together with the later one that holds it, and a run that it started.
/// Then the page is opened anew on that run.
/// Guarantees: the step stands below the other at once; the address shows the started run again.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_stands_below_the_later_one_that_holds_it() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, outer, inner, child] = [(); 4].map(|()| new_id());
    assert_eq!(
        daemon.submit(vec![started(run, &about())]).await.refused,
        []
    );
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go(&format!("/runs/{run}"));
    page.wait_text(".live", "Live");
    let mut early = tool(run, inner, &about(), 10, 20, None);
    if let Some(Body::StepEnded(ended)) = &mut early.event
        && let Some(details) = &mut ended.details
    {
        details.parent_step_id = events::id(outer);
    }
    let late = tool(run, outer, &about(), 15, 40, None);
    let begun = events::started_with(events::run_started(50, child), |start| {
        start.parent_run_id = events::id(run);
        start.name = Some("the child".to_owned());
    });
    assert_eq!(daemon.submit(vec![early, late, begun]).await.refused, []);
    page.wait("document.querySelectorAll('.tree .vrow').length === 4");
    let levels = "[...document.querySelectorAll('.tree .vrow')].map(row => row.ariaLevel).join('')";
    assert_eq!(page.value(levels), "1232");
    page.go(&format!("/runs/{run}?step={child}"));
    page.wait_text(".right h2", "the child");
    page.finish();
    daemon.finish().await;
}

/// Scenario: the database stops to answer while somebody looks at the list, which is then opened anew; later it
/// answers again.
/// Guarantees: the list does not go on to call itself live; it says what is wrong, and shows the runs again without a
/// reload.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_that_the_database_is_away_and_comes_back() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::start(database.url()).await;
    daemon.submit(told(&about()).events).await;
    let Some(page) = Browser::open(daemon.http_address()) else {
        return daemon.finish().await;
    };
    page.go("/");
    page.wait_text(".live", "Live");
    raw_sql("ALTER VIEW run_summary RENAME TO away")
        .execute(&mut conn)
        .await
        .unwrap();
    page.wait_text(".live", "Reconnecting");
    page.go("/?status=completed");
    page.wait_text(".note", "the database cannot be read now");
    raw_sql("ALTER VIEW away RENAME TO run_summary")
        .execute(&mut conn)
        .await
        .unwrap();
    page.wait_text("tbody", "plain");
    page.wait_text(".live", "Live");
    page.finish();
    daemon.finish().await;
}
