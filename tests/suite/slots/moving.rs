//! How a database with rows gets its slots.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use runtraced::proto::{Event, Outcome};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use crate::retention::rows::{ended_run, run_sql, send_run};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::spool::SpoolDir;
use crate::support::tables::{content, count, row, value};

const MOVE: [&str; 3] = ["migrate", "--slots", "4"];

/// What readers and writers of the names in `public` meet, but for references, indexes and checks.
const SHOWN: &str = "SELECT jsonb_agg(what ORDER BY what) AS shown FROM (
    SELECT c.relname || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || coalesce(' default ' || CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, d.adrelid) END, '')
           || coalesce(' ' || a.attacl::text, '') || coalesce(' ' || col_description(c.oid, a.attnum), '') AS what
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname ~ '^(agent_|approvals)' AND c.relname <> 'agent_slots'
      AND c.relkind IN ('r', 'v')
    UNION ALL
    SELECT c.relname || ' ' || coalesce(obj_description(c.oid), '') || ' ' || r.grantee::regrole::text || r.privilege_type
    FROM pg_class c CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) r
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname ~ '^(agent_|approvals)' AND c.relname <> 'agent_slots'
      AND c.relkind IN ('r', 'v') AND c.relkind <> 'i') t";

/// What protects the tables of a schema: keys, indexes, checks, triggers, policies and rights.
const GUARDS: &str = "SELECT jsonb_agg(replace(what, 'SCHEMA.', '') ORDER BY what) AS guards FROM (
    SELECT to_jsonb(p) - 'schemaname' || '{}'::jsonb AS what FROM pg_policies p WHERE schemaname = 'SCHEMA' AND tablename = ANY (TABLES)
    UNION ALL
    SELECT to_jsonb(pg_get_triggerdef(g.oid) || g.tgenabled::text) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
    WHERE c.relnamespace = 'SCHEMA'::regnamespace AND c.relname = ANY (TABLES) AND NOT g.tgisinternal
    UNION ALL
    SELECT to_jsonb(c.relname || k.conname || pg_get_constraintdef(k.oid)) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE c.relnamespace = 'SCHEMA'::regnamespace AND c.relname = ANY (TABLES) AND k.conname <> 'runtraced_slot'
    UNION ALL
    SELECT to_jsonb(indexdef) FROM pg_indexes WHERE schemaname = 'SCHEMA' AND tablename = ANY (TABLES)
    UNION ALL
    SELECT to_jsonb(c.relname || coalesce(c.reloptions::text, '') || c.relrowsecurity::text || coalesce((
        SELECT string_agg(a.grantee::regrole || ' ' || a.privilege_type, ',' ORDER BY a.grantee, a.privilege_type)
        FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner), ''))
    FROM pg_class c WHERE c.relnamespace = 'SCHEMA'::regnamespace AND c.relname = ANY (TABLES)
) t (found), LATERAL (SELECT found::text AS what) AS w";

async fn guards(conn: &mut PgConnection, schema: &str) -> serde_json::Value {
    let tables = runtraced::store::SLOT_TABLES.join(",");
    let query = GUARDS
        .replace("TABLES", &format!("'{{{tables}}}'"))
        .replace("SCHEMA", schema);
    row(conn, &query).await
}

/// Scenario: a database with runs, things of the product on its tables, and a view of the product's; the runs move to slots, twice.
/// Guarantees: every row is in the slot of its run and reads as before. Names, columns, defaults, comments and rights are those of before,
/// and each slot has the keys, indexes, triggers and policies that the tables had. The product's view goes on.
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_as_before() {
    let database = pg::plain_database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let session = new_id();
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(send_run(&daemon, Some(session), "a").await);
    }
    daemon.finish().await;
    run_sql(
        &mut conn,
        "CREATE VIEW of_the_product AS SELECT run_id, count(*) AS steps FROM agent_steps GROUP BY run_id;
         GRANT SELECT (id), INSERT ON agent_steps TO PUBLIC;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''it fires''; END';
         CREATE TRIGGER switched_off BEFORE INSERT ON agent_steps FOR EACH ROW EXECUTE FUNCTION fail();
         ALTER TABLE agent_steps DISABLE TRIGGER switched_off;
         ALTER TABLE agent_steps SET (fillfactor = 90);
         CREATE INDEX of_names ON agent_steps (name) WHERE name <> '';
         ALTER TABLE agent_messages ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('english', content)) STORED;
         CREATE POLICY mine ON agent_runs AS RESTRICTIVE FOR SELECT USING (agent_id <> 'secret');
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
    )
    .await;
    let before = content(&mut conn, &runs, &[session]).await;
    let shown = row(&mut conn, SHOWN).await;
    let guarded = guards(&mut conn, "public").await;

    let (code, said) = runtraced(&MOVE, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("agent_runs: 20 rows copied in "), "{said}");
    assert!(said.contains("nobody could write for "), "{said}");
    let (code, said) = runtraced(&MOVE, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("nothing to do: the runs are in 4 slots already"),
        "{said}"
    );

    assert_eq!(content(&mut conn, &runs, &[session]).await, before);
    assert_eq!(row(&mut conn, SHOWN).await, shown);
    for slot in 0..4 {
        let schema = format!("runtraced_{slot:02}");
        let found = guards(&mut conn, &schema).await.to_string();
        assert_eq!(
            found.replace("REFERENCES runtraced_", "REFERENCES agent_"),
            guarded
                .to_string()
                .replace("REFERENCES runtraced_", "REFERENCES agent_"),
            "{schema}"
        );
        for (table, owner) in [("agent_runs", "id"), ("agent_steps", "run_id")] {
            let astray =
                format!("SELECT count(*) FROM {schema}.{table} WHERE run_slot({owner}) <> {slot}");
            assert_eq!(
                value(&mut conn, &astray).await,
                json!(0),
                "{schema}.{table}"
            );
        }
    }
    let seen = "SELECT count(*) AS runs, sum(steps)::integer AS steps FROM of_the_product";
    assert_eq!(row(&mut conn, seen).await, json!({"runs": 20, "steps": 40}));
}

/// Scenario: clients send runs without a pause while the runs move.
/// Guarantees: each run that was acked is there in the end, whole and once; nothing becomes a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn daemons_spool_meanwhile() {
    let database = pg::plain_database().await;
    let spool = SpoolDir::new();
    let daemon = Arc::new(Daemon::spawn_as_is(database.url(), &spool.flags(&[])).await);
    daemon.wait_ready().await;
    let mut conn = database.connect().await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|_| tokio::spawn(send_runs(daemon.clone(), stop.clone())))
        .collect();
    sleep(Duration::from_millis(300)).await;
    let (code, said) = runtraced(&MOVE, database.url()).await;
    assert_eq!(code, 0, "{said}");
    sleep(Duration::from_millis(300)).await;
    stop.store(true, Relaxed);
    let mut runs = 0;
    for client in clients {
        runs += client.await.unwrap();
    }
    for (table, rows) in [
        ("agent_runs", runs),
        ("agent_steps", 2 * runs),
        ("agent_messages", runs),
        ("agent_token_counts", runs),
        ("agent_scores", runs),
    ] {
        for _ in 0..600 {
            if count(&mut conn, table).await == rows {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(count(&mut conn, table).await, rows, "{table}");
    }
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
}

async fn send_runs(daemon: Arc<Daemon>, stop: Arc<AtomicBool>) -> i64 {
    let mut sent = 0;
    while !stop.load(Relaxed) {
        let runs: Vec<Uuid> = (0..5).map(|_| new_id()).collect();
        let events: Vec<_> = runs
            .iter()
            .flat_map(|run| ended_run(*run, None, "a"))
            .collect();
        let all = events.len() as u64;
        let outcome = submit(&daemon, events).await;
        assert_eq!(outcome.committed + outcome.spooled, all, "{outcome:?}");
        sent += 5;
    }
    sent
}

/// Sends events, which may be spooled.
async fn submit(daemon: &Daemon, events: Vec<Event>) -> Outcome {
    let answer = daemon.client().await.submit(events).await;
    answer.unwrap().outcome.unwrap()
}

/// Kills the command in the middle: it has copied some rows, and cannot note more.
async fn kill_in_the_middle(url: &str, conn: &mut PgConnection) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command.args(MOVE).env("DATABASE_URL", url);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let begun = "SELECT to_regclass('agent_slot_moves') IS NOT NULL";
    let copied = "SELECT count(*) > 1 FROM agent_slot_moves";
    for seen in [begun, copied] {
        while value(conn, seen).await != json!(true) {
            sleep(Duration::from_millis(2)).await;
        }
    }
    let mut tx = conn.begin().await.unwrap();
    run_sql(&mut tx, "LOCK TABLE agent_slot_moves IN SHARE MODE").await;
    child.kill().unwrap();
    child.wait().unwrap();
    tx.rollback().await.unwrap();
}

/// Scenario: the command is killed in the middle. A user writes, and a daemon is there. Then the command runs with another number, and
/// with the same one.
/// Guarantees: users are refused with a hint, the daemon spools, the other number is refused, and the move goes on to its end.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_move_goes_on() {
    let database = pg::plain_database().await;
    let mut conn = database.connect().await;
    let spool = SpoolDir::new();
    let (daemon, runs) = filled(database.url(), &spool).await;
    let before = content(&mut conn, &runs, &[]).await;
    let mut locking = database.connect().await;
    kill_in_the_middle(database.url(), &mut locking).await;
    assert_eq!(
        value(&mut conn, "SELECT to_regclass('agent_slot_moves') IS NOT NULL AND to_regclass('agent_slots') IS NULL").await,
        json!(true),
        "the move ended before it was killed"
    );

    let refused = sqlx::query("UPDATE agent_runs SET name = 'x'")
        .execute(&mut conn)
        .await
        .unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().as_deref(),
        Some("55000")
    );
    let late = new_id();
    let events = ended_run(late, None, "a");
    let all = events.len() as u64;
    assert_eq!(submit(&daemon, events).await.spooled, all);

    let (code, said) = runtraced(&["migrate", "--slots", "8"], database.url()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("a move to 4 slots has not ended"), "{said}");
    let (code, said) = runtraced(&MOVE, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("going on with the move to 4 slots"), "{said}");
    assert_eq!(content(&mut conn, &runs, &[]).await, before);
    for _ in 0..600 {
        if count(&mut conn, "agent_runs").await == runs.len() as i64 + 1 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(content(&mut conn, &[late], &[]).await.len(), 7);
}

/// Scenario: the command is killed in the middle, and the move is given up.
/// Guarantees: all rows are where they were, everybody writes again, and nothing of the slots is left.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_move_can_be_given_up() {
    let database = pg::plain_database().await;
    let mut conn = database.connect().await;
    let schemas = "SELECT jsonb_build_array(
        (SELECT jsonb_agg(nspname ORDER BY nspname) FROM pg_namespace),
        (SELECT jsonb_agg(proname ORDER BY oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname <> 'ingest_write_epoch'),
        (SELECT jsonb_agg(relname ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace))";
    let spool = SpoolDir::new();
    let (daemon, runs) = filled(database.url(), &spool).await;
    let before = (
        content(&mut conn, &runs, &[]).await,
        value(&mut conn, schemas).await,
    );
    let mut locking = database.connect().await;
    kill_in_the_middle(database.url(), &mut locking).await;
    let (code, said) = runtraced(&["migrate", "--slots", "1"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("given up"), "{said}");
    let after = (
        content(&mut conn, &runs, &[]).await,
        value(&mut conn, schemas).await,
    );
    assert_eq!(after, before);
    for _ in 0..100 {
        if daemon
            .submit(ended_run(new_id(), None, "a"))
            .await
            .committed
            > 0
        {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the daemon does not write again: {}", daemon.logs());
}

/// A daemon that has written some runs.
async fn filled(url: &str, spool: &SpoolDir) -> (Daemon, Vec<Uuid>) {
    let daemon = Daemon::spawn_as_is(url, &spool.flags(&[])).await;
    daemon.wait_ready().await;
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(send_run(&daemon, None, "a").await);
    }
    (daemon, runs)
}

/// Scenario: objects of the product that cannot go on over views.
/// Guarantees: the command changes nothing and names them; without them it works.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_break_is_named() {
    let database = pg::plain_database().await;
    let mut conn = database.connect().await;
    run_sql(
        &mut conn,
        "CREATE TABLE notes (run uuid REFERENCES agent_runs);
         CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM agent_messages;
         ALTER TABLE agent_token_counts ADD COLUMN place bigint GENERATED ALWAYS AS IDENTITY;
         CREATE UNIQUE INDEX one_place ON agent_messages (session_id, seq);
         CREATE PUBLICATION to_elsewhere FOR TABLE agent_messages;
         CREATE FUNCTION first_step() RETURNS agent_steps LANGUAGE sql AS 'SELECT * FROM agent_steps LIMIT 1'",
    )
    .await;
    let (code, said) = runtraced(&MOVE, database.url()).await;
    assert_eq!(code, 1, "{said}");
    for named in [
        "on table notes",
        "materialized view counted",
        "first_step()",
        "identity column place",
        "unique index one_place",
        "publication to_elsewhere",
    ] {
        assert!(said.contains(named), "{named}: {said}");
    }
    let moved = "SELECT to_regclass('agent_slot_moves') IS NOT NULL";
    assert_eq!(value(&mut conn, moved).await, json!(false));
    run_sql(
        &mut conn,
        "DROP TABLE notes; DROP MATERIALIZED VIEW counted; DROP FUNCTION first_step();
         ALTER TABLE agent_token_counts DROP COLUMN place; DROP INDEX one_place; DROP PUBLICATION to_elsewhere",
    )
    .await;
    let (code, said) = runtraced(&MOVE, database.url()).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = runtraced(&["migrate", "--slots", "8"], database.url()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot change"), "{said}");
    let (code, said) = runtraced(&["migrate", "--partition", "month"], database.url()).await;
    assert_eq!(code, 1, "{said}");
}
