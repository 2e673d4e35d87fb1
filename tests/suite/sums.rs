//! Totals that a writer has kept are those that the rows say.

use rand::RngExt as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use runtraced::store;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{
    at, event, id, message, new_id, run_ended, run_started, step, step_ended, step_started, tokens,
};
use crate::support::pg::{self, TestDatabase};
use crate::support::random::{Random, World, from_env};
use crate::support::tables::{content, count};

/// A run as a client sends it, nothing twice; not everything is always there.
fn run(random: &mut Random, run: Uuid) -> Vec<Event> {
    let mut events = Vec::new();
    if random.rng.random_bool(0.7) {
        events.push(run_started(random.rng.random_range(0..9_000), run));
    }
    for _ in 0..random.upto(0, 5) {
        let (new, began) = (
            Uuid::from_u128(random.rng.random()),
            random.rng.random_range(0..9_000),
        );
        let ended = began + random.rng.random_range(-500..2_000);
        match random.upto(0, 9) {
            0 => events.push(step_started(began, run, new)),
            1 => events.extend([step_started(began, run, new), step_ended(ended, run, new)]),
            _ => events.push(step(began, ended, run, new)),
        }
    }
    for _ in 0..random.upto(0, 3) {
        let (new, time) = (
            Uuid::from_u128(random.rng.random()),
            random.rng.random_range(0..9_000),
        );
        events.push(message(time, Some(run), None, new));
    }
    for _ in 0..random.upto(0, 3) {
        let (new, time) = (
            Uuid::from_u128(random.rng.random()),
            random.rng.random_range(0..9_000),
        );
        let input = *[0, 7, i32::MAX.into()].choose(&mut random.rng).unwrap();
        let mut counted = tokens(time, run, new, input, 3);
        if let Some(Body::TokenCount(count)) = &mut counted.event {
            count.rollup = random.rng.random_bool(0.3);
            count.input = Some(input).filter(|_| random.rng.random_bool(0.8));
        }
        events.push(counted);
    }
    let ended = proto::RunEnded {
        run_id: id(run),
        status: EndStatus::Completed.into(),
        reported_tokens_input: Some(11).filter(|_| random.rng.random_bool(0.5)),
        from_root_span: random.rng.random_bool(0.5),
        started_at: Some(at(5)).filter(|_| random.rng.random_bool(0.2)),
        ..Default::default()
    };
    if random.rng.random_bool(0.3) {
        events.shuffle(&mut random.rng);
    }
    events.push(event(9_500, Body::RunEnded(ended)));
    if random.rng.random_bool(0.2) {
        events.shuffle(&mut random.rng);
    }
    events
}

/// Events of several runs, interleaved, each run's in their order.
fn interleaved(random: &mut Random, runs: &[Uuid]) -> Vec<Event> {
    let mut rest: Vec<_> = runs.iter().map(|&id| run(random, id).into_iter()).collect();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let at = random.upto(0, rest.len() - 1);
        match rest[at].next() {
            Some(event) => events.push(event),
            None => _ = rest.swap_remove(at),
        }
    }
    events
}

/// What reading all that is below the runs would change.
async fn differences(conn: &mut PgConnection, runs: &[Uuid]) -> Vec<(String, String)> {
    let before = content(conn, runs, &[]).await;
    store::settle_closed_runs(conn, runs).await.unwrap();
    let after = content(conn, runs, &[]).await;
    before
        .into_iter()
        .zip(after)
        .filter(|(a, b)| a != b)
        .collect()
}

/// Scenario: runs are sent once, interleaved, in batches of any size; through
/// one daemon, and through two that take turns.
/// Guarantees: reading what is below the runs changes nothing in their rows.
/// `RUNTRACED_TEST_SEED` replays, `RUNTRACED_TEST_CASES` asks for more.
#[tokio::test(flavor = "multi_thread")]
async fn totals_are_those_that_the_rows_say() {
    let database = pg::database().await;
    let daemons = [
        Daemon::start(database.url()).await,
        Daemon::start(database.url()).await,
    ];
    let clients = [daemons[0].client().await, daemons[1].client().await];
    let mut conn = database.connect().await;
    let world = World {
        customers: Vec::new(),
        users: Vec::new(),
    };
    let first = from_env("RUNTRACED_TEST_SEED", rand::random::<u32>().into());
    let cases = from_env("RUNTRACED_TEST_CASES", 60);
    for seed in first..first + cases {
        let mut random = Random::new(seed, &world);
        let runs: Vec<Uuid> = (0..random.upto(1, 5))
            .map(|_| Uuid::from_u128(random.rng.random()))
            .collect();
        let both = random.rng.random_bool(0.4);
        let mut rest = interleaved(&mut random, &runs);
        while !rest.is_empty() {
            let len = random.upto(1, 30).min(rest.len());
            let client = &clients[if both { random.upto(0, 1) } else { 0 }];
            let outcome = client
                .submit(rest.drain(..len).collect())
                .await
                .unwrap()
                .outcome
                .unwrap();
            assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        }
        let open = "agent_runs WHERE status = 'running'";
        assert_eq!(count(&mut conn, open).await, 0, "seed {seed}");
        assert_eq!(differences(&mut conn, &runs).await, [], "seed {seed}");
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// The run's input and output tokens, and whether a writer may know its sums.
async fn totals(conn: &mut PgConnection, run: Uuid) -> (Option<i32>, Option<i32>, bool) {
    let query = "SELECT total_tokens_input, total_tokens_output, summed_by IS NOT NULL FROM agent_runs WHERE id = $1";
    sqlx::query_as(query)
        .bind(run)
        .fetch_one(conn)
        .await
        .unwrap()
}

/// A daemon of the owner in any case: the writer's role cannot COPY, so it always merges and
/// knows no sums.
async fn owners(database: &TestDatabase) -> Daemon {
    let daemon = Daemon::spawn_as_is(database.url(), &[]).await;
    daemon.wait_ready().await;
    daemon
}

/// What no daemon can see: as if it were done by one.
async fn by_hand(conn: &mut PgConnection, query: &'static str) {
    let set = "SELECT set_config('runtraced.writer', 'on', false)";
    sqlx::query(set).execute(&mut *conn).await.unwrap();
    sqlx::query(query).execute(conn).await.unwrap();
}

/// Scenario: while a daemon writes a run, somebody else changes rows below it in every way that
/// changes its totals: as the owner, and as a role that may touch nothing but that table.
/// Guarantees: the run ends with the totals and times of the rows that are there.
#[tokio::test]
async fn changes_by_others_below_a_live_run_count() {
    let database = pg::database().await;
    let daemon = owners(&database).await;
    let mut conn = database.connect().await;
    sqlx::raw_sql(
        "DO $$ BEGIN CREATE ROLE product; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT SELECT, UPDATE, DELETE ON agent_token_counts, agent_messages, agent_steps TO product;
         CREATE POLICY product ON agent_token_counts TO product USING (true);
         CREATE POLICY product ON agent_messages TO product USING (true);
         CREATE POLICY product ON agent_steps TO product USING (true)",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    for as_product in [false, true] {
        for change in [
            "UPDATE agent_token_counts SET input = 50 WHERE input = 5 AND run_id = $1",
            "UPDATE agent_token_counts SET rollup = true WHERE input = 5 AND run_id = $1",
            "DELETE FROM agent_token_counts WHERE input = 5 AND run_id = $1",
            "DELETE FROM agent_token_counts WHERE run_id = $1",
            "DELETE FROM agent_messages WHERE run_id = $1",
            "UPDATE agent_messages SET created_at = created_at + interval '1 day' WHERE run_id = $1",
            "DELETE FROM agent_steps WHERE run_id = $1",
            "UPDATE agent_steps SET created_at = created_at - interval '1 day' WHERE run_id = $1",
        ] {
            let run = new_id();
            let rows = vec![
                step(1_000, 2_000, run, new_id()),
                message(3_000, Some(run), None, new_id()),
                tokens(1_500, run, new_id(), 5, 1),
                tokens(1_500, run, new_id(), 7, 1),
            ];
            daemon.submit(rows).await;
            assert!(totals(&mut conn, run).await.2, "{change}");
            if as_product {
                sqlx::query("SET ROLE product")
                    .execute(&mut conn)
                    .await
                    .unwrap();
            }
            let changed = sqlx::query(change).bind(run).execute(&mut conn).await;
            assert!(changed.unwrap().rows_affected() > 0, "{change}");
            sqlx::query("RESET ROLE").execute(&mut conn).await.unwrap();
            daemon
                .submit(vec![run_ended(900, run, EndStatus::Completed)])
                .await;
            assert_eq!(differences(&mut conn, &[run]).await, [], "{change}");
        }
    }
    daemon.finish().await;
}

/// Scenario: a daemon makes a run; another writes below it; the first goes on, and
/// ends it.
/// Guarantees: the mark of the one that knows the sums is there until another
/// writes, and the totals hold both's tokens.
#[tokio::test]
async fn who_is_not_alone_below_a_run_does_not_know_its_sums() {
    let database = pg::database().await;
    let (first, second) = (owners(&database).await, owners(&database).await);
    let mut conn = database.connect().await;
    let run = new_id();
    let count = |input| tokens(1_000, run, new_id(), input, 1);
    let end = run_ended(9_000, run, EndStatus::Completed);
    first.submit(vec![run_started(0, run), count(5)]).await;
    first.submit(vec![count(6)]).await;
    assert_eq!(totals(&mut conn, run).await, (None, None, true));
    second.submit(vec![count(100)]).await;
    assert_eq!(totals(&mut conn, run).await, (None, None, false));
    first.submit(vec![count(7)]).await;
    first.submit(vec![end]).await;
    assert_eq!(totals(&mut conn, run).await, (Some(118), Some(4), false));
    first.finish().await;
    second.finish().await;
}

/// Scenario: what is below a run was changed by hand after its writer wrote it; the
/// writer ends the run, twice.
/// Guarantees: it ends with the writer's sums, so what is below is not read. For the
/// second end it is.
#[tokio::test]
async fn a_run_that_one_writer_has_made_is_not_read_again() {
    let database = pg::database().await;
    let daemon = owners(&database).await;
    let mut conn = database.connect().await;
    let run = new_id();
    let end = |millis| vec![run_ended(millis, run, EndStatus::Completed)];
    daemon.submit(vec![run_started(0, run)]).await;
    daemon
        .submit(vec![tokens(1_000, run, new_id(), 5, 1)])
        .await;
    by_hand(&mut conn, "UPDATE agent_token_counts SET input = 50").await;
    daemon.submit(end(9_000)).await;
    assert_eq!(totals(&mut conn, run).await, (Some(5), Some(1), false));
    daemon.submit(end(9_500)).await;
    assert_eq!(totals(&mut conn, run).await, (Some(50), Some(1), false));
    daemon.finish().await;
}

/// Scenario: a run's writer loses its connection; the server that it finds then has
/// lost a row, as after a failover to one that was behind.
/// Guarantees: the run's totals are those of the rows that are there.
#[tokio::test]
async fn sums_do_not_outlive_the_connection() {
    let database = pg::database().await;
    let mut daemon = owners(&database).await;
    daemon.expect_warnings(AWAY);
    let mut conn = database.connect().await;
    let run = new_id();
    let count = |input| tokens(1_000, run, new_id(), input, 1);
    daemon.submit(vec![run_started(0, run), count(5)]).await;
    daemon.submit(vec![count(6)]).await;
    by_hand(
        &mut conn,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'runtraced'",
    )
    .await;
    by_hand(&mut conn, "DELETE FROM agent_token_counts WHERE input = 6").await;
    let end = run_ended(9_000, run, EndStatus::Completed);
    daemon.submit(vec![end]).await;
    assert_eq!(totals(&mut conn, run).await, (Some(5), Some(1), false));
    daemon.finish().await;
}
