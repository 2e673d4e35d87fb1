//! run_summary: exact at any time.

use super::runs::{self, lines, run};

#[tokio::test]
async fn counts_tokens_and_times_are_of_the_rows_themselves() {
    let (_database, mut connection) = runs::database().await;
    // What the run's own row says of tokens lags on purpose.
    run(
        &mut connection,
        format!(
            "{} UPDATE agent_runs SET total_tokens_input = 1",
            runs::TOOLS
        ),
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', duration_ms, running_ms, tokens_input, tokens_output, tokens_cache_read,
           'steps', steps, open_steps, failed_steps, llm_calls, tool_calls, messages, waiting_ms,
           last_event_at = at(12.4), first_event_at = at(0), flags)
         FROM run_summary WHERE run_id = id(1)",
    )
    .await;
    assert_eq!(found, ["12400 6323 892 2000 steps 6 0 0 2 2 2 0 t t {}"]);
}

#[tokio::test]
async fn reported_totals_count_only_where_the_ledger_has_no_row() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type, reported_tokens_input, reported_tokens_output)
           SELECT id(n), 'a', 'b', 100, 10 FROM generate_series(1, 4) AS n;
         INSERT INTO agent_token_counts (run_id, input, output, rollup)
           VALUES (id(2), 7, 70, true), (id(3), 7, NULL, false), (id(4), 100, 10, false), (id(4), 50, 5, true);
         INSERT INTO agent_runs (id, agent_id, agent_type) VALUES (id(5), 'a', 'b'), (id(6), 'a', 'b');
         INSERT INTO agent_token_counts (run_id, input, output) SELECT id(6), 2147483647, 1 FROM generate_series(1, 3)",
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', right(run_id::text, 1), coalesce(tokens_input::text, '-'), coalesce(tokens_output::text, '-'), flags)
         FROM run_summary ORDER BY run_id",
    )
    .await;
    let expected = [
        "1 100 10 {tokens_reported}",
        "2 100 10 {tokens_reported}",
        "3 7 0 {reported_tokens_differ}",
        "4 100 10 {}",
        "5 - - {}",
        "6 6442450941 3 {}",
    ];
    let without_start: Vec<_> = found
        .iter()
        .map(|line| line.replace("no_start,", ""))
        .collect();
    assert_eq!(without_start, expected);
}

#[tokio::test]
async fn overlapping_waits_are_waited_once_and_within_the_run() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, ended_at)
           VALUES (id(1), 'a', 'b', 'completed', at(10), at(100)), (id(2), 'a', 'b', 'running', now() - INTERVAL '1 minute', NULL);
         INSERT INTO approvals (run_id, action_type, status, created_at, decided_at, expires_at) VALUES
           (id(1), 'x', 'approved', at(0), at(20), NULL),   -- asked before the run: 10 s
           (id(1), 'x', 'approved', at(30), at(40), NULL),  -- 10 s
           (id(1), 'x', 'rejected', at(35), at(45), NULL),  -- 5 s more
           (id(1), 'x', 'approved', at(36), at(37), NULL),  -- within
           (id(1), 'x', 'expired', at(50), NULL, at(53)),   -- 3 s
           (id(1), 'x', 'approved', at(70), at(60), NULL),  -- decided before it was asked
           (id(1), 'x', 'pending', at(98), NULL, NULL),     -- until the end: 2 s
           (id(2), 'x', 'pending', now() - INTERVAL '30 seconds', NULL, NULL),
           (id(2), 'x', 'pending', now() - INTERVAL '40 seconds', NULL, now() - INTERVAL '20 seconds')",
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', waiting_ms / 1000, approvals, pending_approvals) FROM run_summary ORDER BY run_id",
    )
    .await;
    assert_eq!(found[0], "30 7 1");
    let live: Vec<_> = found[1].split(' ').collect();
    let waited: i64 = live[0].parse().unwrap();
    assert!((40..60).contains(&waited), "{waited}");
}

#[tokio::test]
async fn flags_tell_of_odd_runs_and_a_live_run_is_measured_to_now() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, ended_at, start_event_at, finalized_by, abandon_at) VALUES
           (id(1), 'a', 'b', 'completed', at(5), at(3), at(5), 'client', NULL),
           (id(2), 'a', 'b', 'failed', at(0), at(1), at(0), 'abandoned', NULL),
           (id(3), 'unknown', 'unknown', 'running', NULL, NULL, NULL, NULL, now() + INTERVAL '1 hour'),
           (id(4), 'a', 'b', 'running', now() - INTERVAL '1 minute', NULL, at(0), NULL, now() - INTERVAL '1 second'),
           (id(5), 'unknown', 'unknown', 'completed', NULL, at(9), NULL, 'client', NULL);
         INSERT INTO agent_steps (run_id, status, started_at, ended_at, created_at, closed_with_run) VALUES
           (id(2), 'failed', at(0), at(1), at(0), true), (id(3), 'running', at(7), NULL, at(7), NULL),
           (id(5), 'completed', at(4), at(6), at(4), NULL)",
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', right(run_id::text, 1), coalesce(duration_ms::text, '-'), open_steps,
           extract(epoch FROM first_event_at - at(0))::integer < 100, started_at IS NULL, flags)
         FROM run_summary ORDER BY run_id",
    )
    .await;
    let expected = [
        "1 0 0 t f {ended_before_started}",
        "2 1000 0 t f {abandoned,steps_closed_with_run}",
        "3 - 1 t t {no_start}",
        "4 - 0 f f {overdue}",
        "5 5000 0 t t {no_start}",
    ];
    assert_eq!(found, expected);
    let live = lines(
        &mut connection,
        "SELECT (running_ms BETWEEN 60000 AND 120000)::text FROM run_summary WHERE run_id = id(4)",
    )
    .await;
    assert_eq!(live, ["true"]);
}

#[tokio::test]
async fn the_ledger_reconciles_per_process() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        "INSERT INTO ingest_ledger (instance, shard, received, committed, duplicate, refused, spooled, dead_lettered, ignored) VALUES
           (id(1), 0, 21, 1, 2, 3, 4, 5, 6), (id(1), 1, 10, 7, 0, 0, 0, 0, 0), (id(2), 0, 5, 5, 0, 0, 0, 0, 0)",
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', received, committed, duplicate, refused, spooled, dead_lettered, ignored, in_flight)
         FROM ingest_reconciliation ORDER BY instance",
    )
    .await;
    assert_eq!(found, ["31 8 2 3 4 5 6 3", "5 5 0 0 0 0 0 0"]);
}
