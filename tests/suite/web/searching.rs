//! Searching what was said, without and with the index for it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::client::get;
use super::{finished, runtraced};
use crate::support::daemon::Daemon;
use crate::support::pg;

/// Runs that are older than what a search reads in its time.
const OLDER: &str = "
INSERT INTO agent_runs (id, agent_id, agent_type, status, finalized_by, started_at, ended_at)
SELECT gen_random_uuid(), 'old', 'x', 'completed', 'client', t, t
FROM (SELECT timestamptz '2025-12-01' + n * INTERVAL '1 second' AS t FROM generate_series(1, 300000) AS n) AS q";
/// A message of the very oldest one.
const OLDEST: &str = "
INSERT INTO agent_messages (run_id, role, content, created_at)
SELECT id, 'user', 'the purple %_ giraffe', started_at FROM agent_runs ORDER BY started_at LIMIT 1
RETURNING run_id";

async fn found(daemon: &Daemon, text: &str) -> (Vec<String>, bool) {
    let answer = get(daemon, &format!("/api/runs?q={text}")).await;
    let is_partial = !answer.json()["searched_back_to"].is_null();
    (answer.ids("run_id"), is_partial)
}

/// The runs that a search finds, however often it has to be asked to go on.
async fn found_in_all(daemon: &Daemon, text: &str) -> (Vec<String>, usize) {
    let (mut ids, mut asked, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let answer = get(daemon, &format!("/api/runs?q={text}{cursor}")).await;
        ids.extend(answer.ids("run_id"));
        asked += 1;
        match answer.json()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids, asked),
        }
    }
}

async fn oldest(conn: &mut PgConnection) -> Uuid {
    sqlx::raw_sql(OLDER).execute(&mut *conn).await.unwrap();
    let id = sqlx::query_scalar(OLDEST).fetch_one(&mut *conn).await;
    sqlx::raw_sql("ANALYZE").execute(conn).await.unwrap();
    id.unwrap()
}

/// Scenario: a text that only a new run and the oldest of 300,000 runs hold; then the indexes are
/// built, twice.
/// Guarantees: a search says how far back it has come, and finds everything when it is asked to go
/// on; with the indexes it finds the same in one answer; building them again does nothing.
#[tokio::test]
async fn a_rare_text_is_found_far_back() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let new = Uuid::now_v7();
    daemon
        .submit(finished(0, new, "purple %_ Giraffe", "search"))
        .await;
    let old = oldest(&mut conn).await;
    let text = "purple+%25_+giraffe";
    let expected = vec![new.to_string(), old.to_string()];
    let (all, asked) = found_in_all(&daemon, text).await;
    assert_eq!(all, expected);
    assert!(asked > 1, "one answer searched 300,000 runs");
    let (_, is_partial) = found(&daemon, text).await;
    assert!(is_partial);
    let built = runtraced(database.url(), &["migrate", "--search-index"]);
    assert_eq!(
        built.matches("built runtraced_search_").count(),
        5,
        "{built}"
    );
    let again = runtraced(database.url(), &["migrate", "--search-index"]);
    assert!(!again.contains("built"), "{again}");
    assert_eq!(found(&daemon, text).await, (expected, false));
    assert_eq!(
        found(&daemon, "purple+%25%25+giraffe").await,
        (vec![], false)
    );
    daemon.finish().await;
}
