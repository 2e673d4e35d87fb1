//! The role that `runtraced grant` makes able to write, and to do nothing else.

use std::process::{Command, Output};
use std::time::Duration;

use runtraced::proto::EndStatus;
use sqlx::{Connection as _, PgConnection, raw_sql};
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, id, message, new_id, run_ended, run_started, started_with, step,
    step_ended, step_started, tokens,
};
use crate::support::pg;
use crate::support::product::{poison, refuse_poison};
use crate::support::random::{Random, World};
use crate::support::spool::SpoolDir;
use crate::support::tables::{AGENT_TABLES, content, count};
use crate::support::writer::{ROLE, writer};

fn runtraced(database_url: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(args)
        .env("DATABASE_URL", database_url)
        .output()
        .unwrap()
}

/// Scenario: the same random events of every kind, contradicting and repeated,
/// to a daemon of the owner and to one of the writer.
/// Guarantees: every column of every row is the same; the writer's daemon logs
/// nothing alarming.
#[tokio::test(flavor = "multi_thread")]
async fn the_writer_writes_what_the_owner_would() {
    let seed = match std::env::var("RUNTRACED_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => u64::from(rand::random::<u32>()),
    };
    println!("RUNTRACED_TEST_SEED={seed}");
    let (owners, writers) = (pg::database().await, pg::database().await);
    let ids: Vec<Uuid> = (1..=6).map(Uuid::from_u128).collect();
    for database in [&owners, &writers] {
        let mut conn = database.connect().await;
        for (table, ids) in [
            ("customers (id, name, arr)", &ids[..2]),
            ("users (id)", &ids[3..5]),
        ] {
            for id in ids {
                let values = match table {
                    "users (id)" => format!("('{id}')"),
                    _ => format!("('{id}', 'c', 1)"),
                };
                let insert = format!("INSERT INTO {table} VALUES {values}");
                raw_sql(sqlx::AssertSqlSafe(insert))
                    .execute(&mut conn)
                    .await
                    .unwrap();
            }
        }
    }
    let world = World {
        customers: ids[0..3].to_vec(),
        users: ids[3..6].to_vec(),
    };
    let owner = Daemon::spawn_as_is(owners.url(), &[]).await;
    let url = writer(writers.url()).await;
    let restricted = Daemon::spawn_as_is(&url, &["--no-migrate"]).await;
    let mut conns = [owners.connect().await, writers.connect().await];
    owner.wait_ready().await;
    restricted.wait_ready().await;
    let clients = [owner.client().await, restricted.client().await];
    for seed in seed..seed + 12 {
        let mut random = Random::new(seed, &world);
        let scenario = random.scenario();
        for client in &clients {
            for batch in random.delivery(&scenario.events) {
                let outcome = client.submit(batch).await.unwrap().outcome.unwrap();
                assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
            }
        }
        let [a, b] = &mut conns;
        let want = content(a, &scenario.runs, &scenario.sessions).await;
        let got = content(b, &scenario.runs, &scenario.sessions).await;
        assert_eq!(got, want, "RUNTRACED_TEST_SEED={seed}");
    }
    owner.finish().await;
    restricted.finish_as(writers.url()).await;
}

/// Scenario: as the writer: a conflict, a dead letter, runs that the sweeper
/// abandons, Postgres away and the spool replayed, a restart.
/// Guarantees: all of it works, and the counts add up.
#[tokio::test(flavor = "multi_thread")]
async fn the_writer_needs_nothing_more() {
    let mut cluster = pg::own_cluster().await;
    let url = writer(cluster.url()).await;
    let spool = SpoolDir::new();
    let mut args = spool.flags(&["--no-migrate", "--spool-after", "2"]);
    args.extend(["--sweep-interval", "0.2", "--run-timeout", "2"]);
    let mut daemon = Daemon::spawn_as_is(&url, &args).await;
    // That the database is away.
    daemon.expect_warnings("");
    daemon.wait_ready().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    refuse_poison(&mut conn).await;
    let (run, silent, of_steps) = (new_id(), new_id(), new_id());
    let customer = new_id();
    let known = started_with(run_started(1, run), |run| run.customer_id = id(customer));
    let outcome = daemon
        .client()
        .await
        .submit(vec![
            known,
            step_started(2, run, of_steps),
            step_ended(3, run, of_steps),
            message(3, Some(run), None, new_id()),
            tokens(3, run, new_id(), 5, 7),
            approval_requested(4, run, new_id()),
            run_started(1, silent),
            run_ended(9, run, EndStatus::Completed),
        ])
        .await
        .unwrap()
        .outcome
        .unwrap();
    assert_eq!(outcome.committed, 8, "{outcome:?}");
    let client = daemon.client().await;
    let conflict = client.submit(vec![step(1, 2, new_id(), of_steps)]).await;
    assert_eq!(conflict.unwrap().outcome.unwrap().refused.len(), 1);
    // Only Postgres knows the rules of a product.
    let mut letter = message(1, Some(run), None, new_id());
    if let Some(runtraced::proto::event::Event::MessageAppended(message)) = &mut letter.event {
        message.metadata_json = poison();
    }
    let outcome = daemon.client().await.submit(vec![letter]).await.unwrap();
    assert_eq!(outcome.outcome.unwrap().refused.len(), 1);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 1);
    // The run that the conflict named is there too, and is abandoned as well.
    let abandoned = format!("agent_runs WHERE finalized_by = 'abandoned' AND id = '{silent}'");
    wait(&mut conn, &abandoned, 1).await;
    drop(conn);

    cluster.stop_immediate().await;
    let spooled = daemon
        .client()
        .await
        .submit(vec![run_started(1, new_id())])
        .await;
    assert_eq!(spooled.unwrap().outcome.unwrap().spooled, 1);
    daemon.kill();
    cluster.start().await;
    let mut daemon = Daemon::spawn_as_is(&url, &args).await;
    daemon.expect_warnings("");
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    wait(&mut conn, "agent_runs WHERE started_at IS NOT NULL", 3).await;
    daemon.finish_as(cluster.url()).await;
}

async fn wait(conn: &mut PgConnection, what: &str, want: i64) {
    for _ in 0..1_500 {
        if count(conn, what).await == want {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} of {what}", count(conn, what).await);
}

/// Scenario: whatever somebody might try who has got hold of the writer's
/// password.
/// Guarantees: none of it is allowed; what the daemon does is.
#[tokio::test]
async fn the_writer_may_do_nothing_else() {
    let database = pg::database().await;
    let url = writer(database.url()).await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    for allowed in [
        "SELECT id, deleted_at FROM customers",
        "SELECT id FROM users",
        "SELECT * FROM ingest_keys",
        "INSERT INTO agent_runs (agent_id, agent_type, status) VALUES ('a', 'b', 'running')",
        "UPDATE agent_runs SET name = 'n'",
        "DELETE FROM agent_step_aliases",
        "SELECT merge_observed('{\"name\":[0,1,\"a\"]}', '{\"name\":[0,2,\"b\"]}')",
        "SELECT observed_metadata('{}', true), observed_customer_id('{}'), merge_services('{}', '{}')",
        "SELECT ingest_migrations(), ingest_write_epoch()",
    ] {
        let done = raw_sql(sqlx::AssertSqlSafe(allowed))
            .execute(&mut conn)
            .await;
        assert!(done.is_ok(), "{allowed}: {done:?}");
    }
    let mut owner = database.connect().await;
    let me: String = sqlx::query_scalar("SELECT quote_ident(current_user)")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let mut forbidden = vec![
        "SELECT * FROM customers".to_owned(),
        "SELECT name FROM customers".into(),
        "SELECT * FROM users".into(),
        "SELECT email FROM users".into(),
        "INSERT INTO customers (name, arr) VALUES ('c', 1)".into(),
        "UPDATE customers SET arr = 0".into(),
        "UPDATE users SET is_admin = true".into(),
        "INSERT INTO users (id) VALUES (gen_random_uuid())".into(),
        "INSERT INTO ingest_keys (name, key_sha256) VALUES ('mine', decode(repeat('00', 32), 'hex'))".into(),
        "UPDATE ingest_keys SET revoked_at = NULL".into(),
        "DELETE FROM ingest_keys".into(),
        "DELETE FROM ingest_dead_letters".into(),
        "DELETE FROM ingest_ledger".into(),
        "DROP POLICY \"CSMs see assigned customers\" ON customers".into(),
        "CREATE POLICY p ON customers FOR ALL USING (true)".into(),
        "CREATE TABLE public.mine (a int)".into(),
        "CREATE SCHEMA mine".into(),
        "CREATE ROLE another".into(),
        format!("SET ROLE {me}"),
        "SELECT pg_read_file('/etc/hostname')".into(),
        "COPY (SELECT 1) TO PROGRAM 'true'".into(),
        "ALTER TABLE _sqlx_migrations ADD COLUMN c int".into(),
        "DELETE FROM _sqlx_migrations".into(),
    ];
    for table in [
        "stakeholders",
        "contracts",
        "entitlements",
        "health_scores",
        "usage_metrics",
        "risk_signals",
        "renewal_pipeline",
        "qbrs",
    ] {
        forbidden.push(format!("SELECT FROM {table}"));
        forbidden.push(format!("DELETE FROM {table}"));
        forbidden.push(format!("INSERT INTO {table} DEFAULT VALUES"));
    }
    let contents = [
        "agent_contents",
        "agent_content_scopes",
        "agent_run_scopes",
        "agent_shared_contents",
        "agent_stale_scopes",
    ];
    for table in AGENT_TABLES.iter().chain(&contents) {
        forbidden.push(format!("DELETE FROM {table}"));
        for table in pg::tables_of(table) {
            forbidden.push(format!("DELETE FROM {table}"));
            forbidden.push(format!("TRUNCATE {table} CASCADE"));
        }
    }
    for table in pg::tables_of("agent_runs") {
        forbidden.push(format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"));
        forbidden.push(format!("ALTER TABLE {table} ADD COLUMN c int"));
        forbidden.push(format!("DROP TABLE {table}"));
    }
    for statement in &forbidden {
        let error = raw_sql(sqlx::AssertSqlSafe(statement.clone()))
            .execute(&mut conn)
            .await
            .expect_err(statement);
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
    }
    // Every table of the schema is among those that were looked at, or is one to
    // write to.
    let more: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname <> 'agent_months'
           AND has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
         ORDER BY 1",
    )
    .bind(ROLE)
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(
        more,
        [
            "agent_content_scopes",
            "agent_contents",
            "agent_costs",
            "agent_messages",
            "agent_run_scopes",
            "agent_runs",
            "agent_scores",
            "agent_sessions",
            "agent_shared_contents",
            "agent_stale_scopes",
            "agent_step_aliases",
            "agent_steps",
            "agent_token_costs",
            "agent_token_counts",
            "approvals",
            "daily_costs",
            "ingest_dead_letters",
            "ingest_keys",
            "ingest_ledger",
            "ingest_tombstones",
            "model_prices",
            "price_bands",
            "run_costs",
            "run_summary",
            "run_sums",
            "run_sums_changes",
            "run_sums_days",
            "run_sums_open",
            "run_timeline",
            "session_costs",
            "unpriced_models"
        ]
    );
}

/// Scenario: roles that will not do: none, a superuser, a member of the owner;
/// granting twice; taking it back.
/// Guarantees: the former are refused with the reason; granting is harmless to
/// repeat, and what was given is gone after.
#[tokio::test]
async fn who_cannot_be_a_writer_is_told() {
    let database = pg::database().await;
    let mut owner = database.connect().await;
    let grant = |args: &[&str]| {
        let out = runtraced(database.url(), &[&["grant", "--role"], args].concat());
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        (out.status.code(), said)
    };
    let (code, said) = grant(&["nobody here"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("CREATE ROLE"), "{said}");
    let me: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let (code, said) = grant(&[&me]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("superuser"), "{said}");

    let role = format!("w{}", Uuid::now_v7().simple());
    let sql = format!("CREATE ROLE {role} LOGIN");
    raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut owner)
        .await
        .unwrap();
    for _ in 0..2 {
        let (code, said) = grant(&[&role]);
        assert_eq!(code, Some(0), "{said}");
    }
    let (code, said) = grant(&[&role, "--revoke"]);
    assert_eq!(code, Some(0), "{said}");
    // Who still has rights, or stands in a policy, cannot be dropped.
    let sql = format!("DROP ROLE {role}");
    raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut owner)
        .await
        .unwrap();
}
