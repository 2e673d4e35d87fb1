//! run_timeline: order, depth, offsets, flags.

use super::runs::{self, lines, run};

#[tokio::test]
async fn items_come_in_time_order_with_depth_and_offset() {
    let (_database, mut connection) = runs::database().await;
    run(&mut connection, runs::TOOLS).await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', position, item, right(id::text, 2), depth, offset_ms, coalesce(duration_ms::text, '-'), kind, flags)
         FROM run_timeline WHERE run_id = id(1) ORDER BY position",
    )
    .await;
    let expected = [
        "1 message 21 0 0 - user {}",
        "2 step 11 0 100 2000 llm_call {}",
        "3 step 12 0 2100 6000 chain {}",
        "4 step 13 1 2100 2000 tool_call {}",
        "5 tokens 31 1 2100 - usage {}",
        "6 step 14 1 2200 5700 tool_call {}",
        "7 step 15 2 2300 50 embedding {}",
        "8 step 16 0 8200 4100 llm_call {}",
        "9 message 22 1 12300 - assistant {}",
        "10 tokens 32 1 12300 - usage {}",
        "11 tokens 33 0 12400 - rollup {rollup}",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn missing_parents_and_cycles_lose_no_row() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type) VALUES (id(1), 'a', 'b'), (id(2), 'a', 'b');
         INSERT INTO agent_steps (id, run_id, parent_step_id, created_at, status) VALUES
           (id(10), id(1), id(99), at(0), 'completed'), -- parent never came
           (id(11), id(1), id(10), at(1), 'completed'),
           (id(12), id(1), id(12), at(2), 'completed'), -- itself
           (id(13), id(1), id(14), at(3), 'completed'), -- each other
           (id(14), id(1), id(13), at(4), 'completed'),
           (id(15), id(1), id(14), at(5), 'completed'), -- hangs off the cycle
           (id(16), id(1), id(20), at(6), 'completed'), -- a step of another run
           (id(20), id(2), NULL, at(0), 'completed');
         INSERT INTO agent_messages (id, run_id, step_id, role, created_at) VALUES
           (id(17), id(1), id(98), 'user', at(7)), (id(10), id(1), id(11), 'user', at(8)),
           (id(18), id(1), id(13), 'user', at(9))",
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', item, right(id::text, 2), depth, flags) FROM run_timeline WHERE run_id = id(1) ORDER BY position",
    )
    .await;
    let expected = [
        "step 10 0 {parent_missing,before_run}",
        "step 11 1 {before_run}",
        "step 12 0 {parent_cycle,before_run}",
        "step 13 0 {parent_cycle,before_run}",
        "step 14 0 {parent_cycle,before_run}",
        "step 15 0 {parent_cycle,before_run}",
        "step 16 0 {parent_missing,before_run}",
        "message 17 0 {step_missing,before_run}",
        "message 10 2 {before_run}",
        "message 18 1 {before_run}",
    ];
    assert_eq!(found, expected);
    let drawn = lines(&mut connection, "SELECT run_waterfall(id(1))").await;
    assert_eq!(drawn.len(), 3 + expected.len());
}

#[tokio::test]
async fn equal_times_put_parents_before_what_they_hold() {
    let (_database, mut connection) = runs::database().await;
    // Ids against the order, so that they cannot be what sorts.
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type, started_at) VALUES (id(1), 'a', 'b', at(0));
         INSERT INTO agent_steps (id, run_id, parent_step_id, created_at) VALUES
           (id(11), id(1), id(12), at(0)), (id(12), id(1), id(13), at(0)), (id(13), id(1), NULL, at(0));
         INSERT INTO agent_messages (id, run_id, step_id, created_at, seq) VALUES
           (id(3), id(1), NULL, at(0), 1), (id(2), id(1), NULL, at(0), 2), (id(1), id(1), id(13), at(0), 0)",
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT item || right(id::text, 2) FROM run_timeline WHERE run_id = id(1) ORDER BY position",
    )
    .await;
    let expected = [
        "message03",
        "message02",
        "step13",
        "message01",
        "step12",
        "step11",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn open_steps_and_approvals_are_open_and_a_start_unknown_is_the_first_item() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at) VALUES (id(1), 'unknown', 'unknown', 'running', NULL);
         INSERT INTO agent_steps (id, run_id, status, started_at, ended_at, duration_ms, created_at) VALUES
           (id(11), id(1), 'running', at(5), NULL, NULL, at(5)),
           (id(12), id(1), 'failed', at(8), at(7), NULL, at(8)),     -- ended before it started
           (id(13), id(1), 'completed', NULL, at(9), 500, at(9)),    -- only its end is known
           (id(14), id(1), 'completed', at(9), at(9.25), NULL, at(9));
         INSERT INTO approvals (id, run_id, action_type, status, created_at, decided_at, expires_at) VALUES
           (id(21), id(1), 'x', 'pending', at(10), NULL, NULL), (id(22), id(1), 'x', 'expired', at(11), NULL, at(13)),
           (id(23), id(1), 'x', 'rejected', at(12), at(11), NULL)",
    )
    .await;
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', right(id::text, 2), offset_ms, coalesce(duration_ms::text, '-'), ended_at IS NULL, flags)
         FROM run_timeline WHERE run_id = id(1) ORDER BY position",
    )
    .await;
    let expected = [
        "11 0 - t {open}",
        "12 3000 0 f {ended_before_started}",
        "13 3500 500 f {}",
        "14 4000 250 f {}",
        "21 5000 - t {open}",
        "22 6000 2000 f {}",
        "23 7000 0 f {}",
    ];
    assert_eq!(found, expected);
}
