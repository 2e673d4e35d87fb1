//! Contents go with their run, whoever deletes it, in small transactions, and are told.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{execute, insert_conversation, insert_run};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::count;

/// Contents whose run is gone, and those of runs that are not.
async fn left(conn: &mut PgConnection) -> (i64, i64) {
    let query = "SELECT count(*) FILTER (WHERE r.id IS NULL), count(r.id)
                 FROM agent_contents AS c LEFT JOIN agent_runs AS r ON r.id = c.run_id";
    sqlx::query_as(query).fetch_one(conn).await.unwrap()
}

async fn insert_leaves(conn: &mut PgConnection, run: Uuid, leaves: i64) {
    let sql = format!(
        "INSERT INTO agent_contents (run_id, hash, kind, body)
         SELECT '{run}', md5(n::text)::uuid, 0, to_jsonb(n) FROM generate_series(1, {leaves}) AS n"
    );
    execute(conn, &sql).await;
}

/// Scenario: an old run with a conversation, one with more contents than a transaction deletes, 30 with
/// almost as many each, and a young one; prune counts them and deletes them.
/// Guarantees: no contents are left but those of the young one; the report has them; no transaction
/// deletes more than a bounded number.
#[tokio::test(flavor = "multi_thread")]
async fn prune_leaves_no_contents() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (talk, crowded, young) = (new_id(), new_id(), new_id());
    for run in [talk, crowded, young] {
        insert_run(&mut conn, run).await;
    }
    insert_conversation(&mut conn, talk, 5).await;
    insert_leaves(&mut conn, crowded, 9_000).await;
    insert_conversation(&mut conn, young, 3).await;
    execute(
        &mut conn,
        &format!("UPDATE agent_runs SET changed_at = now() WHERE id = '{young}'"),
    )
    .await;
    for _ in 0..30 {
        let run = new_id();
        insert_run(&mut conn, run).await;
        insert_leaves(&mut conn, run, 1_500).await;
    }
    // What each transaction deletes.
    execute(
        &mut conn,
        "CREATE TABLE deleted (at xid8, rows bigint);
         CREATE FUNCTION note_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
           INSERT INTO public.deleted SELECT pg_current_xact_id(), count(*) FROM gone;
           RETURN NULL;
         END $$;
         CREATE TRIGGER note_deleted AFTER DELETE ON agent_contents REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note_deleted()",
    )
    .await;
    let prune = ["prune", "--older-than", "30d"];
    let total = 10 + 9_000 + 30 * 1_500;
    for (flag, rest) in [("--dry-run", total), ("--json", 0)] {
        let (code, said) = runtraced(&[&prune[..], &[flag]].concat(), database.url()).await;
        assert_eq!(code, 0, "{said}");
        assert!(said.replace(',', "").contains(&total.to_string()), "{said}");
        assert!(said.contains("agent_contents"), "{said}");
        assert_eq!(left(&mut conn).await, (0, rest + 6), "{flag}");
    }
    let query =
        "SELECT max(rows)::bigint FROM (SELECT sum(rows) AS rows FROM deleted GROUP BY at) AS t";
    let most: i64 = sqlx::query_scalar(query)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!((2_000..=14_000).contains(&most), "{most}");
    assert_eq!(count(&mut conn, "agent_runs").await, 1);
}

/// Scenario: a session with runs that have contents is erased; another one stays.
/// Guarantees: the contents of the first are gone, and those of the other are all there; the report
/// says how many went.
#[tokio::test(flavor = "multi_thread")]
async fn erase_leaves_no_contents() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let sessions = [new_id(), new_id()];
    for session in sessions {
        execute(
            &mut conn,
            &format!("INSERT INTO agent_sessions (id) VALUES ('{session}')"),
        )
        .await;
        for _ in 0..3 {
            let run = new_id();
            insert_run(&mut conn, run).await;
            insert_conversation(&mut conn, run, 4).await;
            execute(
                &mut conn,
                &format!("UPDATE agent_runs SET session_id = '{session}' WHERE id = '{run}'"),
            )
            .await;
        }
    }
    let session = sessions[0].to_string();
    let (code, said) = runtraced(
        &["erase", "--session", &session, "--yes", "--json"],
        database.url(),
    )
    .await;
    assert_eq!(code, 0, "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["rows"]["agent_contents"], 24);
    assert_eq!(left(&mut conn).await, (0, 24));
}

/// Scenario: a daemon that keeps runs for a day, and a run that ended long ago.
/// Guarantees: it deletes the contents, counts them, and tells how large the table is.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_deletes_contents_and_tells() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let run = new_id();
    insert_run(&mut conn, run).await;
    insert_conversation(&mut conn, run, 4).await;
    let daemon = Daemon::with_args(database.url(), &["--retain", "1d"]).await;
    let reaped = "runtraced_reaped_rows_total{table=\"agent_contents\"}";
    let mut metrics = daemon.metrics().await;
    for _ in 0..1_500 {
        if metrics[reaped] == 8 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        metrics = daemon.metrics().await;
    }
    assert_eq!(metrics[reaped], 8);
    assert_eq!(left(&mut conn).await, (0, 0));
    assert!(
        metrics.keys().any(
            |name| name.starts_with("runtraced_table_bytes") && name.contains("agent_contents")
        )
    );
    daemon.finish().await;
}
