//! A search finds what is in contents, and takes no hash for a text.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{execute, insert_contents, insert_run, insert_shared, insert_step, reference};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;

async fn found(daemon: &Daemon, path: &str, key: &str) -> Vec<String> {
    let (status, text) = daemon.get(path).await;
    assert_eq!(status, 200, "{path}: {text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let rows = answer[if key == "run_id" { "rows" } else { "hits" }]
        .as_array()
        .unwrap();
    rows.iter()
        .map(|row| row[key].as_str().unwrap().to_owned())
        .collect()
}

/// The same in contents that both runs share.
async fn two_sharing_runs(conn: &mut PgConnection) -> [(Uuid, Uuid); 2] {
    let ids = [new_id(), new_id()];
    for run in ids {
        insert_run(conn, run).await;
    }
    let lines = "57005 0 0 0 - {\"text\": \"purple giraffe\"}\n2 2 0 57005 remark\n\
                 57006 0 0 0 - {\"text\": \"green giraffe\"}\n3 2 0 57006 remark";
    insert_shared(conn, &ids, lines).await;
    let mut runs = Vec::new();
    for (run, list) in ids.into_iter().zip([2, 3]) {
        let step = insert_step(conn, run, &reference(list), &reference(57_003 + list)).await;
        runs.push((run, step));
    }
    runs.try_into().unwrap()
}

async fn two_runs(conn: &mut PgConnection) -> [(Uuid, Uuid); 2] {
    let mut runs = Vec::new();
    for said in ["purple giraffe", "green giraffe"] {
        let run = new_id();
        insert_run(conn, run).await;
        let lines = format!(
            "57005 0 0 0 - {}\n2 2 0 57005 remark",
            json!({ "text": said })
        );
        insert_contents(conn, run, &lines).await;
        let step = insert_step(conn, run, &reference(2), &reference(57_005)).await;
        runs.push((run, step));
    }
    runs.try_into().unwrap()
}

/// Scenario: two runs whose texts are in contents, their own or shared; the page searches all runs, and one run, before
/// and after the indexes are built.
/// Guarantees: texts and names of members are found, in the right run and step; parts of hashes and
/// the word of references are not.
#[tokio::test(flavor = "multi_thread")]
async fn texts_in_contents_are_found_and_hashes_are_not() {
    for shared in [false, true] {
        let database = pg::database().await;
        let mut conn = database.connect().await;
        let runs = match shared {
            true => two_sharing_runs(&mut conn).await,
            false => two_runs(&mut conn).await,
        };
        search(&database, &mut conn, runs).await;
    }
}

async fn search(database: &TestDatabase, conn: &mut PgConnection, runs: [(Uuid, Uuid); 2]) {
    let daemon = Daemon::start(database.url()).await;
    let [(purple, step), (green, _)] = runs;
    for indexed in [false, true] {
        if indexed {
            let (code, said) = runtraced(&["migrate", "--search-index"], database.url()).await;
            assert!(
                code == 0 && said.contains("runtraced_search_contents"),
                "{said}"
            );
        }
        for (text, want) in [
            ("purple", vec![purple]),
            ("GREEN+giraffe", vec![green]),
            ("giraffe", vec![purple, green]),
            ("remark", vec![purple, green]),
            // 57005 is dead in hexadecimal.
            ("dead", vec![]),
            ("%24content", vec![]),
            ("00000000", vec![]),
        ] {
            let mut ids = found(&daemon, &format!("/api/runs?q={text}"), "run_id").await;
            let mut want: Vec<String> = want.iter().map(Uuid::to_string).collect();
            ids.sort();
            want.sort();
            assert_eq!(ids, want, "{text}, indexed: {indexed}");
        }
    }
    for (text, want) in [
        ("purple", vec![step]),
        ("green", vec![]),
        ("dead", vec![]),
        ("remark", vec![step]),
    ] {
        let hits = found(&daemon, &format!("/api/runs/{purple}/find?q={text}"), "id").await;
        let want: Vec<String> = want.iter().map(Uuid::to_string).collect();
        assert_eq!(hits, want, "{text}");
    }
    // A client's own text may hold the same words.
    execute(
        conn,
        &format!("UPDATE agent_steps SET input = '{{\"$content\": \"of a dead giraffe\"}}' WHERE id = '{step}'"),
    )
    .await;
    let ids = found(&daemon, "/api/runs?q=%24content", "run_id").await;
    assert_eq!(ids, [purple.to_string()]);
    daemon.finish().await;
}

/// Scenario: two runs say the same, one in its rows, one in contents; then one says something else.
/// Guarantees: `runtraced diff` and the page's digests compare what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_compared_is_what_was_sent() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::start(database.url()).await;
    let [(stored_once, step), _] = two_runs(&mut conn).await;
    let plain = new_id();
    insert_run(&mut conn, plain).await;
    let text = json!({"text": "purple giraffe"});
    insert_step(&mut conn, plain, &json!({ "remark": text }), &text).await;
    let digests = async |run: Uuid| {
        let (_, text) = daemon.get(&format!("/api/runs/{run}?digests=1")).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let digests = answer["digests"].as_object().unwrap();
        digests.values().cloned().collect::<Vec<_>>()
    };
    assert_eq!(digests(stored_once).await, digests(plain).await);
    execute(
        &mut conn,
        &format!("UPDATE agent_steps SET output = input WHERE id = '{step}'"),
    )
    .await;
    assert_ne!(digests(stored_once).await, digests(plain).await);
    daemon.finish().await;
}
