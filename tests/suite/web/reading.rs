//! What the API shows, against SQL.

use std::collections::BTreeSet;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::client::{Answer, get};
use super::{approval, finished, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{ended_with, event, id, new_id, run_ended, run_started, step};
use crate::support::pg;
use crate::support::tables::value;

/// How many rows each of these queries gives.
async fn counts(conn: &mut PgConnection, sql: &str) -> Vec<usize> {
    let mut counts = Vec::new();
    for query in sql.split(";\n\n") {
        let rows = sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_all(&mut *conn)
            .await;
        counts.push(
            rows.unwrap_or_else(|error| panic!("{error}: {query}"))
                .len(),
        );
    }
    counts
}

/// Scenario: each answer's `sql` is given to the database as it is.
/// Guarantees: it runs, and gives as many rows as the answer has.
#[tokio::test]
async fn every_answer_has_its_sql_and_psql_takes_it() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, asked) = (new_id(), new_id());
    let mut events = finished(1_000, run, "it's a \\ \"quote\"", "search");
    events.push(approval(1_050, run, asked, None));
    daemon.submit(events).await;
    let mut conn = database.connect().await;
    let agent = "it%27s+a+%5C+%22quote%22";
    for (path, rows) in [
        ("/api/runs".to_owned(), "rows"),
        (
            format!("/api/runs?agent={agent}&q=search&tool=search&tag=t-search&meta.team=search"),
            "rows",
        ),
        (
            "/api/runs?sort=cost&order=asc&min_tokens=1&max_ms=100000".to_owned(),
            "rows",
        ),
        (format!("/api/runs/{run}/find?q=search"), "hits"),
        (format!("/api/runs/{run}/conversation"), "rows"),
        ("/api/approvals".to_owned(), "rows"),
        (
            "/api/cost?by=agent&since=2026-01-01T00:00:00Z".to_owned(),
            "rows",
        ),
    ] {
        let answer = get(&daemon, &path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let answer = answer.json();
        let there = answer[rows].as_array().unwrap();
        assert!(!there.is_empty(), "{path}");
        // The first of them gives the rows, the others what stands around them. Costs have a
        // row for all runs before those of the keys: the totals.
        let given = counts(&mut conn, answer["sql"].as_str().unwrap()).await;
        let totals = usize::from(answer["totals"].is_object());
        assert_eq!(given[0], totals + there.len(), "{path}");
    }
    let skeleton = get(&daemon, &format!("/api/runs/{run}")).await.json();
    let given = counts(&mut conn, skeleton["sql"].as_str().unwrap()).await;
    assert_eq!(given[0], skeleton["rows"]["count"]);
    // The run itself, its session, parent, children and siblings.
    assert_eq!(given[1..], [1, 0, 0, 0, 0]);
    let stats = get(&daemon, "/api/stats?since=2026-01-01T00:00:00Z")
        .await
        .json();
    assert_eq!(stats["totals"]["runs"], 1);
    assert_eq!(stats["tools"][0]["name"], "search");
    for sql in stats["sql"].as_object().unwrap().values() {
        let sql = sql.as_str().unwrap().to_owned();
        sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut conn)
            .await
            .unwrap();
    }
    daemon.finish().await;
}

/// Scenario: runs that differ in each property that can be filtered by.
/// Guarantees: a filter shows exactly the runs that fit, and what cannot be read is a 400.
#[tokio::test]
async fn filters_show_what_fits() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [a, b, live] = [(); 3].map(|()| new_id());
    daemon.submit(finished(0, a, "alpha", "search")).await;
    let mut events = finished(60_000, b, "beta", "send");
    events.pop();
    events.push(ended_with(run_ended(65_000, b, EndStatus::Failed), |end| {
        end.error = Some("Rate LIMIT of 50%".into());
    }));
    daemon.submit(events).await;
    daemon.submit(vec![run_started(120_000, live)]).await;
    for (filter, expected) in [
        ("status=completed", vec![a]),
        ("status=completed&status=failed", vec![b, a]),
        ("status=running", vec![live]),
        ("agent=alpha", vec![a]),
        ("agent=nobody", vec![]),
        ("tool=send", vec![b]),
        ("tag=t-search", vec![a]),
        ("meta.team=send", vec![b]),
        ("meta.team=x", vec![]),
        ("error=limit+of+50%25", vec![b]),
        ("error=5_%25", vec![]),
        ("min_ms=1000", vec![b]),
        ("max_ms=1000", vec![a]),
        ("min_tokens=1050", vec![b, a]),
        ("min_tokens=1051", vec![]),
        ("min_cost=0", vec![]),
        ("q=SEARCH", vec![a]),
        ("q=alpha", vec![a]),
        ("since=2026-01-01T00:01:00Z", vec![live, b]),
        ("until=2026-01-01T00:01:00Z", vec![a]),
        ("since=1h", vec![]),
        ("sort=duration", vec![b, a, live]),
        ("sort=duration&order=asc", vec![live, a, b]),
        ("order=asc", vec![a, b, live]),
        ("limit=1", vec![live]),
    ] {
        let answer = get(&daemon, &format!("/api/runs?{filter}")).await;
        let expected: Vec<String> = expected.iter().map(Uuid::to_string).collect();
        assert_eq!(answer.ids("run_id"), expected, "{filter}");
    }
    for malformed in [
        "min_ms=x",
        "since=yesterday",
        "session=7",
        "sort=name",
        "cursor=x",
        "min_cost=NaN",
        "limit=-1",
    ] {
        let answer = get(&daemon, &format!("/api/runs?{malformed}")).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &"bad_request".into()),
            "{malformed}"
        );
    }
    let facets = get(&daemon, "/api/facets").await.json();
    assert_eq!(facets["tools"].as_array().unwrap().len(), 2);
    assert_eq!(facets["tags"][0], "t-search");
    daemon.finish().await;
}

/// Scenario: runs, several of them of one time, are read page by page while newer ones arrive.
/// Guarantees: every run that was there is on exactly one page, for each order.
#[tokio::test]
async fn pages_neither_repeat_nor_lose_runs() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let runs: Vec<Uuid> = (0..25).map(|_| new_id()).collect();
    let of = |(index, run): (usize, &Uuid)| {
        let start = i64::try_from(index / 4).unwrap() * 1_000;
        vec![
            run_started(start, *run),
            run_ended(start + 500, *run, EndStatus::Completed),
        ]
    };
    daemon
        .submit(runs.iter().enumerate().flat_map(of).collect())
        .await;
    let expected: BTreeSet<String> = runs.iter().map(Uuid::to_string).collect();
    for order in [
        "sort=started",
        "sort=started&order=asc",
        "sort=duration",
        "sort=tokens&order=asc",
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = get(
                &daemon,
                &format!("/api/runs?{order}&until=2026-01-02T00:00:00Z&limit=7{cursor}"),
            )
            .await;
            seen.extend(answer.ids("run_id"));
            // Newer ones, outside of what is listed.
            daemon
                .submit(vec![run_started(200_000_000, new_id())])
                .await;
            match answer.json()["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), expected.len(), "{order}");
        assert_eq!(
            seen.into_iter().collect::<BTreeSet<_>>(),
            expected,
            "{order}"
        );
    }
    daemon.finish().await;
}

/// Scenario: a run with an output of 20 million characters and one of 10,000 steps.
/// Guarantees: payloads come in pieces that make up the whole; a skeleton has none of them and is
/// small; a run that is not there is a 404.
#[tokio::test]
async fn payloads_come_in_pieces_and_skeletons_without_them() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, big) = (new_id(), new_id());
    let mut large = step(1_000, 2_000, run, big);
    if let Some(Body::StepEnded(ended)) = &mut large.event {
        ended.output_json = Some(format!("\"{}\"", "ü".repeat(10_000_000)));
    }
    daemon.submit(vec![run_started(0, run), large]).await;
    let steps: Vec<_> = (1..10_000)
        .map(|at| step(at, at + 3, run, new_id()))
        .collect();
    for some in steps.chunks(2_000) {
        daemon.submit(some.to_vec()).await;
    }
    let skeleton = get(&daemon, &format!("/api/runs/{run}")).await;
    assert!(skeleton.body.len() < 600_000, "{}", skeleton.body.len());
    let rows = &skeleton.json()["rows"];
    assert_eq!(rows["count"], 10_000);
    assert_eq!(rows["ids"].as_str().unwrap().len(), 220_000);
    let path = format!("/api/runs/{run}/payload?item=step&id={big}");
    let first = get(&daemon, &path).await.json();
    let output = &first["fields"]["output"];
    assert_eq!(
        (&output["chars"], &output["cut"]),
        (&10_000_002.into(), &true.into())
    );
    assert_eq!(output["text"].as_str().unwrap().chars().count(), 262_144);
    let last = get(&daemon, &format!("{path}&field=output&offset=9999990"))
        .await
        .json();
    assert_eq!(last["fields"]["output"]["text"], "üüüüüüüüüüü\"");
    assert_eq!(last["fields"]["output"]["cut"], false);
    for missing in [
        format!("/api/runs/{}", new_id()),
        format!("/api/runs/{run}/payload?item=step&id={}", new_id()),
        format!("/api/runs/{}/export", new_id()),
        format!("/api/runs/{}/events", new_id()),
        format!("/api/sessions/{}/conversation", new_id()),
        format!("/api/approvals/{}", new_id()),
        "/api/nothing".to_owned(),
    ] {
        assert_eq!(get(&daemon, &missing).await.status, 404, "{missing}");
    }
    daemon.finish().await;
}

/// Scenario: a run with everything in it is exported, and the file sent to another daemon.
/// Guarantees: the run is the same there.
#[tokio::test]
async fn an_exported_run_is_the_same_elsewhere() {
    const RUN: &str = "SELECT to_jsonb(s) - 'running_ms' FROM run_summary AS s";
    const TIMELINE: &str =
        "SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.position), '[]') FROM run_timeline AS t";
    let (here, there) = (pg::database().await, pg::database().await);
    let daemon = Daemon::start(here.url()).await;
    let (run, asked) = (new_id(), new_id());
    let mut events = finished(1_000, run, "agent", "search");
    events.push(approval(1_050, run, asked, None));
    events.push(event(
        1_060,
        Body::ScoreAdded(proto::ScoreAdded {
            score_id: id(new_id()),
            run_id: id(run),
            name: "correctness".into(),
            value: Some(0.5),
            comment: Some("half".into()),
            ..Default::default()
        }),
    ));
    for output in ["\"text\"", "null", "[1, \"two\"]"] {
        let mut one = step(1_010, 1_020, run, new_id());
        if let Some(Body::StepEnded(ended)) = &mut one.event {
            ended.output_json = Some(output.to_owned());
            ended.error = Some("line one\nline two\u{2028}".into());
        }
        events.push(one);
    }
    daemon.submit(events).await;
    let Answer { status, body, .. } = get(&daemon, &format!("/api/runs/{run}/export")).await;
    assert_eq!(status, 200);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), body).unwrap();
    let other = Daemon::start(there.url()).await;
    let path = file.path().to_str().unwrap();
    let said = runtraced(there.url(), &["send", path, "--endpoint", other.grpc_url()]);
    assert!(said.contains("0 refused"), "{said}");
    let (mut here, mut there) = (here.connect().await, there.connect().await);
    for query in [RUN, TIMELINE] {
        assert_eq!(
            value(&mut here, query).await,
            value(&mut there, query).await
        );
    }
    daemon.finish().await;
    other.finish().await;
}
