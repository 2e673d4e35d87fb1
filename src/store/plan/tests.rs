//! Which rows are appended, which are merged, and in which pass.

use uuid::Uuid;

use super::{Plan, PlannedRows, Rung};
use crate::event::*;

const RUN: Uuid = Uuid::from_u128(1);

fn event(micros: i64, body: EventBody) -> Event {
    let time = Timestamp::from_postgres_micros(micros).expect("in range");
    Event::new(time, body)
}

fn heartbeat(micros: i64, run_id: Uuid) -> Event {
    event(micros, EventBody::Heartbeat(Heartbeat { run_id }))
}

fn run_started(micros: i64, run_id: Uuid) -> Event {
    event(
        micros,
        EventBody::RunStarted(RunStarted {
            run_id,
            session_id: Some(Uuid::from_u128(9)),
            parent_run_id: None,
            customer_id: None,
            agent_id: "a".into(),
            agent_type: "t".into(),
            name: None,
            input: None,
            metadata: None,
            timeout_ms: None,
        }),
    )
}

fn run_ended(micros: i64, run_id: Uuid) -> Event {
    event(
        micros,
        EventBody::RunEnded(RunEnded {
            run_id,
            by: RunEndedBy::Client,
            status: EndStatus::Completed,
            output: None,
            error: None,
            reported_tokens_input: None,
            reported_tokens_output: None,
            metadata: None,
            started_at: None,
        }),
    )
}

fn step_started(micros: i64, run_id: Uuid, step: u128) -> Event {
    let details = StepDetails {
        step_type: StepType::Other,
        kind: None,
        name: None,
        parent_step_id: None,
        model: None,
        input: None,
        metadata: None,
        parent_may_be_alias: false,
    };
    let step_id = Uuid::from_u128(step);
    event(
        micros,
        EventBody::StepStarted(StepStarted {
            step_id,
            run_id,
            details,
        }),
    )
}

fn step_ended(micros: i64, run_id: Uuid, step: u128, announced: bool) -> Event {
    event(
        micros,
        EventBody::StepEnded(StepEnded {
            step_id: Uuid::from_u128(step),
            run_id,
            details: None,
            status: EndStatus::Completed,
            output: None,
            error: None,
            started_at: None,
            duration_ms: None,
            announced,
            view: 0,
        }),
    )
}

fn message(micros: i64, run_id: Option<Uuid>, session_id: Option<Uuid>, id: u128) -> Event {
    event(
        micros,
        EventBody::Message(Message {
            message_id: Uuid::from_u128(id),
            run_id,
            session_id,
            step_id: None,
            role: MessageRole::User,
            content: None,
            thinking: None,
            tool_calls: None,
            metadata: None,
            seq: None,
            sighting: false,
            believed_new: false,
        }),
    )
}

fn token_count(micros: i64, run_id: Uuid, id: u128) -> Event {
    let count = TokenCount {
        token_count_id: Uuid::from_u128(id),
        run_id,
        step_id: None,
        model: None,
        input: None,
        output: None,
        cache_read: None,
        cache_write: None,
        reasoning: None,
        rollup: false,
    };
    event(micros, EventBody::TokenCount(count))
}

fn plan(events: &[Event], rung: Rung) -> Plan<'_> {
    Plan::new(&events.iter().collect::<Vec<_>>(), rung)
}

/// Positions of a step's start and end.
type Positions = [Option<usize>; 2];

/// The step rows to append, and the step rows of each merging pass.
fn steps(plan: &Plan<'_>) -> (Vec<Positions>, Vec<Vec<Positions>>) {
    let rows = |rows: &PlannedRows<'_>| rows.steps.iter().map(|row| row.events).collect();
    (rows(&plan.appends), plan.merges.iter().map(rows).collect())
}

#[test]
fn start_and_end_of_a_step_are_appended_as_one_row() {
    let events = [step_ended(5, RUN, 2, true), step_started(3, RUN, 2)];
    let both = [Some(1), Some(0)];
    assert_eq!(steps(&plan(&events, Rung::Append)), (vec![both], vec![]));
    assert_eq!(
        steps(&plan(&events, Rung::Merge)),
        (vec![], vec![vec![both]])
    );
}

#[test]
fn an_announced_end_is_merged_and_any_other_end_is_appended() {
    let events = [step_ended(5, RUN, 2, true), step_ended(5, RUN, 3, false)];
    let (appends, merges) = steps(&plan(&events, Rung::Append));
    assert_eq!(appends, [[None, Some(1)]]);
    assert_eq!(merges, [[[None, Some(0)]]]);
}

#[test]
fn repeated_ids_go_into_later_passes() {
    let events = [
        step_started(1, RUN, 2),
        step_started(2, RUN, 2),
        step_ended(3, RUN, 2, true),
        step_started(4, RUN, 2),
        // The same id in another run is a separate row.
        step_ended(5, Uuid::from_u128(7), 2, false),
    ];
    let (appends, merges) = steps(&plan(&events, Rung::Append));
    assert_eq!(appends, [[Some(0), None]]);
    let want = [
        vec![],
        vec![[Some(1), Some(2)]],
        vec![[Some(3), None]],
        vec![[None, Some(4)]],
    ];
    assert_eq!(merges, want);
    assert_eq!(plan(&events, Rung::Append).passes(), 4);
}

#[test]
fn messages_with_one_id_get_a_pass_each() {
    let events: Vec<Event> = (0..3).map(|n| message(n, Some(RUN), None, 5)).collect();
    let plan = plan(&events, Rung::Append);
    let indexes = |rows: &PlannedRows<'_>| rows.messages.iter().map(|row| row.index).collect();
    let merges: Vec<Vec<usize>> = plan.merges.iter().map(indexes).collect();
    assert_eq!(indexes(&plan.appends), [0]);
    assert_eq!(merges, [vec![], vec![1], vec![2]]);
}

#[test]
fn a_pass_has_one_start_and_one_end_per_run_and_any_number_of_heartbeats() {
    let events = [
        heartbeat(9, RUN),
        run_ended(5, RUN),
        run_started(1, RUN),
        heartbeat(2, RUN),
        run_started(3, RUN),
        run_ended(4, RUN),
        heartbeat(7, RUN),
    ];
    let plan = plan(&events, Rung::Append);
    let passes: Vec<_> = plan
        .run_passes
        .iter()
        .map(|pass| {
            assert_eq!(pass.len(), 1);
            let patch = &pass[0];
            let [start, end] = [patch.start.map(|s| s.index), patch.end.map(|e| e.index)];
            let alive_at = patch.alive_at.map(Timestamp::postgres_micros);
            (start, end, patch.heartbeats.clone(), alive_at)
        })
        .collect();
    let want = [
        (Some(2), Some(1), vec![0, 3], Some(9)),
        (Some(4), Some(5), vec![6], Some(7)),
    ];
    assert_eq!(passes, want);
    assert_eq!(plan.runs, [RUN]);
}

#[test]
fn runs_are_sorted_and_sessions_have_their_least_time() {
    let session = Uuid::from_u128(9);
    let other = Uuid::from_u128(0);
    let events = [
        heartbeat(1, RUN),
        message(8, Some(other), Some(session), 1),
        message(4, None, Some(session), 2),
        run_started(6, RUN),
    ];
    let plan = plan(&events, Rung::Append);
    assert_eq!(plan.runs, [other, RUN]);
    assert_eq!(plan.sessions.len(), 1);
    let named = plan.sessions[&session];
    assert_eq!((named.at.postgres_micros(), named.upsert), (4, false));
}

#[test]
fn merged_rows_are_in_id_order() {
    let mut events: Vec<Event> = [7, 3, 9, 1]
        .map(|step| step_ended(0, RUN, step, false))
        .into();
    events.extend([8, 2, 6].map(|count| token_count(0, RUN, count)));
    let plan = plan(&events, Rung::Merge);
    let steps = plan.merges[0].steps.iter().map(|row| row.id);
    assert!(steps.eq([1, 3, 7, 9].map(Uuid::from_u128)));
    let counts = plan.merges[0].token_counts.iter();
    let counts = counts.map(|row| row.event.token_count_id);
    assert!(counts.eq([2, 6, 8].map(Uuid::from_u128)));
}
