//! What `--retain` and rules delete, and what they keep.

use uuid::Uuid;

use super::rows::{
    age, age_sessions, asked, counts, ended_run, orphans, run_sql, send_run, there,
    wait_for_reaped, wait_for_runs,
};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::tables::count;

/// Deletes at once what is 90 days old.
pub const FLAGS: [&str; 6] = [
    "--retain",
    "90d",
    "--sweep-interval",
    "0.1",
    "--retain-share",
    "100",
];

/// Scenario: runs that have not changed for 100 and for 10 days, one that goes on, one that waits for an approval, one that is
/// being settled; all say that they are from 1970, or from 2100.
/// Guarantees: the first goes with everything below it and its session. All others stay whole: their own clocks do not count.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_what_lives_stays() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (old_session, young_session) = (new_id(), new_id());
    let young = send_run(&daemon, Some(young_session), "a").await;
    let (goes_on, waits, unsettled) = (new_id(), new_id(), new_id());
    daemon.submit(vec![run_started(0, goes_on)]).await;
    let mut events = ended_run(waits, None, "a");
    events.push(asked(waits));
    daemon.submit(events).await;
    daemon.submit(ended_run(unsettled, None, "a")).await;
    let live = [young, goes_on, waits, unsettled];
    age(&mut conn, &live, 100).await;
    age(&mut conn, &[young], 10).await;
    run_sql(
        &mut conn,
        &format!(
            "UPDATE agent_runs SET started_at = '1970-01-01', last_event_at = '1970-01-01' WHERE id <> '{goes_on}';
             UPDATE agent_runs SET settle_at = now() + interval '1 hour' WHERE id = '{unsettled}'"
        ),
    )
    .await;
    let want = counts(&mut conn).await;
    let old = send_run(&daemon, Some(old_session), "a").await;
    age(&mut conn, &[old], 100).await;
    age_sessions(&mut conn, &[old_session], 100).await;
    run_sql(
        &mut conn,
        &format!("UPDATE agent_runs SET started_at = '2100-01-01', ended_at = '2100-01-02' WHERE id = '{old}'"),
    )
    .await;
    daemon.finish().await;

    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    let all = [&live[..], &[old]].concat();
    wait_for_runs(&mut conn, &all, &live).await;
    let daemons = [daemon];
    for (table, rows) in [("agent_runs", 1), ("agent_steps", 2), ("agent_sessions", 1)] {
        wait_for_reaped(&daemons, table, rows).await;
    }
    let size = "runtraced_table_bytes{table=\"agent_runs\"}";
    while !daemons[0].metrics().await.contains_key(size) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let [daemon] = daemons;
    daemon.finish().await;
    assert_eq!(counts(&mut conn).await, want);
    assert_eq!(orphans(&mut conn, old).await, 0);
    assert_eq!(count(&mut conn, "ingest_tombstones").await, 1);
}

/// Scenario: rules by status, agent, customer and both; each of some runs meets several of them.
/// Guarantees: the rule with the most conditions holds; then customer before agent before status; then the longest. Without a
/// rule, --retain holds; with `forever`, only rules delete.
#[tokio::test(flavor = "multi_thread")]
async fn the_narrowest_rule_holds() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let customer = new_id();
    run_sql(
        &mut conn,
        &format!(
            "INSERT INTO customers (id, name, arr) VALUES ('{customer}', 'c', 1);
             INSERT INTO retention_rules (status, agent_id, customer_id, keep) VALUES
               (NULL, NULL, NULL, '200 days'),
               ('failed', NULL, NULL, '10 days'),
               (NULL, 'short', NULL, '20 days'),
               (NULL, NULL, '{customer}', NULL),
               ('completed', 'short', '{customer}', '30 days'),
               (NULL, 'twice', NULL, '40 days'),
               (NULL, 'twice', NULL, '50 days')"
        ),
    )
    .await;
    // Agent, status, customer, age in days; whether it stays.
    let cases = [
        ("other", "completed", false, 150, true),
        ("other", "completed", false, 250, false),
        ("other", "failed", false, 15, false),
        ("other", "failed", false, 5, true),
        // The agent before the status.
        ("short", "failed", false, 15, true),
        ("short", "failed", false, 25, false),
        // The customer before agent and status.
        ("short", "failed", true, 900, true),
        // All three.
        ("short", "completed", true, 25, true),
        ("short", "completed", true, 35, false),
        ("twice", "completed", false, 45, true),
        ("twice", "completed", false, 55, false),
    ];
    let (mut all, mut stay) = (Vec::new(), Vec::new());
    for (agent, status, of_customer, days, stays) in cases {
        let run = send_run(&daemon, None, agent).await;
        age(&mut conn, &[run], days).await;
        let customer = of_customer.then(|| format!("'{customer}'"));
        let customer = customer.unwrap_or_else(|| "NULL".into());
        run_sql(
            &mut conn,
            &format!("UPDATE agent_runs SET status = '{status}', customer_id = {customer} WHERE id = '{run}'"),
        )
        .await;
        all.push(run);
        stay.extend(stays.then_some(run));
    }
    daemon.finish().await;
    let flags = [&["--retain", "forever"], &FLAGS[2..]].concat();
    let daemon = Daemon::with_args(database.url(), &flags).await;
    wait_for_runs(&mut conn, &all, &stay).await;
    // More rounds find nothing more.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(there(&mut conn, &all).await, stay);
    daemon.finish().await;
}

/// Scenario: without --retain, with a rule, and runs that are old by it.
/// Guarantees: nothing is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_nothing_goes() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &FLAGS[2..]).await;
    let mut conn = database.connect().await;
    run_sql(
        &mut conn,
        "INSERT INTO retention_rules (keep) VALUES ('1 day')",
    )
    .await;
    let run = send_run(&daemon, None, "a").await;
    age(&mut conn, &[run], 9_000).await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(there(&mut conn, &[run]).await, [run]);
    daemon.finish().await;
}

/// Scenario: a run with 7,000 steps and as many token counts is due; the daemon is killed while it deletes the run; another one
/// goes on.
/// Guarantees: the run goes, slice by slice: what is left of it in between is marked as gone, and its late events are ignored.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_run_goes_in_slices() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let run = send_run(&daemon, None, "a").await;
    run_sql(
        &mut conn,
        &format!(
            "INSERT INTO agent_steps (id, run_id, step_type, name) SELECT gen_random_uuid(), '{run}', 'tool_call', 'x' FROM generate_series(1, 7000);
             INSERT INTO agent_token_counts (id, run_id, input) SELECT gen_random_uuid(), '{run}', 1 FROM generate_series(1, 7000);"
        ),
    )
    .await;
    age(&mut conn, &[run], 100).await;
    daemon.finish().await;
    // At one percent, it rests for long after the first slice.
    let slow = [&FLAGS[..4], &["--retain-share", "1"]].concat();
    let daemon = Daemon::with_args(database.url(), &slow).await;
    let gone = format!("agent_runs WHERE id = '{run}' AND gone_at IS NOT NULL");
    while count(&mut conn, &gone).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let left = count(&mut conn, "agent_steps").await;
    assert!((1..=5_002).contains(&left), "{left}");
    let late = daemon.submit(super::rows::below(run, None)).await;
    assert_eq!((late.committed, late.refused.len()), (0, 6), "{late:?}");
    daemon.kill();
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    wait_for_runs(&mut conn, &[run], &[]).await;
    assert_eq!(orphans(&mut conn, run).await, 0);
    daemon.finish().await;
}

/// Scenario: two daemons delete 1,000 old runs, while clients send to both.
/// Guarantees: all old runs go, each once, and no new one.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_share_the_work() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let old: Vec<Uuid> = (0..1_000).map(|_| new_id()).collect();
    for runs in old.chunks(100) {
        let events = runs.iter().flat_map(|run| ended_run(*run, None, "a"));
        daemon.submit(events.collect()).await;
    }
    age(&mut conn, &old, 100).await;
    daemon.finish().await;
    let daemons = [
        Daemon::with_args(database.url(), &FLAGS).await,
        Daemon::with_args(database.url(), &FLAGS).await,
    ];
    let mut young = Vec::new();
    while !there(&mut conn, &old).await.is_empty() {
        for daemon in &daemons {
            young.push(send_run(daemon, None, "b").await);
        }
    }
    wait_for_reaped(&daemons, "agent_runs", 1_000).await;
    for daemon in daemons {
        daemon.finish().await;
    }
    assert_eq!(there(&mut conn, &young).await, young);
    let steps = count(&mut conn, "agent_steps").await;
    assert_eq!(steps, 2 * i64::try_from(young.len()).unwrap());
}
