//! The examples in the pages work: a daemon accepts the JSON lines, the SQL runs,
//! and drawings and metrics are those that the program prints.

use std::{collections::BTreeSet, fs};

use runtraced::{json_mapping::event_from_line, proto};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::markdown::{self, Page};
use crate::support::otlp::post;
use crate::support::{
    daemon::Daemon,
    pg::{self, TestDatabase},
};

/// The event of every JSON line in the pages.
fn events() -> Vec<proto::Event> {
    let read = |page: &Page| {
        let blocks = page.blocks("jsonl").concat();
        let event = |line: &str| {
            event_from_line(line)
                .unwrap_or_else(|error| panic!("{}: {error}\n{line}", page.name))
                .event
        };
        blocks.lines().map(event).collect::<Vec<_>>()
    };
    markdown::pages().iter().flat_map(read).collect()
}

/// A database with the events of the JSON lines.
async fn told() -> TestDatabase {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let events = events();
    let count = events.len();
    let outcome = daemon.submit(events).await;
    assert_eq!(outcome.refused, []);
    assert_eq!(outcome.committed, u64::try_from(count).unwrap());
    daemon.finish().await;
    database
}

#[tokio::test]
async fn json_lines_are_taken_and_look_as_printed() {
    let database = told().await;
    let mut connection = database.connect().await;
    let lines: Vec<String> =
        sqlx::query_scalar("SELECT run_waterfall('0194bb0a-0000-7000-8000-000000000001', 40)")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let drawn = lines.join("\n") + "\n";
    assert_eq!(markdown::page("README.md").marked("example"), drawn);
}

#[test]
fn json_lines_show_every_kind_of_event() {
    let kinds: BTreeSet<_> = events()
        .iter()
        .map(|event| std::mem::discriminant(event.event.as_ref().unwrap()))
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert_eq!(kinds.len(), 11);
}

#[tokio::test]
async fn every_sql_block_runs() {
    let database = told().await;
    let mut count = 0;
    for page in markdown::pages() {
        for block in page.blocks("sql") {
            count += 1;
            let mut connection = database.connect().await;
            if let Err(error) = run_and_roll_back(&mut connection, &block).await {
                panic!("{}: {error}\n{block}", page.name);
            }
        }
    }
    assert!(count > 5, "only {count} blocks: are they found?");
}

/// Rolled back, because roles belong to the cluster that other tests share.
async fn run_and_roll_back(connection: &mut PgConnection, block: &str) -> Result<(), sqlx::Error> {
    const READER: &str = "CREATE ROLE trace_reader NOLOGIN; \
        GRANT USAGE ON SCHEMA public, auth TO trace_reader; \
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO trace_reader;";
    let mut transaction = connection.begin().await?;
    // An earlier block of the page makes this role.
    if block.contains("trace_reader") && !block.contains("CREATE ROLE trace_reader") {
        sqlx::raw_sql(READER).execute(&mut *transaction).await?;
    }
    let sql = AssertSqlSafe(block.to_owned());
    sqlx::raw_sql(sql).execute(&mut *transaction).await?;
    transaction.rollback().await
}

#[test]
fn the_demos_drawing_is_the_one_that_was_reviewed() {
    let file = markdown::path("tests/suite/snapshots/suite__demo__waterfalls.snap");
    let reviewed = fs::read_to_string(file).unwrap();
    // Each run of the demo has new ids.
    let without_ids = |line: &str| {
        let words = line.split(' ').filter(|word| word.len() != 36);
        words.collect::<Vec<_>>().join(" ")
    };
    let reviewed: Vec<String> = reviewed.lines().map(without_ids).collect();
    for line in markdown::page("README.md").marked("demo").lines() {
        let line = without_ids(line);
        let is_heading = line.starts_with("  run ");
        assert!(
            is_heading || reviewed.contains(&line),
            "README.md: the demo draws no longer\n{line}"
        );
    }
}

#[tokio::test]
async fn the_metrics_are_those_of_the_operations_page() {
    let database = pg::database().await;
    // Some are missing without a spool, or without the reaper.
    let flags = [
        ["--spool-dir", "spool"],
        ["--spool-bytes", "1048576"],
        ["--retain", "90d"],
        ["--sweep-interval", "0.1"],
    ];
    let daemon = Daemon::with_args(database.url(), flags.as_flattened()).await;
    while !daemon
        .get("/metrics")
        .await
        .1
        .contains("runtraced_table_bytes{")
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // The families of OTLP are empty until something was counted.
    let record =
        |of: &str, inner: &str| format!("{{\"resource{of}\":[{{\"scope{of}\":[{inner}]}}]}}");
    for (path, body) in [
        ("/v1/traces", record("Spans", r#"{"spans":[{}]}"#)),
        ("/v1/logs", record("Logs", r#"{"logRecords":[{}]}"#)),
        (
            "/v1/metrics",
            record("Metrics", r#"{"metrics":[{"sum":{"dataPoints":[{}]}}]}"#),
        ),
    ] {
        let headers = ["Content-Type: application/json"];
        assert_eq!(
            post(&daemon, path, &headers, body.as_bytes()).await.status,
            200
        );
    }
    let (_, metrics) = daemon.get("/metrics").await;
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let served: BTreeSet<&str> = lines
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .map(|name| {
            // The three names of a histogram.
            let parts = ["_bucket", "_sum", "_count"];
            let family = parts.iter().find_map(|part| name.strip_suffix(part));
            family.unwrap_or(name)
        })
        .collect();
    let page = markdown::page("docs/OPERATIONS.md");
    let cells = |head: &str| markdown::first_cells(page.text.split_once(head).unwrap().1);
    let told = [
        cells("| metric | meaning |"),
        cells("| histogram | labels | meaning |"),
    ];
    let told = told.concat();
    let told: BTreeSet<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(told, served);
    daemon.finish().await;
}
