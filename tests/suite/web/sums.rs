//! Sums of runs that are kept are those that the runs themselves give, whatever happened when.

mod told;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};
use uuid::Uuid;

use self::told::{FILTERS, compare, read_as};
use super::client::get;
use super::runtraced;
use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, new_id, run_ended, run_started, started_with, step, tokens,
};
use crate::support::pg;
use crate::support::random::{Random, World};
use crate::support::tables::count;
use runtraced::proto::{EndStatus, Event};

/// Sums up some of what has changed.
async fn fill(conn: &mut PgConnection, most_runs: i64) -> i64 {
    sqlx::query_scalar("SELECT fill_run_sums($1, 20000, '0 seconds')")
        .bind(most_runs)
        .fetch_one(conn)
        .await
        .unwrap()
}

/// Sums up all that has changed. The daemon may do a part of it.
async fn fill_all(conn: &mut PgConnection) {
    while count(conn, "run_sums_changes").await > 0 {
        fill(conn, 1_000).await;
    }
}

/// Adds the sums of a day up, if there is one that holds. Returns how many rows they are.
async fn fill_days(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT fill_run_sums_days()")
        .fetch_one(conn)
        .await
        .unwrap()
}

/// How many runs the sums have, for a reader; `None`: for the owner.
async fn runs_seen(conn: &mut PgConnection, claims: Option<&String>) -> i64 {
    let mut tx = conn.begin().await.unwrap();
    if let Some(claims) = claims {
        read_as(&mut tx, claims).await;
    }
    let seen: Option<i64> = sqlx::query_scalar(
        "SELECT sum(runs)::bigint FROM run_sums_between('-infinity', 'infinity', 'runs', true)",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.rollback().await.unwrap();
    seen.unwrap_or_default()
}

/// Makes the role of readers, as a key of a customer does.
fn make_readers(database: &pg::TestDatabase, customer: Uuid) {
    let customer = customer.to_string();
    let key = ["--name", "k", "--read", "--customer", &customer];
    runtraced(database.url(), &[&["keys", "create"], &key[..]].concat());
}

/// One thing that may happen to runs that are summed up already.
async fn happen(conn: &mut PgConnection, random: &mut Random, world: &World) {
    let price = random.upto(0, 5);
    let customer = *world.customers.choose(&mut random.rng).unwrap();
    let which = random.upto(0, 6);
    let change = match which {
        0 => format!(
            "INSERT INTO model_prices (model, input, output) VALUES ('a', {price}, 1)
             ON CONFLICT (model, source, valid_from, above_input_tokens) DO UPDATE SET input = excluded.input"
        ),
        1 => "DELETE FROM model_prices WHERE model = 'a'".to_owned(),
        2 => "INSERT INTO model_prices (model, valid_from, input, output) VALUES ('zz', '2026-01-01 00:00:03', 7, 1)
              ON CONFLICT DO NOTHING"
            .to_owned(),
        3 => format!(
            "UPDATE agent_sessions SET customer_id = (SELECT id FROM customers WHERE id = '{customer}')
             WHERE id = (SELECT id FROM agent_sessions ORDER BY md5(id::text || {price}) LIMIT 1)"
        ),
        4 => "UPDATE approvals SET status = 'approved', decided_at = created_at + INTERVAL '90 seconds'
              WHERE id = (SELECT id FROM approvals WHERE status = 'pending' ORDER BY id LIMIT 1)"
            .to_owned(),
        5 => format!(
            "WITH gone AS (SELECT id FROM agent_runs WHERE status <> 'running' ORDER BY md5(id::text || {price}) LIMIT 1),
             steps AS (DELETE FROM agent_steps WHERE run_id IN (SELECT id FROM gone)),
             contents AS (DELETE FROM agent_contents WHERE run_id IN (SELECT id FROM gone)),
             messages AS (DELETE FROM agent_messages WHERE run_id IN (SELECT id FROM gone)),
             scores AS (DELETE FROM agent_scores WHERE run_id IN (SELECT id FROM gone)),
             counts AS (DELETE FROM agent_token_counts WHERE run_id IN (SELECT id FROM gone)),
             aliases AS (DELETE FROM agent_step_aliases WHERE run_id IN (SELECT id FROM gone)),
             asked AS (DELETE FROM approvals WHERE run_id IN (SELECT id FROM gone))
             DELETE FROM agent_runs WHERE id IN (SELECT id FROM gone)"
        ),
        _ => {
            // A daemon dies while it sums up.
            let mut tx = conn.begin().await.unwrap();
            fill(&mut tx, 1_000).await;
            tx.rollback().await.unwrap();
            return;
        }
    };
    // A writer that creates the run again at the same moment may win; then nothing is deleted.
    if let Err(error) = raw_sql(AssertSqlSafe(change.clone())).execute(conn).await {
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("23503"), "{change}: {error}");
    }
}

/// Scenario: random events of many runs, repeated, late and contradicting, through two daemons, one of
/// which is killed; between them sums are made, prices change, sessions move to other customers, people
/// decide, and runs are deleted.
/// Guarantees: at every moment and for every reader, the sums are those of the rows that the reader sees.
#[tokio::test(flavor = "multi_thread")]
async fn kept_sums_are_those_of_the_runs() {
    let seed = match std::env::var("RUNTRACED_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => u64::from(rand::random::<u32>()),
    };
    println!("RUNTRACED_TEST_SEED={seed}");
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let ids: Vec<Uuid> = (1..=6).map(Uuid::from_u128).collect();
    let world = World {
        customers: ids[0..3].to_vec(),
        users: ids[3..6].to_vec(),
    };
    let args = ["--sweep-interval", "0.3"];
    let mut daemons = vec![
        Daemon::with_args(database.url(), &args).await,
        Daemon::with_args(database.url(), &args).await,
    ];
    let people = format!(
        "INSERT INTO customers (id, name, arr) VALUES ('{}', 'a', 1), ('{}', 'b', 1);
         INSERT INTO users (id) VALUES ('{}'), ('{}');
         INSERT INTO runtraced_admins (user_id) VALUES ('{}')",
        ids[0], ids[1], ids[3], ids[4], ids[4]
    );
    raw_sql(AssertSqlSafe(people))
        .execute(&mut conn)
        .await
        .unwrap();

    make_readers(&database, ids[0]);
    let claim = |name: &str, id: Uuid| format!("{{\"{name}\":\"{id}\"}}");
    let readers = [
        None,
        Some(claim("runtraced_customer", ids[0])),
        Some(claim("runtraced_customer", ids[1])),
        Some(claim("sub", ids[3])),
        Some(claim("sub", ids[4])),
        Some(claim("sub", ids[5])),
    ];
    let mut random = Random::new(seed, &world);
    let mut batches: Vec<Vec<Event>> = Vec::new();
    // Scenarios are long or short by chance.
    while batches.len() < 80 {
        let scenario = random.scenario();
        batches.extend(random.delivery(&scenario.events));
    }
    rand::seq::SliceRandom::shuffle(batches.as_mut_slice(), &mut random.rng);
    let (mut compared, mut round) = (0, 0);
    while !batches.is_empty() {
        round += 1;
        let some = random.upto(1, 8).min(batches.len());
        for batch in batches.drain(..some) {
            let daemon = daemons.choose(&mut random.rng).unwrap();
            daemon.client().await.submit(batch).await.unwrap();
        }
        if round == 5 {
            daemons.pop().unwrap().kill();
            daemons.push(Daemon::with_args(database.url(), &args).await);
        }
        if random.rng.random_bool(0.7) {
            fill(&mut conn, 1_i64 << random.upto(0, 10)).await;
            fill_days(&mut conn).await;
        }
        happen(&mut conn, &mut random, &world).await;
        let about = format!("RUNTRACED_TEST_SEED={seed}, round {round}");
        let reader = readers.choose(&mut random.rng).unwrap();
        for reader in [&None, reader] {
            let filter = *FILTERS.choose(&mut random.rng).unwrap();
            compared += compare(&mut conn, reader.as_deref(), filter, &about).await;
        }
    }
    // The daemons make sums too.
    let kept = count(&mut conn, "run_sums").await;
    while fill(&mut conn, 1_000).await > 0 {}
    while fill_days(&mut conn).await > 0 {}
    let days = count(&mut conn, "run_sums_days").await;
    for reader in &readers {
        for filter in FILTERS {
            compared += compare(&mut conn, reader.as_deref(), filter, "at the end").await;
        }
    }
    // How many rounds there are is up to chance.
    assert!(
        compared > 25 * round && kept > 10 && days > 0,
        "{round} {compared} {kept} {days}"
    );
    for daemon in daemons {
        // Somebody deleted rows, so counts of rows do not add up; counts of events do.
        daemon.check_counts().await;
        drop(daemon);
    }
}

/// Scenario: runs of a customer and of nobody are summed up; then one of them is gone without a note.
/// Guarantees: sums are kept and not made anew, readers of a customer see its sums and no other, and what
/// has not changed is no work for the daemon.
#[tokio::test]
async fn sums_are_kept_and_each_reader_sees_its_own() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let customer = new_id();
    let insert = format!("INSERT INTO customers (id, name, arr) VALUES ('{customer}', 'a', 1)");
    raw_sql(AssertSqlSafe(insert))
        .execute(&mut conn)
        .await
        .unwrap();
    make_readers(&database, customer);
    for of in [Some(customer), Some(customer), None] {
        let run = new_id();
        let started = started_with(run_started(0, run), |start| {
            start.customer_id = of.map(crate::support::events::id).unwrap_or_default();
        });
        let end = run_ended(1_000, run, EndStatus::Completed);
        let events = vec![
            started,
            step(1, 5, run, new_id()),
            tokens(3, run, new_id(), 5, 7),
            end,
        ];
        daemon.submit(events).await;
    }
    let waiting = new_id();
    daemon
        .submit(vec![
            run_started(0, waiting),
            approval_requested(1, waiting, new_id()),
            run_ended(9, waiting, EndStatus::Completed),
        ])
        .await;
    fill_all(&mut conn).await;
    let open: Vec<Uuid> = sqlx::query_scalar("SELECT run_id FROM run_sums_open")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(open, [waiting]);
    // A session gives its customer to its runs, and takes it away.
    let session = format!(
        "INSERT INTO agent_sessions (id, customer_id) VALUES ('{customer}', '{customer}');
         INSERT INTO agent_runs (id, session_id, agent_id, agent_type, status, started_at)
         VALUES ('{customer}', '{customer}', 'a', 'x', 'completed', '2026-01-03')"
    );
    raw_sql(AssertSqlSafe(session))
        .execute(&mut conn)
        .await
        .unwrap();
    let claim = |customer: Uuid| format!("{{\"runtraced_customer\":\"{customer}\"}}");
    let theirs = claim(customer);
    fill_all(&mut conn).await;
    assert_eq!(runs_seen(&mut conn, Some(&theirs)).await, 3);
    let leaves = "UPDATE agent_sessions SET customer_id = NULL";
    raw_sql(leaves).execute(&mut conn).await.unwrap();
    assert_eq!(runs_seen(&mut conn, Some(&theirs)).await, 2);
    let gone = "DELETE FROM agent_runs WHERE session_id IS NOT NULL";
    raw_sql(gone).execute(&mut conn).await.unwrap();
    fill_all(&mut conn).await;
    // What triggers do not see, nobody makes anew.
    let unseen = "SET session_replication_role = replica; DELETE FROM agent_token_counts; DELETE FROM agent_steps;
        DELETE FROM agent_runs WHERE customer_id IS NULL AND id NOT IN (SELECT run_id FROM run_sums_open);
        RESET session_replication_role";
    raw_sql(unseen).execute(&mut conn).await.unwrap();
    let nobody = claim(new_id());
    for (claims, runs) in [(None, 4), (Some(&theirs), 2), (Some(&nobody), 0)] {
        assert_eq!(runs_seen(&mut conn, claims).await, runs, "{claims:?}");
    }
    let stats = get(
        &daemon,
        "/api/stats?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z",
    )
    .await;
    assert_eq!(stats.json()["totals"]["runs"], 4);
    // Prices that stay as they are change no sum.
    runtraced(
        database.url(),
        &[
            "prices",
            "set",
            "nobody-uses-it",
            "--input",
            "1",
            "--output",
            "2",
        ],
    );
    assert_eq!(count(&mut conn, "run_sums_changes").await, 0);
    daemon.finish().await;
}

/// Scenario: 403 agents, and 52 models without a price.
/// Guarantees: lists are cut and say so, on the page's API and the command line; totals have all, with
/// sums that are kept and without them.
#[tokio::test]
async fn totals_have_all_and_lists_say_that_there_is_more() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let told = "INSERT INTO model_prices (model, input) VALUES ('m', 1);
        INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, error)
          SELECT md5(n::text)::uuid, 'agent ' || n, 'x', 'failed', '2026-01-01', 'error ' || n FROM generate_series(1, 403) AS n;
        INSERT INTO agent_steps (id, run_id, step_type, name, status, created_at)
          SELECT gen_random_uuid(), md5(n::text)::uuid, 'tool_call', 'tool ' || n, 'completed', '2026-01-01'
          FROM generate_series(1, 403) AS n;
        INSERT INTO agent_token_counts (id, run_id, model, created_at, input)
          SELECT gen_random_uuid(), md5(n::text)::uuid, m, '2026-01-01', 1000000
          FROM generate_series(1, 403) AS n, unnest(ARRAY['m', 'unknown ' || least(n, 52)]) AS m";
    raw_sql(told).execute(&mut conn).await.unwrap();
    for kept in [false, true] {
        let cost = get(&daemon, "/api/cost?by=agent&since=2025-12-31T00:00:00Z")
            .await
            .json();
        assert_eq!(cost["rows"].as_array().unwrap().len(), 400);
        assert_eq!(cost["unpriced"].as_array().unwrap().len(), 50);
        assert_eq!(
            cost["more"],
            serde_json::json!({"rows": true, "unpriced": true})
        );
        let totals = &cost["totals"];
        assert_eq!(
            (&totals["runs"], &totals["calls"]),
            (&403.into(), &806.into())
        );
        assert_eq!(totals["cost_usd"].as_f64(), Some(403.0));
        let by_model = get(&daemon, "/api/cost?by=model&since=2025-12-31T00:00:00Z")
            .await
            .json();
        // A run that calls two models is one run.
        assert_eq!(by_model["totals"], *totals);
        assert_eq!(by_model["rows"].as_array().unwrap().len(), 53);
        let stats = get(&daemon, "/api/stats?since=2025-12-31T00:00:00Z")
            .await
            .json();
        for list in ["agents", "models", "tools", "errors"] {
            assert_eq!(stats[list].as_array().unwrap().len(), 50, "{list}");
            assert_eq!(stats["more"][list], true, "{list}");
        }
        assert_eq!(stats["more"]["series"], false);
        assert_eq!(stats["totals"]["failed"], 403);
        // Narrow points come from the runs, and so does everything behind a filter.
        let hour = "/api/stats?since=2025-12-31T23:30:00Z&until=2026-01-01T00:30:00Z";
        for path in [hour.to_owned(), format!("{hour}&status=failed")] {
            let other = get(&daemon, &path).await.json();
            assert_eq!(other["bucket_s"], 60);
            for member in ["totals", "agents", "models", "tools", "errors", "more"] {
                assert_eq!(other[member], stats[member], "{path}: {member}");
            }
        }
        let listed = runtraced(database.url(), &["cost", "--since", "8784h"]);
        let total = listed.lines().last().unwrap();
        assert!(
            total.contains("total") && total.contains("806") && total.contains("403.0000"),
            "{total}"
        );
        if !kept {
            fill_all(&mut conn).await;
        }
    }
    daemon.finish().await;
}

/// Guarantees: a percentile from a histogram is within 2 percent, and exact below 100 ms.
#[tokio::test]
async fn bins_are_narrow() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let wrong: Vec<i64> = sqlx::query_scalar(
        "SELECT ms FROM (
           SELECT generate_series(0, 20000)::bigint UNION ALL SELECT (1.37 ^ n)::bigint FROM generate_series(30, 135) AS n
         ) AS t (ms)
         WHERE abs(bin_duration(duration_bin(ms)) - ms) > CASE WHEN ms < 100 THEN 0 ELSE 0.02 * ms END",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(wrong, Vec::<i64>::new());
}

/// Scenario: a daemon writes the catalog's prices anew, and none has changed; meanwhile sums are made,
/// which a change of prices waits for.
/// Guarantees: nothing waits, and no quarter is summed up again.
#[tokio::test]
async fn prices_that_stay_cost_nothing() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    raw_sql(
        "INSERT INTO model_prices (model, source, input) VALUES ('m', 'catalog', 1);
         INSERT INTO run_sums (at, owner, part, agent_id, name, runs, running, failed, calls, unpriced_calls, tokens_input, tokens_output,
           tokens_cache_read, ms)
         VALUES (now(), '00000000-0000-0000-0000-000000000000', 'calls', 'a', 'm', 1, 0, 0, 1, 0, 1, 1, 0, 1);
         DELETE FROM run_sums_changes",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let mut summing = database.connect().await;
    let mut summing = summing.begin().await.unwrap();
    raw_sql("SELECT pg_advisory_xact_lock(1920204803, 0)")
        .execute(&mut *summing)
        .await
        .unwrap();
    let unchanged = [
        "INSERT INTO model_prices (model, source, input) VALUES ('m', 'catalog', 1)
         ON CONFLICT (model, source, valid_from, above_input_tokens) DO UPDATE SET input = excluded.input
         WHERE model_prices.input IS DISTINCT FROM excluded.input",
        "UPDATE model_prices SET input = 2 WHERE model = 'another'",
        "DELETE FROM model_prices WHERE model = 'another'",
    ];
    for statement in unchanged {
        let limited = format!("SET LOCAL lock_timeout = '1s'; {statement}");
        raw_sql(AssertSqlSafe(limited))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    assert_eq!(count(&mut conn, "run_sums_changes").await, 0);
    summing.rollback().await.unwrap();
    raw_sql("UPDATE model_prices SET input = 2 WHERE model = 'm'")
        .execute(&mut conn)
        .await
        .unwrap();
    assert_eq!(count(&mut conn, "run_sums_changes").await, 1);
}
