//! Hand-made contents read right, whatever they are, and only where somebody asks for them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::rows::{
    execute, hash, insert_contents, insert_conversation, insert_run, insert_step, reference, shown,
};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;

/// Leaves, lists of pieces and of parts, objects of both, lists in objects in lists, and what two
/// windows share.
const EVERY_KIND: &str = r#"
    1 0 0 0 - "a text"
    2 0 0 0 - null
    3 0 0 0 - {"$content": "00000000-0000-0000-0000-000000000001"}
    4 1 0 0 - [1, null, {"a": []}]
    5 1 4 1 -
    6 1 5 0 - ["last"]
    7 1 0 2 -
    10 2 0 0 - {"model": "m", "n": 1}
    11 2 10 6 messages
    12 2 11 1 tools
    13 2 12 0 - {"n": 2}
    20 1 0 13 -
    21 1 20 12 -
    22 1 21 3 -
    30 1 0 1 -
    31 1 30 13 -
    32 1 0 13 -
    33 1 32 4 -
    40 1 0 0 - []
    41 2 0 0 - {}
    42 1 40 40 -
"#;

/// Scenario: every kind of row, nested, shared, empty.
/// Guarantees: each reads as what it says.
#[tokio::test]
async fn every_kind_reads_as_what_it_says() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let run = new_id();
    insert_run(&mut conn, run).await;
    insert_contents(&mut conn, run, EVERY_KIND).await;
    let list = json!([1, null, {"a": []}, "a text", "last"]);
    let call = json!({"model": "m", "n": 1, "messages": list, "tools": "a text"});
    let mut later = call.clone();
    later["n"] = json!(2);
    let lookalike = json!({"$content": hash(1)});
    for (number, want) in [
        (1, json!("a text")),
        (2, json!(null)),
        (3, lookalike.clone()),
        (4, json!([1, null, {"a": []}])),
        (5, json!([1, null, {"a": []}, "a text"])),
        (6, list.clone()),
        (7, json!([null])),
        (10, json!({"model": "m", "n": 1})),
        (12, call.clone()),
        (13, later.clone()),
        (20, json!([later])),
        (22, json!([later, call, lookalike])),
        (31, json!(["a text", later])),
        (33, json!([later, [1, null, {"a": []}]])),
        (40, json!([])),
        (41, json!({})),
        (42, json!([[]])),
    ] {
        let got = shown(&mut conn, run, &reference(number)).await;
        assert_eq!(got, want, "{number}");
    }
}

/// Scenario: values that are no references; rows that are missing, before, within and at all; the
/// contents of another run.
/// Guarantees: a value of which something is missing is shown as it is stored, and never in part.
#[tokio::test]
async fn what_is_not_there_is_shown_as_it_is() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (run, other) = (new_id(), new_id());
    insert_run(&mut conn, run).await;
    insert_run(&mut conn, other).await;
    insert_contents(
        &mut conn,
        run,
        r#"1 0 0 0 - "here"
           2 1 99 0 - ["a"]
           3 1 0 99 -
           4 1 3 1 -
           5 2 0 99 m
           6 2 5 1 n
           7 1 0 2 -
           8 1 1 0 - ["after a leaf"]
           9 2 3 0 - {"after": "a list"}"#,
    )
    .await;
    insert_contents(&mut conn, other, r#"98 0 0 0 - "elsewhere""#).await;
    for value in [
        json!(null),
        json!(true),
        json!("$content"),
        json!([reference(1)]),
        json!({"$content": 5}),
        json!({"$content": null}),
        json!({"$content": "no hash"}),
        json!({"$content": hash(1).simple().to_string()}),
        json!({"$content": hash(1), "more": 1}),
        json!({"$Content": hash(1)}),
        json!({"a": "x".repeat(5_000)}),
        reference(98),
        reference(99),
        // Something before it or in it is missing, or what is before it is no list or object.
        reference(2),
        reference(3),
        reference(4),
        reference(5),
        reference(6),
        reference(7),
        reference(8),
        reference(9),
    ] {
        assert_eq!(shown(&mut conn, run, &value).await, value);
    }
    let nothing: Option<Value> = sqlx::query_scalar("SELECT content_value($1, NULL)")
        .bind(run)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(nothing, None);
    let no_run: Value = sqlx::query_scalar("SELECT content_value(NULL, $1)")
        .bind(reference(1))
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(no_run, reference(1));
}

/// Scenario: rows that the daemon never writes: chains that come back to themselves, at once or after
/// a long way, and values that hold themselves.
/// Guarantees: reading them ends soon, without an error.
#[tokio::test]
async fn cycles_end() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let run = new_id();
    insert_run(&mut conn, run).await;
    let mut lines = String::from("1 1 1 0 - [1]\n2 1 3 0 - [2]\n3 1 2 0 - [3]\n");
    // A way of 300 rows into a cycle of 700.
    for row in 1_000..2_000_u32 {
        let prev = if row == 1_000 { 1_699 } else { row - 1 };
        lines.push_str(&format!("{row} 1 {prev} 0 - [0]\n"));
    }
    lines.push_str("10 1 0 10 -\n11 1 0 12 -\n12 2 0 11 m\n13 1 11 12 -\n");
    for row in 3_000..3_100_u32 {
        lines.push_str(&format!("{row} 1 0 {} -\n", row + 1));
    }
    lines.push_str("3100 0 0 0 - \"deep\"\n");
    insert_contents(&mut conn, run, &lines).await;
    execute(&mut conn, "SET statement_timeout = '20s'").await;
    // 3,000 is no cycle, but deeper than the daemon cuts.
    for number in [1, 2, 3, 10, 11, 12, 13, 1_000, 1_699, 1_999, 3_000] {
        let value = reference(number);
        assert_eq!(shown(&mut conn, run, &value).await, value, "{number}");
    }
    let deep = shown(&mut conn, run, &reference(3_090)).await;
    assert_eq!(deep, json!([[[[[[[[[["deep"]]]]]]]]]]));
}

/// Scenario: rows that say two things, or nothing.
/// Guarantees: the table takes none of them.
#[tokio::test]
async fn rows_that_say_nothing_are_refused() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let run = new_id();
    insert_run(&mut conn, run).await;
    let (a, b) = (hash(1), hash(2));
    for values in [
        "0, NULL, NULL, NULL, NULL".to_owned(),
        format!("1, NULL, '{b}', NULL, '[]'"),
        format!("0, NULL, '{b}', NULL, NULL"),
        format!("0, '{b}', NULL, NULL, '1'"),
        "0, NULL, NULL, 'n', '1'".to_owned(),
        "2, NULL, NULL, 'n', '{}'".to_owned(),
        format!("1, NULL, '{b}', 'n', NULL"),
        format!("2, NULL, '{b}', NULL, NULL"),
        "1, NULL, NULL, NULL, '{}'".to_owned(),
        "2, NULL, NULL, NULL, '[]'".to_owned(),
        "3, NULL, NULL, NULL, '1'".to_owned(),
    ] {
        let sql = format!(
            "INSERT INTO agent_contents (run_id, hash, kind, prev, part, name, body) VALUES ('{run}', '{a}', {values})"
        );
        let refused = sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut conn)
            .await;
        let error = refused.expect_err(&values);
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("23514"), "{values}: {error}");
    }
}

/// What a run looks like to somebody who reads it, in every way that there is.
async fn read_in_every_way(daemon: &Daemon, database: &str, run: Uuid, step: Uuid) -> Vec<String> {
    let mut said = Vec::new();
    let run = run.to_string();
    for args in [
        &["timeline", &run, "--json"][..],
        &["timeline", &run, "--full"],
        &["export", &run],
    ] {
        let (code, text) = runtraced(args, database).await;
        assert_eq!(code, 0, "{args:?}: {text}");
        said.push(text.replace("\\\"", "\"").replace([' ', '\n'], ""));
    }
    for path in ["", "&pretty=1", "&field=input"] {
        let path = format!("/api/runs/{run}/payload?item=step&id={step}{path}");
        let (status, text) = daemon.get(&path).await;
        assert_eq!(status, 200, "{path}: {text}");
        said.push(
            text.replace("\\n", "")
                .replace("\\\"", "\"")
                .replace(' ', ""),
        );
    }
    said
}

/// Scenario: one step that refers to contents; an approval whose arguments look like a reference.
/// Guarantees: the commands and the page show what was sent, the value and not the reference, and
/// leave the lookalike.
#[tokio::test(flavor = "multi_thread")]
async fn every_reader_shows_what_was_sent() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    insert_run(&mut conn, run).await;
    insert_contents(&mut conn, run, EVERY_KIND).await;
    let step = insert_step(&mut conn, run, &reference(13), &reference(6)).await;
    let said = read_in_every_way(&daemon, database.url(), run, step).await;
    for text in said {
        assert!(
            text.contains(r#"[1,null,{"a":[]},"atext","last"]"#),
            "{text}"
        );
        assert!(!text.contains("$content"), "{text}");
    }
    let asked = format!(
        "INSERT INTO approvals (run_id, action_type, action_data, created_at)
         VALUES ('{run}', 'pay', '{}', '2026-01-01 02:00Z')",
        reference(1)
    );
    execute(&mut conn, &asked).await;
    let query = "SELECT item, input, output FROM run_timeline WHERE run_id = $1 ORDER BY position";
    let rows: Vec<(String, Option<Value>, Option<Value>)> = sqlx::query_as(query)
        .bind(run)
        .fetch_all(&mut conn)
        .await
        .unwrap();
    let list = json!([1, null, {"a": []}, "a text", "last"]);
    let call = json!({"model": "m", "n": 2, "messages": list, "tools": "a text"});
    assert_eq!(
        rows,
        [
            ("step".to_owned(), Some(call), Some(list)),
            ("approval".to_owned(), Some(reference(1)), None),
        ]
    );
    daemon.finish().await;
}

/// How often the function that reads contents was called by a statement.
async fn calls(conn: &mut PgConnection, sql: &str) -> i64 {
    let query = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_xact_user_functions WHERE funcname LIKE 'content%'";
    let mut tx = conn.begin().await.unwrap();
    execute(&mut tx, "SET LOCAL track_functions = 'all'").await;
    // What the server has not yet added to its statistics is counted too.
    let before: i64 = sqlx::query_scalar(query).fetch_one(&mut *tx).await.unwrap();
    execute(&mut tx, sql).await;
    let after: i64 = sqlx::query_scalar(query).fetch_one(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    after - before
}

/// Scenario: a run of 50 calls that refer to contents, and of one step with a large value in its row.
/// Guarantees: contents are read if somebody asks for inputs or outputs of steps, and only then; a
/// large value is passed on without a look at it.
#[tokio::test(flavor = "multi_thread")]
async fn contents_are_read_only_where_they_are_asked_for() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let run = new_id();
    insert_run(&mut conn, run).await;
    insert_conversation(&mut conn, run, 50).await;
    let plain = new_id();
    insert_run(&mut conn, plain).await;
    let large = json!({"a": (0..500).collect::<Vec<_>>()});
    insert_step(&mut conn, plain, &large, &large).await;
    for sql in [
        format!(
            "SELECT position, item, name, status, offset_ms, flags, metadata FROM run_timeline WHERE run_id = '{run}' ORDER BY position"
        ),
        format!("SELECT count(*) FROM run_timeline WHERE run_id = '{run}'"),
        format!("SELECT run_waterfall('{run}')"),
        format!("SELECT * FROM run_summary WHERE run_id = '{run}'"),
    ] {
        assert_eq!(calls(&mut conn, &sql).await, 0, "{sql}");
    }
    let daemon = Daemon::start(database.url()).await;
    let (_, page) = daemon.get(&format!("/api/runs/{run}")).await;
    let page: Value = serde_json::from_str(&page).unwrap();
    let drawn = page["sql"].as_str().unwrap();
    assert_eq!(calls(&mut conn, drawn).await, 0, "{drawn}");
    let both = format!("SELECT input, output FROM run_timeline WHERE run_id = '{run}'");
    assert!(calls(&mut conn, &both).await >= 100);
    let large = format!("SELECT input, output FROM run_timeline WHERE run_id = '{plain}'");
    assert_eq!(calls(&mut conn, &large).await, 0);
    daemon.finish().await;
}

/// How often the table of contents was read, and how many rows of it: whole, and by an index.
async fn reads(conn: &mut PgConnection) -> [i64; 3] {
    let query =
        "SELECT sum(seq_scan)::bigint, sum(seq_tup_read)::bigint, sum(idx_tup_fetch)::bigint
                 FROM pg_stat_xact_user_tables WHERE relname = 'agent_contents'";
    let (scans, rows, by_key) = sqlx::query_as(query).fetch_one(conn).await.unwrap();
    [scans, rows, by_key]
}

/// Scenario: a large table of contents, where a value is a chain of 400 rows with a part each; the
/// server has no statistics of it, or wrong ones, or right ones.
/// Guarantees: reading the value takes one look by key for each row and reads nothing else, however
/// the table was when the session first read one.
#[tokio::test]
async fn a_value_is_read_by_key() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (run, other) = (new_id(), new_id());
    insert_run(&mut conn, run).await;
    insert_run(&mut conn, other).await;
    let said = insert_conversation(&mut conn, run, 400).await;
    let last = reference(801);
    execute(&mut conn, "VACUUM ANALYZE agent_contents").await;
    assert_eq!(
        shown(&mut conn, run, &last).await,
        Value::from(said.clone())
    );
    let fill = format!(
        "INSERT INTO agent_contents (run_id, hash, kind, body)
         SELECT '{other}', md5(n::text)::uuid, 0, to_jsonb(n) FROM generate_series(1, 50000) AS n"
    );
    execute(&mut conn, &fill).await;
    for prepare in ["SELECT 1", "VACUUM ANALYZE agent_contents"] {
        execute(&mut conn, prepare).await;
        let mut tx = conn.begin().await.unwrap();
        let before = reads(&mut tx).await;
        for _ in 0..3 {
            assert_eq!(shown(&mut tx, run, &last).await, Value::from(said.clone()));
        }
        let after = reads(&mut tx).await;
        let read = [0, 1, 2].map(|kind| after[kind] - before[kind]);
        assert_eq!(read, [0, 0, 3 * 800], "{prepare}");
        tx.rollback().await.unwrap();
    }
    // It takes a few milliseconds. The limit is far off, and still far below a look at the table for each row.
    let begun = Instant::now();
    for _ in 0..20 {
        shown(&mut conn, run, &last).await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
