//! How a database with rows gets its partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::json;
use uuid::Uuid;

use super::{months_of, this_month};
use crate::retention::rows::{counts, ended_run, run_sql, send_run};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::{content, row};

const CONVERT: [&str; 3] = ["migrate", "--partition", "month"];

/// The files of the tables' rows.
const FILES: &str = "SELECT array_agg(pg_relation_filenode(t::regclass) ORDER BY t) AS files
                     FROM unnest(ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_contents']) AS t";

/// Scenario: a database with runs, and with a view of the product's; it is converted twice. More runs come, and late rows of an old one.
/// Guarantees: old rows stay in their files and read as before, in the first partition. New ones have their month. The view sees both.
/// Rights, policies, triggers and comments are those of before; default privileges of the database give nobody more.
#[tokio::test(flavor = "multi_thread")]
async fn existing_rows_stay_where_they_are() {
    let database = pg::plain_database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let old = send_run(&daemon, None, "a").await;
    run_sql(
        &mut conn,
        "CREATE VIEW of_the_product AS SELECT run_id, count(*) AS steps FROM agent_steps GROUP BY run_id;
         GRANT SELECT (id) ON agent_steps TO PUBLIC;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''it fires''; END';
         CREATE TRIGGER switched_off BEFORE INSERT ON agent_steps FOR EACH ROW EXECUTE FUNCTION fail();
         ALTER TABLE agent_steps DISABLE TRIGGER switched_off;
         ALTER TABLE agent_steps SET (fillfactor = 90);
         ALTER TABLE agent_messages ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('english', content)) STORED;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC",
    )
    .await;
    let (catalog, files) = (guards(&mut conn).await, row(&mut conn, FILES).await);
    let before = content(&mut conn, &[old], &[]).await;

    let (code, said) = runtraced(&CONVERT, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the tables were locked for "), "{said}");
    let (code, said) = runtraced(&CONVERT, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(
            "nothing to do: steps, messages, token counts and contents are in partitions"
        ),
        "{said}"
    );

    let first = FILES.replace("(t::regclass)", "(('runtraced_first.' || t)::regclass)");
    assert_eq!(row(&mut conn, &first).await, files);
    assert_eq!(guards(&mut conn).await, catalog);
    assert_eq!(content(&mut conn, &[old], &[]).await, before);
    let new = send_run(&daemon, None, "a").await;
    assert_eq!(months_of(&mut conn, old).await, [0]);
    let today = this_month(&mut conn).await;
    assert_eq!(months_of(&mut conn, new).await, [today]);
    let seen = "SELECT count(*) AS runs, sum(steps)::integer AS steps FROM of_the_product";
    assert_eq!(row(&mut conn, seen).await, json!({"runs": 2, "steps": 4}));
    // What default privileges give does not open the months to anybody.
    let open = "SELECT count(*) AS open FROM (
                    SELECT a.grantee FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                    WHERE p.proname IN ('keep_to_owner', 'share_month', 'follow_triggers', 'make_month', 'prepare_months', 'is_month_held', 'drop_month')
                    UNION ALL
                    SELECT a.grantee FROM pg_class c, aclexplode(c.relacl) a
                    WHERE c.relname = 'agent_months' OR c.relnamespace::regnamespace::text LIKE 'runtraced\\_2%') g
                WHERE grantee = 0";
    assert_eq!(row(&mut conn, open).await, json!({"open": 0}));
    let options = "SELECT count(DISTINCT coalesce(reloptions::text, '')) AS kinds FROM pg_class
                   WHERE relname = 'agent_steps' AND relkind = 'r'";
    assert_eq!(row(&mut conn, options).await, json!({"kinds": 1}));
    daemon.finish().await;
}

/// The policies, triggers, checks, comments and rights of the tables, without references and keys.
async fn guards(conn: &mut sqlx::PgConnection) -> serde_json::Value {
    row(
        conn,
        "SELECT jsonb_agg(DISTINCT what ORDER BY what) AS guards FROM (
             SELECT to_jsonb(p)::text AS what FROM pg_policies p WHERE schemaname = 'public' AND tablename LIKE 'agent\\_%'
             UNION ALL
             SELECT pg_get_triggerdef(g.oid) || g.tgenabled::text FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'agent\\_%' AND NOT g.tgisinternal
             UNION ALL
             SELECT c.relname || k.conname || pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'agent\\_%' AND k.contype = 'c'
             UNION ALL
             SELECT c.relname || d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'agent\\_%' AND c.relname <> 'agent_months'
               AND d.description NOT LIKE '%(agent\\_months)%'
             UNION ALL
             SELECT c.relname || (SELECT string_agg(r::text, ',' ORDER BY r::text)
                                  FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS r)
             FROM pg_class c
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'agent\\_%' AND c.relkind IN ('r', 'p')
             UNION ALL
             SELECT c.relname || a.attname || coalesce(a.attacl::text, '') || a.attcompression::text
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'agent\\_%' AND c.relkind IN ('r', 'p') AND a.attnum > 0
               AND c.relname <> 'agent_months' AND a.attname <> 'bucket'
         ) AS t WHERE what NOT LIKE '%agent\\_months%'",
    )
    .await
}

/// Scenario: clients send runs without a pause while the database is converted.
/// Guarantees: each run is committed, whole and once; nothing becomes a dead letter; the new ones have their month.
#[tokio::test(flavor = "multi_thread")]
async fn daemons_go_on_meanwhile() {
    let database = pg::plain_database().await;
    let daemon = Arc::new(Daemon::spawn_as_is(database.url(), &[]).await);
    daemon.wait_ready().await;
    let mut conn = database.connect().await;
    send_run(&daemon, None, "a").await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|_| tokio::spawn(send_runs(daemon.clone(), stop.clone())))
        .collect();
    let (code, said) = runtraced(&CONVERT, database.url()).await;
    assert_eq!(code, 0, "{said}");
    let last = send_run(&daemon, None, "a").await;
    stop.store(true, Relaxed);
    let mut runs = 2;
    for client in clients {
        runs += client.await.unwrap();
    }
    // Each has a row of its own, two steps, and one of each other kind; none is a dead letter or a content.
    let want = vec![
        ("agent_runs", runs),
        ("agent_steps", 2 * runs),
        ("agent_messages", runs),
        ("agent_token_counts", runs),
        ("ingest_dead_letters", 0),
    ];
    for (table, rows) in want {
        let found = crate::support::tables::count(&mut conn, table).await;
        assert_eq!(found, rows, "{table}: {:?}", counts(&mut conn).await);
    }
    let today = this_month(&mut conn).await;
    assert_eq!(months_of(&mut conn, last).await, [today]);
    Arc::into_inner(daemon).unwrap().finish().await;
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
        assert_eq!(daemon.submit(events).await.committed, all);
        sent += 5;
    }
    sent
}

/// Scenario: objects of the product that cannot go on with partitions. They are dropped, and the conversion, which was
/// interrupted once, is repeated.
/// Guarantees: it changes nothing and names them; then it works.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_break_is_named() {
    let database = pg::plain_database().await;
    let mut conn = database.connect().await;
    run_sql(
        &mut conn,
        "CREATE TABLE notes (step uuid REFERENCES agent_steps);
         CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM agent_messages;
         ALTER TABLE agent_token_counts ADD COLUMN place bigint GENERATED ALWAYS AS IDENTITY;
         CREATE UNIQUE INDEX one_place ON agent_messages (session_id, seq);
         CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER each_statement AFTER INSERT ON agent_steps FOR EACH STATEMENT EXECUTE FUNCTION told();
         CREATE PUBLICATION to_elsewhere FOR TABLE agent_messages;
         CREATE FUNCTION first_step() RETURNS agent_steps LANGUAGE sql AS 'SELECT * FROM agent_steps LIMIT 1'",
    )
    .await;
    let (code, said) = runtraced(&CONVERT, database.url()).await;
    assert_eq!(code, 1, "{said}");
    for named in [
        "on table notes",
        "materialized view counted",
        "first_step()",
        "identity column place",
        "unique index one_place",
        "trigger each_statement",
        "publication to_elsewhere",
    ] {
        assert!(said.contains(named), "{named}: {said}");
    }
    let kinds = "SELECT count(*) AS tables FROM pg_class WHERE relkind = 'p'";
    assert_eq!(row(&mut conn, kinds).await, json!({"tables": 0}));
    run_sql(
        &mut conn,
        "DROP TABLE notes; DROP MATERIALIZED VIEW counted; DROP FUNCTION first_step();
         ALTER TABLE agent_token_counts DROP COLUMN place; DROP INDEX one_place; DROP TRIGGER each_statement ON agent_steps;
         ALTER PUBLICATION to_elsewhere SET (publish_via_partition_root = true);
         ALTER TABLE agent_runs ADD COLUMN bucket integer NOT NULL DEFAULT 0;
         ALTER TABLE agent_steps ADD COLUMN bucket integer NOT NULL DEFAULT 0;
         CREATE UNIQUE INDEX agent_runs_bucket_key ON agent_runs (bucket, id);
         ALTER TABLE agent_steps ADD CONSTRAINT runtraced_run_bucket FOREIGN KEY (run_id, bucket) REFERENCES agent_runs (id, bucket) NOT VALID",
    )
    .await;
    let (code, said) = runtraced(&CONVERT, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(row(&mut conn, kinds).await, json!({"tables": 4}));
}
