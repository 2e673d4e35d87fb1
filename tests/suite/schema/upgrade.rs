//! An upgrade while daemons run and agents send.

use std::time::{Duration, Instant};

use runtraced_client::RetryPolicy;
use sqlx::PgConnection;
use uuid::Uuid;

use super::catalog::{MIGRATIONS, run};
use crate::support::daemon::Daemon;
use crate::support::load::Load;
use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;
use crate::support::spool::SpoolDir;
use crate::support::tables::value;

/// The schema of the first version: the oldest one that can be upgraded.
const OLDEST: i64 = 12;
const OLD_RUN: Uuid = Uuid::from_u128(1);

/// A database of the first version with a customer and a run.
async fn old_database() -> TestDatabase {
    let database = pg::empty_database().await;
    let mut conn = database.connect().await;
    MIGRATIONS.run_to(OLDEST, &mut conn).await.unwrap();
    run(
        &mut conn,
        format!(
            "INSERT INTO customers (id, name, arr) VALUES ('{OLD_RUN}', 'Acme', 1);
             INSERT INTO agent_sessions (id, customer_id) VALUES ('{OLD_RUN}', '{OLD_RUN}');
             INSERT INTO agent_runs (id, session_id, customer_id, agent_id, agent_type, status, started_at, ended_at,
                 start_event_at, finalized_by, total_tokens_input, total_tokens_output)
             VALUES ('{OLD_RUN}', '{OLD_RUN}', '{OLD_RUN}', 'a', 'b', 'completed', '2026-01-01 00:00Z',
                 '2026-01-01 00:01Z', '2026-01-01 00:00Z', 'client', 7, 3);
             INSERT INTO agent_steps (run_id, step_type, name, status, started_at, ended_at)
             VALUES ('{OLD_RUN}', 'llm_call', 's', 'completed', '2026-01-01 00:00Z', '2026-01-01 00:01Z');
             INSERT INTO agent_token_counts (run_id, input, output) VALUES ('{OLD_RUN}', 7, 3);
             INSERT INTO agent_messages (session_id, run_id, role, content)
             VALUES ('{OLD_RUN}', '{OLD_RUN}', 'user', 'm')"
        ),
    )
    .await;
    database
}

/// A daemon that may not migrate, or one that does when it starts.
async fn daemon(database: &TestDatabase, dir: &SpoolDir, more: &[&str]) -> Daemon {
    // A migration holds its locks for longer on a busy machine. That is no outage.
    let more = [more, &["--spool-after", "3"]].concat();
    let mut daemon = Daemon::spawn_as_is(database.url(), &dir.flags(&more)).await;
    for expected in ["not ready", "the schema cannot be brought up to date yet"] {
        daemon.expect_warnings(expected);
    }
    daemon
}

async fn load(seed: u64, daemons: &[Daemon; 2]) -> Load {
    let retry = RetryPolicy {
        first_delay: Duration::from_millis(10),
        max_delay: Duration::from_millis(200),
        give_up_after: Duration::from_secs(120),
    };
    let urls = [daemons[0].grpc_url(), daemons[1].grpc_url()];
    Load::spooled_too(seed, &urls, 2, retry).await
}

/// Waits until nothing is spooled, and checks everything that was sent.
async fn check(database: &TestDatabase, load: Load, daemons: [Daemon; 2]) {
    let oracle = load.finish().await;
    assert!(
        oracle.spooled() > 0,
        "nothing was acknowledged before the upgrade"
    );
    let deadline = Instant::now() + Duration::from_secs(120);
    let spooled = "runtraced_events_settled_total{outcome=\"spooled\"}";
    for daemon in &daemons {
        while daemon.metrics().await[spooled] > 0 {
            assert!(Instant::now() < deadline, "not replayed\n{}", daemon.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut conn = database.connect().await;
    oracle.check_acked(&mut conn).await;
    oracle.check_all(&mut conn).await;
    oracle.check_nothing_else(&mut conn, &[OLD_RUN]).await;
    old_run_is_kept(&mut conn).await;
    for daemon in daemons {
        daemon.finish().await;
    }
}

async fn old_run_is_kept(conn: &mut PgConnection) {
    let query = format!(
        "SELECT jsonb_build_array(status, duration_ms, tokens_input, tokens_output, steps, llm_calls, messages, customer_id)
         FROM run_summary WHERE run_id = '{OLD_RUN}'"
    );
    let expected = serde_json::json!(["completed", 60_000, 7, 3, 1, 1, 1, OLD_RUN]);
    assert_eq!(value(conn, &query).await, expected);
}

/// Scenario: two daemons that may not migrate run on a database of the first version, with rows; agents
/// send to both all the time; then the operator migrates.
/// Guarantees: the daemons acknowledge what they spool and write nothing until then; afterwards they
/// write by themselves. Everything acknowledged is there once, totals are exact, the old run is kept.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_under_traffic_loses_no_ack() {
    let database = old_database().await;
    let mut conn = database.connect().await;
    let dirs = [SpoolDir::new(), SpoolDir::new()];
    let daemons = [
        daemon(&database, &dirs[0], &["--no-migrate"]).await,
        daemon(&database, &dirs[1], &["--no-migrate"]).await,
    ];
    let load = load(1, &daemons).await;
    load.wait_for_acks(100).await;
    let runs = "SELECT count(*) FROM agent_runs";
    assert_eq!(value(&mut conn, runs).await, 1, "an old schema was written");
    let (code, said) = runtraced(&["migrate"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    for daemon in &daemons {
        daemon.wait_ready().await;
    }
    load.wait_for_acks(100).await;
    check(&database, load, daemons).await;
}

/// Scenario: the same with daemons that migrate when they start: both do so at once, and agents send
/// before they are through.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread")]
async fn daemons_upgrade_by_themselves_under_traffic() {
    let database = old_database().await;
    let mut conn = database.connect().await;
    // Somebody reads, so the upgrade waits until the agents have begun.
    run(&mut conn, "BEGIN; LOCK agent_runs IN ACCESS SHARE MODE").await;
    let dirs = [SpoolDir::new(), SpoolDir::new()];
    let daemons = [
        daemon(&database, &dirs[0], &[]).await,
        daemon(&database, &dirs[1], &[]).await,
    ];
    let load = load(2, &daemons).await;
    load.wait_for_acks(100).await;
    run(&mut conn, "COMMIT").await;
    for daemon in &daemons {
        daemon.wait_ready().await;
    }
    load.wait_for_acks(100).await;
    check(&database, load, daemons).await;
}
