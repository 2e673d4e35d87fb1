//! The dashboards of `deploy/grafana`: every panel's query runs, and finds something after some agents have worked.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runtraced::cli::demo::story;
use runtraced::proto::{EndStatus, Event};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Column as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::alerts::promtool::Scrapes;
use crate::docs::markdown;
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{at, ended_with, new_id, run_ended, run_started, score};
use crate::support::otlp::post;
use crate::support::pg::{self, TestDatabase};
use crate::support::product::execute;
use crate::support::spool::SpoolDir;

fn dashboard(name: &str) -> Value {
    let file = markdown::path("deploy/grafana").join(name);
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Title, unit of time and query of each query of a dashboard.
fn queries(dashboard: &Value, field: &str) -> Vec<(String, bool, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let all = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        panel["targets"].as_array().unwrap().iter().map(|target| {
            let query = target[field].as_str().unwrap().to_owned();
            (title.to_owned(), target["format"] == "time_series", query)
        })
    });
    all.collect()
}

/// The demo's runs, a run that failed, and scores, of today.
fn work() -> Vec<Event> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let begin_us = i64::try_from(now.as_micros()).unwrap() - 60_000_000;
    let story = story(begin_us, &mut Uuid::now_v7);
    let mut events: Vec<Event> = story.scenes.into_iter().flat_map(|s| s.events).collect();
    let (failed, running) = (new_id(), new_id());
    let mut more = vec![
        run_started(0, failed),
        ended_with(run_ended(1_000, failed, EndStatus::Failed), |end| {
            end.error = Some("no".into());
        }),
        score(1_000, failed, new_id(), 0.5),
        run_started(0, running),
    ];
    for event in &mut more {
        // Their times are milliseconds from a fixed day on.
        let moved = at(0);
        let time = event.time.as_mut().unwrap();
        time.seconds += begin_us / 1_000_000 - moved.seconds;
    }
    events.extend(more);
    events
}

/// A daemon that got this work, and prices of the demo's models.
async fn worked() -> (TestDatabase, Daemon) {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let daemon = Daemon::with_args(database.url(), &dir.flags(&[])).await;
    assert_eq!(daemon.submit(work()).await.refused, []);
    let mut conn = database.connect().await;
    let prices = "INSERT INTO model_prices (model, input, output)
        SELECT DISTINCT model, 1, 2 FROM agent_token_costs WHERE model IS NOT NULL ON CONFLICT DO NOTHING";
    execute(&mut conn, prices.to_owned()).await;
    (database, daemon)
}

/// What Grafana makes of the macros that the queries use.
fn expanded(query: &str, agents: &str) -> String {
    let mut query = query
        .replace("$__interval", "300")
        .replace("${agent:sqlstring}", agents);
    while let Some((before, rest)) = query.split_once("$__time") {
        let (name, rest) = rest.split_once('(').unwrap();
        let (argument, after) = rest.split_once(')').unwrap();
        let sql = match name {
            "Filter" => {
                format!("{argument} BETWEEN now() - INTERVAL '7 days' AND now() + INTERVAL '1 day'")
            }
            "GroupAlias" => {
                let column = argument.strip_suffix(", 300").unwrap();
                format!("floor(extract(epoch from {column})/300)*300 AS \"time\"")
            }
            other => panic!("$__time{other} is not known here"),
        };
        query = format!("{before}{sql}{after}");
    }
    assert!(!query.contains('$'), "{query}");
    query
}

/// The rows of a query, each as the names of its columns.
async fn columns(conn: &mut PgConnection, title: &str, query: &str) -> Vec<Vec<String>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(query.to_owned()))
        .fetch_all(conn)
        .await;
    let rows = rows.unwrap_or_else(|error| panic!("{title}: {error}\n{query}"));
    let names = |row: &sqlx::postgres::PgRow| {
        let columns = row.columns().iter();
        columns.map(|column| column.name().to_owned()).collect()
    };
    rows.iter().map(names).collect()
}

/// Scenario: the demo's agents have worked, one of them failed.
/// Guarantees: every query of the dashboard for agents runs and finds rows, with a time where the panel needs one.
#[tokio::test(flavor = "multi_thread")]
async fn the_panels_about_agents_show_something() {
    let (database, daemon) = worked().await;
    let mut conn = database.connect().await;
    let agents = dashboard("agents.json");
    let variable = &agents["templating"]["list"][1];
    assert_eq!(variable["name"], "agent");
    let listed = expanded(variable["query"].as_str().unwrap(), "");
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(listed))
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert!(names.len() >= 3, "{names:?}");
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let names = names.join(",");
    for (title, is_series, query) in queries(&agents, "rawSql") {
        let query = expanded(&query, &names);
        let rows = columns(&mut conn, &title, &query).await;
        assert!(!rows.is_empty(), "{title} shows nothing\n{query}");
        if is_series {
            assert_eq!(rows[0][0], "time", "{title}");
        }
    }
    daemon.finish().await;
}

/// Scenario: a daemon that got events and a span that it does not understand. Then Postgres goes, one more event is
/// spooled, and Postgres comes back.
/// Guarantees: every query of the dashboard for the daemon has a number.
#[tokio::test(flavor = "multi_thread")]
async fn the_panels_about_the_daemon_show_something() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let mut daemon = Daemon::with_args(cluster.url(), &dir.flags(&[])).await;
    daemon.expect_warnings(AWAY);
    daemon.expect_warnings("were not understood");
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 10).await;
    assert_eq!(daemon.submit(work()).await.refused, []);
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"zork.engine"},"spans":[{
        "traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"ponder",
        "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000001000000000",
        "attributes":[{"key":"zork.prompt","value":{"stringValue":"x"}},
        {"key":"zork.completion.0","value":{"stringValue":"y"}}]}]}]}]}"#;
    let headers = ["Content-Type: application/json"];
    let answer = post(&daemon, "/v1/traces", &headers, span.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    cluster.stop_immediate().await;
    let client = daemon.client().await;
    let answer = client.submit(vec![run_started(0, new_id())]).await.unwrap();
    assert_eq!(answer.outcome.unwrap().spooled, 1);
    drop(client);
    cluster.start().await;
    let replayed = "runtraced_replay_lag_seconds_count";
    let until = Instant::now() + Duration::from_secs(60);
    while daemon.metrics().await[replayed] == 0 {
        assert!(Instant::now() < until, "{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Rates are those of the last minutes.
    scrapes.minutes(&daemon, 3).await;
    let expressions: Vec<String> = queries(&dashboard("daemon.json"), "expr")
        .into_iter()
        .map(|(_, _, query)| {
            query
                .replace("$__rate_interval", "5m")
                .replace("$__range", "15m")
                .replace("$job", ".+")
                .replace("$instance", ".+")
        })
        .collect();
    assert!(expressions.iter().all(|query| !query.contains('$')));
    scrapes.assert_values(&expressions);
    daemon.finish().await;
}

/// Panels do not overlap, ids are unique, and data sources are variables that the dashboard asks for.
#[test]
fn dashboards_can_be_imported() {
    for name in ["daemon.json", "agents.json"] {
        let dashboard = dashboard(name);
        let source = &dashboard["templating"]["list"][0];
        assert_eq!(source["type"], "datasource", "{name}");
        let uid = format!("${{{}}}", source["name"].as_str().unwrap());
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title}");
            let targets = panel["targets"].as_array().unwrap();
            for source in targets.iter().chain([panel]) {
                assert_eq!(source["datasource"]["uid"], uid, "{name}: {title}");
            }
            let side = |field: &str| panel["gridPos"][field].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{name}: {title}");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(places.insert((x, y)), "{name}: {title} is over another");
                }
            }
        }
    }
}
