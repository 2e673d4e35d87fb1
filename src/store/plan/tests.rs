//! Which rows are appended and which are merged, and how repeated ids are reduced.

use uuid::Uuid;

use super::{Plan, Rung, SessionField, StepRow};
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

fn positions(rows: &[StepRow<'_>]) -> Vec<Positions> {
    let row = |row: &StepRow<'_>| [row.events[0], row.events[1]];
    rows.iter().map(row).collect()
}

/// The step rows to append, and those to merge.
fn steps(plan: &Plan<'_>) -> (Vec<Positions>, Vec<Positions>) {
    (
        positions(&plan.appends.steps),
        positions(&plan.merges.steps),
    )
}

/// The superseded events, sorted.
fn superseded(plan: &Plan<'_>) -> Vec<(usize, usize)> {
    let mut superseded = plan.superseded.clone();
    superseded.sort_unstable();
    superseded
}

#[test]
fn start_and_end_of_a_step_are_appended_as_one_row() {
    let events = [step_ended(5, RUN, 2, true), step_started(3, RUN, 2)];
    let both = [Some(1), Some(0)];
    assert_eq!(steps(&plan(&events, Rung::Append)), (vec![both], vec![]));
    assert_eq!(steps(&plan(&events, Rung::Merge)), (vec![], vec![both]));
}

#[test]
fn an_announced_end_is_merged_and_any_other_end_is_appended() {
    let events = [step_ended(5, RUN, 2, true), step_ended(5, RUN, 3, false)];
    let (appends, merges) = steps(&plan(&events, Rung::Append));
    assert_eq!(appends, [[None, Some(1)]]);
    assert_eq!(merges, [[None, Some(0)]]);
}

#[test]
fn several_starts_of_a_step_are_one_row_with_the_least_start() {
    let events = [
        step_started(4, RUN, 2),
        step_started(1, RUN, 2),
        step_started(2, RUN, 2),
        step_ended(7, RUN, 2, true),
        // A row of another run: only the database knows whose it is.
        step_ended(5, Uuid::from_u128(7), 2, false),
    ];
    let plan = plan(&events, Rung::Append);
    assert_eq!(steps(&plan), (vec![[Some(0), Some(3)]], vec![]));
    let row = &plan.appends.steps[0];
    assert_eq!(row.events[2], Some(1));
    let (started_at, ended_at) = row.part.times();
    let micros = |time: Option<Timestamp>| time.map(Timestamp::postgres_micros);
    assert_eq!((micros(started_at), micros(ended_at)), (Some(1), Some(7)));
    assert_eq!(superseded(&plan), [(2, 0)]);
    let contested: Vec<usize> = plan.contested.iter().map(|(index, _)| *index).collect();
    assert_eq!(contested, [4]);
}

#[test]
fn a_step_keeps_at_most_four_ends() {
    let end = |micros: i64, view: i16, name: Option<&str>| {
        let mut event = step_ended(micros, RUN, 2, false);
        if let (
            EventBody::StepEnded(end),
            Event {
                body: EventBody::StepStarted(start),
                ..
            },
        ) = (&mut event.body, step_started(0, RUN, 2))
        {
            end.view = view;
            end.details = name.map(|name| StepDetails {
                name: Some(name.into()),
                ..start.details
            });
        }
        event
    };
    let events = [
        end(5, -2, Some("the lesser details")),
        end(3, -2, Some("older")),
        end(6, -1, None),
        end(4, -2, None),
        end(1, 0, Some("the details")),
        end(2, 0, None),
    ];
    let mut order: Vec<usize> = (0..events.len()).collect();
    for _ in 0..order.len() {
        order.rotate_left(1);
        for reversed in [false, true] {
            let mut shuffled: Vec<(usize, &Event)> = order
                .iter()
                .map(|index| (*index, &events[*index]))
                .collect();
            if reversed {
                shuffled.reverse();
            }
            let plan = Plan::of_some(shuffled, Rung::Append);
            let lists = [&plan.appends.steps].into_iter().chain(&plan.more_steps);
            let ends: Vec<Vec<Positions>> = lists.map(|rows| positions(rows)).collect();
            let want = [5, 2, 4, 0].map(|index| vec![[None, Some(index)]]);
            assert_eq!(ends, want, "{order:?}");
            assert_eq!(superseded(&plan), [(1, 5), (3, 5)]);
        }
    }
}

#[test]
fn messages_and_token_counts_with_one_id_are_one_row() {
    let mut events: Vec<Event> = [3, 5, 5, 4].map(|n| message(n, Some(RUN), None, 5)).into();
    events.extend([1, 0, 2].map(|n| token_count(n, RUN, 5)));
    events.push(token_count(9, Uuid::from_u128(7), 5));
    for rung in [Rung::Append, Rung::Merge] {
        let plan = plan(&events, rung);
        let rows = match rung {
            Rung::Append => &plan.appends,
            Rung::Merge => &plan.merges,
        };
        let messages: Vec<usize> = rows.messages.iter().map(|row| row.index).collect();
        let counts: Vec<usize> = rows.token_counts.iter().map(|row| row.index).collect();
        assert_eq!((messages, counts), (vec![1], vec![6]));
        assert_eq!(superseded(&plan), [(0, 1), (2, 1), (3, 1), (4, 6), (5, 6)]);
        assert_eq!(plan.contested.len(), 1);
    }
}

#[test]
fn a_run_has_one_patch_with_the_winners() {
    let events = [
        heartbeat(9, RUN),
        run_ended(5, RUN),
        run_started(1, RUN),
        heartbeat(2, RUN),
        run_started(3, RUN),
        run_ended(4, RUN),
        heartbeat(7, RUN),
        run_started(2, RUN),
    ];
    let plan = plan(&events, Rung::Append);
    let [patch] = &plan.run_patches[..] else {
        panic!("{:?}", plan.run_patches)
    };
    let [start, end] = [patch.start.map(|s| s.index), patch.end.map(|e| e.index)];
    assert_eq!((start, end), (Some(4), Some(1)));
    let micros = |time: Timestamp| time.postgres_micros();
    assert_eq!(
        patch.started.map(|(at, from)| (micros(at), from)),
        Some((1, 2))
    );
    assert_eq!(patch.heartbeats, [0, 3, 6]);
    assert_eq!(patch.alive_at.map(micros), Some(9));
    assert_eq!(superseded(&plan), [(5, 1), (7, 4)]);
    assert_eq!(plan.runs, [RUN]);
}

#[test]
fn fields_of_a_session_come_from_different_upserts() {
    let session_id = Uuid::from_u128(9);
    let upsert = |micros: i64, title: Option<&str>, metadata: Option<&str>| {
        let json = |text: &str| Json::new(text.into(), &mut Repairs::default()).expect("JSON");
        let upsert = SessionUpsert {
            session_id,
            customer_id: None,
            user_id: None,
            title: title.map(str::to_owned),
            external_id: None,
            metadata: metadata.map(json),
        };
        event(micros, EventBody::SessionUpsert(upsert))
    };
    let events = [
        upsert(1, Some("a"), Some("{\"a\":1}")),
        upsert(1, Some("b"), None),
        upsert(1, None, Some("{\"b\": 1}")),
        upsert(0, Some("c"), Some("{}")),
        upsert(2, None, None),
    ];
    let plan = plan(&events, Rung::Append);
    let [patch] = &plan.session_patches[..] else {
        panic!("{:?}", plan.session_patches)
    };
    let winner = |field| patch.winner(field).map(|upsert| upsert.index);
    assert_eq!(winner(SessionField::Title), Some(1));
    assert_eq!(winner(SessionField::Metadata), Some(2));
    assert_eq!(winner(SessionField::User), None);
    assert_eq!(patch.latest.index, 4);
    assert_eq!(superseded(&plan), [(0, 4), (3, 4)]);
}

#[test]
fn an_approval_has_one_patch() {
    let approval_id = Uuid::from_u128(3);
    let decided = |micros: i64, session: u128, status| {
        let decided = ApprovalDecided {
            approval_id,
            run_id: Some(RUN),
            session_id: (session != 0).then(|| Uuid::from_u128(session)),
            status,
            decided_by: None,
            notes: None,
        };
        event(micros, EventBody::ApprovalDecided(decided))
    };
    let mut events = vec![
        decided(1, 0, ApprovalStatus::Approved),
        decided(1, 4, ApprovalStatus::Expired),
        decided(0, 9, ApprovalStatus::Rejected),
        decided(1, 3, ApprovalStatus::Rejected),
    ];
    let check = |events: &[Event], session: u128, from: Option<usize>, lost: &[(usize, usize)]| {
        let plan = plan(events, Rung::Append);
        let [patch] = &plan.approvals[..] else {
            panic!("{:?}", plan.approvals)
        };
        assert_eq!(patch.decision.map(|d| d.index), Some(3));
        assert_eq!(patch.session_id, Some(Uuid::from_u128(session)));
        assert_eq!(patch.session_from, from);
        assert_eq!(superseded(&plan), lost);
    };
    check(&events, 9, Some(2), &[(0, 3), (1, 3)]);
    let requested = ApprovalRequested {
        approval_id,
        run_id: Some(RUN),
        session_id: Some(Uuid::from_u128(2)),
        step_id: None,
        action_type: "a".into(),
        action_description: None,
        action_data: None,
        expires_at: None,
    };
    events.push(event(0, EventBody::ApprovalRequested(requested)));
    check(&events, 2, None, &[(0, 3), (1, 3), (2, 3)]);
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
    let steps = plan.merges.steps.iter().map(|row| row.id);
    assert!(steps.eq([1, 3, 7, 9].map(Uuid::from_u128)));
    let counts = plan.merges.token_counts.iter();
    let counts = counts.map(|row| row.event.token_count_id);
    assert!(counts.eq([2, 6, 8].map(Uuid::from_u128)));
}
