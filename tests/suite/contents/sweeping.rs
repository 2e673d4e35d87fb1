//! Shared contents go when no run needs them any more, whoever deletes runs, and not before.

use runtraced::proto::Event;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{execute, insert_run, insert_shared, insert_step, reference};
use super::sent::{ONCE, call, number, sent, shown};
use super::sharing::{chat, turn_of_chat};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::count;

/// Rows that no step needs.
async fn unneeded(conn: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM agent_content_scopes AS s CROSS JOIN unneeded_contents(s.id)";
    number(conn, sql).await
}

/// Whether a text is anywhere in shared contents.
async fn holds(conn: &mut PgConnection, text: &str) -> bool {
    let sql =
        format!("SELECT count(*) FROM agent_shared_contents WHERE body::text LIKE '%{text}%'");
    number(conn, &sql).await > 0
}

async fn rows_of_scopes(conn: &mut PgConnection) -> [i64; 3] {
    [
        count(conn, "agent_content_scopes").await,
        count(conn, "agent_run_scopes").await,
        count(conn, "agent_shared_contents").await,
    ]
}

/// Turns of a chat of which the second has an output that nobody repeats.
fn chat_with_a_secret(session: Uuid, runs: &[Uuid]) -> Vec<Event> {
    let mut turns = chat(Some(session), runs);
    let text = format!("{{\"text\": \"{}\"}}", "only here ".repeat(100));
    turns[1].push(call(25, runs[1], new_id(), "{\"a\": 1}", &text));
    turns.concat()
}

async fn prune(database_url: &str) -> Value {
    let (code, said) = runtraced(&["prune", "--older-than", "30d", "--json"], database_url).await;
    assert_eq!(code, 0, "{said}");
    serde_json::from_str(&said).unwrap()
}

async fn age(conn: &mut PgConnection, runs: &[Uuid]) {
    let sql = "UPDATE agent_runs SET changed_at = now() - interval '40 days', status = 'completed', finalized_by = 'client',
               ended_at = now() - interval '40 days' WHERE id = ANY ($1)";
    sqlx::query(sql).bind(runs).execute(conn).await.unwrap();
}

/// Scenario: the first five turns of a chat are old, and are pruned; then the others; another chat stays.
/// Guarantees: what the others need stays, and reads as it was sent; what only the deleted ones had is gone at once; with the last
/// run the scope is gone; the report says how many rows went.
#[tokio::test(flavor = "multi_thread")]
async fn prune_takes_what_only_old_runs_had() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let runs: Vec<Uuid> = (0..15).map(|_| new_id()).collect();
    let (one, two) = (
        chat_with_a_secret(new_id(), &runs[..10]),
        chat_with_a_secret(new_id(), &runs[10..]),
    );
    daemon.submit(one.clone()).await;
    daemon.finish().await;
    age(&mut conn, &runs[..5]).await;
    assert!(holds(&mut conn, "only here").await);
    let before = count(&mut conn, "agent_shared_contents").await;

    let report = prune(database.url()).await;
    let left = count(&mut conn, "agent_shared_contents").await;
    assert!(left < before && left > before / 2, "{left} of {before}");
    assert_eq!(report["agent_shared_contents"], before - left);
    assert!(!holds(&mut conn, "only here").await);
    assert_eq!(unneeded(&mut conn).await, 0);
    let stay = &runs[5..10];
    let mut want = sent(&one);
    let kept = shown(&mut conn, stay).await;
    want.retain(|step, _| kept.contains_key(step));
    assert_eq!((kept.len(), &kept), (5, &want));

    let daemon = Daemon::with_args(database.url(), ONCE).await;
    daemon.submit(two.clone()).await;
    daemon.finish().await;
    age(&mut conn, &runs[..10]).await;
    prune(database.url()).await;
    let rows = rows_of_scopes(&mut conn).await;
    // The first turn says too little for contents.
    assert_eq!(rows[..2], [1, 4]);
    assert_eq!(shown(&mut conn, &runs[10..]).await, sent(&two));
    assert_eq!(unneeded(&mut conn).await, 0);
}

/// Scenario: a scope of more rows than one transaction deletes; somebody deletes its run with SQL; a daemon with `--retain` runs.
/// Guarantees: the daemon finds what is left, deletes it in several transactions, and counts it.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_sweeps_after_anybody() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (run, other) = (new_id(), new_id());
    for run in [run, other] {
        insert_run(&mut conn, run).await;
    }
    execute(
        &mut conn,
        &format!("UPDATE agent_runs SET changed_at = now() WHERE id = '{other}'"),
    )
    .await;
    let scope = insert_shared(&mut conn, &[run, other], "1 0 0 0 - \"needed\"").await;
    insert_step(&mut conn, other, &reference(1), &json!(1)).await;
    let leaves = format!(
        "INSERT INTO agent_shared_contents (scope_id, hash, kind, body)
         SELECT '{scope}', md5(n::text)::uuid, 0, to_jsonb(n) FROM generate_series(1, 45000) AS n;
         CREATE TABLE deleted (at xid8, rows bigint);
         CREATE FUNCTION note_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
           INSERT INTO public.deleted SELECT pg_current_xact_id(), count(*) FROM gone;
           RETURN NULL;
         END $$;
         CREATE TRIGGER note_deleted AFTER DELETE ON agent_shared_contents REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note_deleted();
         DELETE FROM agent_runs WHERE id = '{run}'"
    );
    execute(&mut conn, &leaves).await;
    let daemon = Daemon::with_args(database.url(), &["--retain", "1d"]).await;
    let reaped = "runtraced_reaped_rows_total{table=\"agent_shared_contents\"}";
    let mut metrics = daemon.metrics().await;
    for _ in 0..1_500 {
        if metrics[reaped] == 45_000 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        metrics = daemon.metrics().await;
    }
    assert_eq!(metrics[reaped], 45_000);
    daemon.finish().await;
    assert_eq!(rows_of_scopes(&mut conn).await, [1, 1, 1]);
    let query = "SELECT count(DISTINCT at) FROM deleted WHERE rows > 0";
    assert_eq!(number(&mut conn, query).await, 3);
    assert_eq!(count(&mut conn, "agent_stale_scopes").await, 0);
}

/// Scenario: a chat goes on while `prune` deletes its earlier turns from the oldest on, in a database whose transactions see one
/// snapshot unless they say otherwise.
/// Guarantees: no event fails; whatever is left reads as it was sent; in the end nothing is there that nobody needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_goes_on_while_it_is_deleted() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let isolation = format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'",
        database.name
    );
    execute(&mut conn, &isolation).await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let session = new_id();
    let runs: Vec<Uuid> = (0..60).map(|_| new_id()).collect();
    let turns = runs.iter().zip(1..);
    let turns: Vec<Vec<Event>> = turns
        .map(|(run, turn)| turn_of_chat(Some(session), None, *run, 1 + turn % 20))
        .collect();
    let client = daemon.client().await;
    let writer = {
        let turns = turns.clone();
        tokio::spawn(async move {
            for turn in turns {
                let outcome = client.submit(turn).await.unwrap().outcome.unwrap();
                assert_eq!(outcome.committed, 2);
            }
        })
    };
    let mut deleted = 0;
    while !writer.is_finished() || deleted < 40 {
        let oldest = "SELECT id FROM agent_runs ORDER BY started_at, id LIMIT 2";
        let oldest: Vec<Uuid> = sqlx::query_scalar(oldest)
            .fetch_all(&mut conn)
            .await
            .unwrap();
        if deleted < 40 {
            age(&mut conn, &oldest).await;
            prune(database.url()).await;
            deleted += oldest.len();
        }
    }
    writer.await.unwrap();
    prune(database.url()).await;
    assert_eq!(unneeded(&mut conn).await, 0);
    let kept = shown(&mut conn, &runs).await;
    let mut want = sent(&turns.concat());
    want.retain(|step, _| kept.contains_key(step));
    assert_eq!(kept, want);
    assert!(!kept.is_empty());
    daemon.finish().await;
}

/// Scenario: a session whose runs share contents is erased.
/// Guarantees: nothing of it is left in any of the tables.
#[tokio::test(flavor = "multi_thread")]
async fn erase_leaves_no_shared_contents() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let runs: Vec<Uuid> = (0..6).map(|_| new_id()).collect();
    let (gone, stays) = (new_id(), new_id());
    let kept = chat_with_a_secret(stays, &runs[3..]);
    daemon.submit(chat_with_a_secret(gone, &runs[..3])).await;
    daemon.submit(kept.clone()).await;
    daemon.finish().await;
    let erase = ["erase", "--session", &gone.to_string(), "--yes", "--json"];
    let (code, said) = runtraced(&erase, database.url()).await;
    assert_eq!(code, 0, "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(
        report["rows"]["agent_shared_contents"].as_i64() > Some(0),
        "{said}"
    );
    // The first turn says too little for contents.
    assert_eq!(rows_of_scopes(&mut conn).await[..2], [1, 2]);
    let sessions = "SELECT count(*) FROM agent_content_scopes WHERE session_id = ";
    assert_eq!(number(&mut conn, &format!("{sessions}'{gone}'")).await, 0);
    assert_eq!(shown(&mut conn, &runs[3..]).await, sent(&kept));
    assert_eq!(unneeded(&mut conn).await, 0);
}

/// Runs with a scope each, of which each holds a text of its own.
async fn runs_with_scopes(conn: &mut PgConnection, count: usize) -> Vec<(Uuid, Uuid)> {
    let mut runs = Vec::new();
    for number in 0..count {
        let run = new_id();
        insert_run(conn, run).await;
        let scope = insert_shared(conn, &[run], &format!("1 0 0 0 - \"text {number}\"")).await;
        insert_step(conn, run, &reference(1), &json!(1)).await;
        runs.push((run, scope));
    }
    runs
}

/// Scenario: two runs share a scope; one is deleted by a transaction that commits only after a sweep of the other's deletion.
/// Guarantees: what the later one had goes with the next sweep.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_commits_late_is_seen() {
    let database = pg::database().await;
    let (mut conn, mut late) = (database.connect().await, database.connect().await);
    let runs = [new_id(), new_id(), new_id()];
    for (run, hash) in runs.into_iter().zip(1..) {
        insert_run(&mut conn, run).await;
        insert_step(&mut conn, run, &reference(hash), &json!(1)).await;
    }
    let lines = "1 0 0 0 - \"first\"\n2 0 0 0 - \"second\"\n3 0 0 0 - \"third\"";
    insert_shared(&mut conn, &runs, lines).await;
    let young = format!(
        "UPDATE agent_runs SET changed_at = now() WHERE id <> '{}'",
        runs[0]
    );
    execute(&mut conn, &young).await;
    let delete = |run| {
        format!(
            "DELETE FROM agent_steps WHERE run_id = '{run}'; DELETE FROM agent_runs WHERE id = '{run}'"
        )
    };
    execute(&mut late, &format!("BEGIN; {}", delete(runs[1]))).await;
    execute(&mut conn, &delete(runs[0])).await;
    prune(database.url()).await;
    assert!(!holds(&mut conn, "first").await && holds(&mut conn, "second").await);
    execute(&mut late, "COMMIT").await;
    prune(database.url()).await;
    assert!(!holds(&mut conn, "second").await && holds(&mut conn, "third").await);

    // TRUNCATE fires no trigger of rows.
    execute(&mut conn, "TRUNCATE agent_runs CASCADE").await;
    prune(database.url()).await;
    assert_eq!(rows_of_scopes(&mut conn).await, [0, 0, 0]);
}

/// Scenario: of 30 old runs with a scope each, somebody holds the lock of one scope; prune, and then erase of its session.
/// Guarantees: all runs go, and all other contents; each command says that something is left, and exits with 1; once the lock is
/// free, repeating it removes the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_in_use_holds_up_no_others() {
    let database = pg::database().await;
    let (mut conn, mut holder) = (database.connect().await, database.connect().await);
    let runs = runs_with_scopes(&mut conn, 30).await;
    let lock = format!(
        "BEGIN; SELECT FROM agent_content_scopes WHERE id = '{}' FOR NO KEY UPDATE",
        runs[7].1
    );
    execute(&mut holder, &lock).await;
    let session = new_id().to_string();
    let commands = [
        &["prune", "--older-than", "30d"][..],
        &["erase", "--session", &session, "--yes"],
    ];
    for command in commands {
        let (code, said) = runtraced(command, database.url()).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("shared contents are in use"), "{said}");
        assert_eq!(count(&mut conn, "agent_runs").await, 0);
        assert_eq!(rows_of_scopes(&mut conn).await, [1, 0, 1]);
    }
    execute(&mut holder, "COMMIT").await;
    let (code, said) = runtraced(commands[1], database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(rows_of_scopes(&mut conn).await, [0, 0, 0]);
}
