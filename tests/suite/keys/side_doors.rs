//! Ways into another customer's rows that name neither its run nor its session.

use bytes::Bytes;
use prost::Message as _;
use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, Event, RefusalCode, SubmitRequest};
use tonic::Code;
use uuid::Uuid;

use super::world::world;
use super::{DENIED, refusals, submit};
use crate::support::events::{
    approval_requested, event, id, message, new_id, run_started, session_titled, started_with,
    step, step_ended, step_started, tokens,
};
use crate::support::tables::{content, row, value};
use crate::support::valid;
use crate::support::wire::{channel, submit_bytes};

/// Makes an event of a kind for a run, with an id.
type Make = fn(Uuid, Uuid) -> Event;

/// The kinds with an id of their own.
fn kinds() -> [Make; 8] {
    [
        |run, id| step(1, 2, run, id),
        |run, id| step_started(1, run, id),
        |run, id| step_ended(1, run, id),
        |run, id| message(1, Some(run), None, id),
        |run, one| {
            let mut event = message(0, Some(run), None, one);
            if let Some(Body::MessageAppended(e)) = &mut event.event {
                e.sighting = true;
            }
            event
        },
        |run, id| tokens(1, run, id, 1, 1),
        |run, id| approval_requested(1, run, id),
        |run, one| {
            valid::approval_decided(|e| {
                (e.approval_id, e.run_id) = (id(one), id(run));
                (e.session_id, e.decided_by) = (Bytes::new(), Bytes::new());
            })
        },
    ]
}

/// Scenario: the ids of another customer's steps, messages, counts and approvals are used in the customer's own
/// run, again and again; and the ids of its own in another run of its own.
/// Guarantees: another's are refused with PERMISSION_DENIED, in the words of every other denial, and stay as
/// they are; the customer's own conflict is told as one.
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_others_rows_are_no_way_in() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, theirs, _] = world.clients(&daemon).await;
    let made = kinds().map(|make| (make, new_id()));
    let of = |run: Uuid| {
        made.iter()
            .map(|(make, id)| make(run, *id))
            .collect::<Vec<_>>()
    };
    assert_eq!(refusals(&submit(&theirs, of(world.others.run)).await), []);
    let before = world.foreign(&mut conn).await;
    let another = new_id();
    for _ in 0..5 {
        let outcome = submit(&own, of(another)).await;
        let want: Vec<_> = (0..8).map(|n| (RefusalCode::PermissionDenied, n)).collect();
        assert_eq!(refusals(&outcome), want);
        assert!(
            outcome.refused.iter().all(|r| r.reason == DENIED),
            "{outcome:?}"
        );
    }
    assert_eq!(world.foreign(&mut conn).await, before);

    let made = kinds().map(|make| (make, new_id()));
    let of = |run: Uuid| {
        made.iter()
            .map(|(make, id)| make(run, *id))
            .collect::<Vec<_>>()
    };
    assert_eq!(refusals(&submit(&own, of(world.own.run)).await), []);
    let want: Vec<_> = (0..8).map(|n| (RefusalCode::IdConflict, n)).collect();
    assert_eq!(refusals(&submit(&own, of(another)).await), want);
    daemon.finish().await;
}

fn alias(run: Uuid, alias: Uuid, step: Option<Uuid>, root: bool) -> Event {
    valid::step_aliased(|e| {
        (e.run_id, e.alias_id) = (id(run), id(alias));
        e.step_id = step.map(id).unwrap_or_default();
        e.parent_step_id = Bytes::new();
        if !root {
            e.root = None;
        }
    })
}

/// A step below what may be an alias.
fn below(run: Uuid, one: Uuid, parent: Uuid) -> Event {
    let mut event = step(1, 2, run, one);
    if let Some(Body::StepEnded(e)) = &mut event.event {
        let details = e.details.as_mut().unwrap();
        (details.parent_step_id, details.parent_may_be_alias) = (id(parent), true);
    }
    event
}

/// Scenario: a customer tells aliases and a root of a run that is not there; then others make that run, with
/// another key and without; and the other way round.
/// Guarantees: the run is whose event named it first, aliases too, for all who have bound keys. Without one the
/// run can be made, and no alias of the customer moves its steps or ends it.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_that_come_before_their_run_concern_no_other_customers() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, theirs, free] = world.clients(&daemon).await;
    let denied = [(RefusalCode::PermissionDenied, 0)];
    let (run, span, target) = (new_id(), new_id(), new_id());
    let told = vec![
        alias(run, span, Some(target), false),
        alias(run, new_id(), None, true),
    ];
    assert_eq!(refusals(&submit(&own, told).await), []);
    assert_eq!(
        refusals(&submit(&theirs, vec![run_started(0, run)]).await),
        denied
    );
    assert_eq!(
        refusals(&submit(&theirs, vec![alias(run, new_id(), None, true)]).await),
        denied
    );
    // Whoever has no bound key makes it all the same.
    let child = new_id();
    submit(&free, vec![run_started(0, run), below(run, child, span)]).await;
    submit(&free, vec![below(run, new_id(), span)]).await;
    let state = format!(
        "SELECT r.status, r.ended_at, (SELECT count(*) FROM agent_steps s WHERE s.run_id = r.id
         AND s.parent_step_id = '{span}') AS below FROM agent_runs r WHERE r.id = '{run}'"
    );
    let want = serde_json::json!({"status": "running", "ended_at": null, "below": 2});
    assert_eq!(row(&mut conn, &state).await, want);
    assert_eq!(
        refusals(&submit(&own, vec![run_started(1, run)]).await),
        denied
    );

    // The customer's own aliases find the customer's own run, whichever came first.
    for alias_first in [true, false] {
        let (run, span, target, child) = (new_id(), new_id(), new_id(), new_id());
        let mut parts = [
            vec![
                alias(run, span, Some(target), false),
                alias(run, new_id(), None, true),
            ],
            vec![run_started(0, run), below(run, child, span)],
        ];
        if !alias_first {
            parts.reverse();
        }
        for part in parts {
            assert_eq!(refusals(&submit(&own, part).await), []);
        }
        let state = format!(
            "SELECT r.finalized_by, (SELECT parent_step_id FROM agent_steps WHERE id = '{child}') AS parent
             FROM agent_runs r WHERE r.id = '{run}'"
        );
        let want = serde_json::json!({"finalized_by": "root_span", "parent": target});
        assert_eq!(
            row(&mut conn, &state).await,
            want,
            "alias first: {alias_first}"
        );
    }

    let run = new_id();
    submit(&free, vec![alias(run, new_id(), None, false)]).await;
    assert_eq!(
        refusals(&submit(&own, vec![run_started(0, run)]).await),
        denied
    );
    daemon.finish().await;
}

/// Scenario: a session of another customer is given to the customer by an unbound client; runs that the other
/// made in it stay the other's, and so do their messages, which histories in the session repeat.
/// Guarantees: no sighting, earlier or fuller, takes the other's message or moves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_changes_hands_takes_no_messages_along() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, theirs, free] = world.clients(&daemon).await;
    let (session, run) = (new_id(), new_id());
    let given = |millis, whose| {
        let mut event = session_titled(millis, session, "chat");
        if let Some(Body::SessionUpsert(e)) = &mut event.event {
            e.customer_id = id(whose);
        }
        vec![event]
    };
    submit(&free, given(0, world.other)).await;
    let seen = |millis, run: Option<Uuid>, one, sighting| {
        let mut event = message(millis, run, Some(session), one);
        if let Some(Body::MessageAppended(e)) = &mut event.event {
            e.sighting = sighting;
            e.content = Some(format!("as told at {millis}"));
        }
        event
    };
    let (sighted, said) = (new_id(), new_id());
    let first = vec![
        seen(5, Some(run), sighted, true),
        seen(5, Some(run), said, false),
    ];
    assert_eq!(refusals(&submit(&theirs, first).await), []);
    submit(&free, given(1, world.acme)).await;
    let before = content(&mut conn, &[run], &[]).await;
    assert_eq!(before.len(), 3);
    for run in [None, Some(new_id()), Some(world.own.run)] {
        for (one, sighting) in [(sighted, true), (sighted, false), (said, false)] {
            for millis in [1, 9] {
                let outcome = submit(&own, vec![seen(millis, run, one, sighting)]).await;
                assert_eq!(refusals(&outcome), [(RefusalCode::PermissionDenied, 0)]);
            }
        }
        submit(&own, vec![seen(1, run, said, true)]).await;
    }
    assert_eq!(content(&mut conn, &[run], &[]).await, before);
    // The session itself is the customer's now.
    assert_eq!(
        refusals(&submit(&own, vec![seen(1, None, new_id(), true)]).await),
        []
    );
    daemon.finish().await;
}

/// Scenario: in one transaction an unbound client gives a session, a run and the run of a session to another
/// customer, while the customer whose they were writes to them; likewise the other way round.
/// Guarantees: it ends: who writes beside it came first, or too late.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_hands_beside_who_writes_to_it_is_settled_once() {
    // Whatever comes within a third of a second is one transaction.
    let (world, daemon, _conn) = world(&["--writers", "1", "--linger-ms", "300"]).await;
    let [own, theirs, free] = world.clients(&daemon).await;
    let (session, run, of_session) = (new_id(), new_id(), new_id());
    let given = |millis: i64, whose: Uuid| {
        let mut upsert = session_titled(millis, session, "chat");
        if let Some(Body::SessionUpsert(e)) = &mut upsert.event {
            e.customer_id = id(whose);
        }
        let run = started_with(run_started(millis, run), |e| e.customer_id = id(whose));
        let in_session = started_with(run_started(millis, of_session), |e| {
            e.session_id = id(session);
        });
        vec![upsert, run, in_session]
    };
    let written = |millis| {
        vec![
            message(millis, None, Some(session), new_id()),
            message(millis, Some(run), None, new_id()),
            message(millis, Some(of_session), None, new_id()),
            session_titled(millis, session, "mine"),
        ]
    };
    submit(&free, given(0, world.acme)).await;
    for (round, (next, writer)) in (1..).zip([
        (world.other, &own),
        (world.acme, &theirs),
        (world.other, &own),
    ]) {
        let (moved, kept) = tokio::join!(
            submit(&free, given(round * 10, next)),
            submit(writer, written(round * 10 + 5))
        );
        assert_eq!(refusals(&moved), []);
        let all = kept.refused.len();
        assert!(all == 0 || all == 4, "round {round}: {kept:?}");
        let late = submit(writer, written(round * 10 + 6)).await;
        assert_eq!(late.refused.len(), 4, "round {round}: {late:?}");
    }
    daemon.finish().await;
}

/// Scenario: a client sends what only the spool may hold, in the forms in which a spool holds it; and names
/// another customer wherever an event has a place for one.
/// Guarantees: neither says whose an event is.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_customers_is_not_believed() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, ..] = world.clients(&daemon).await;
    let before = world.foreign(&mut conn).await;
    let (run, session) = (new_id(), new_id());
    let someone = new_id();
    let started = started_with(run_started(0, run), |e| e.customer_id = id(someone));
    let upsert = proto::SessionUpsert {
        session_id: id(session),
        customer_id: id(someone),
        metadata_json: Some(format!("{{\"unresolved_customer_id\":\"{someone}\"}}")),
        ..Default::default()
    };
    let events = vec![started, event(0, Body::SessionUpsert(upsert))];
    assert_eq!(submit(&own, events).await.committed, 2);
    for (table, one) in [("agent_runs", run), ("agent_sessions", session)] {
        let whose = format!("SELECT customer_id, tenant_id FROM {table} WHERE id = '{one}'");
        let want = serde_json::json!({"customer_id": world.acme, "tenant_id": world.acme});
        assert_eq!(row(&mut conn, &whose).await, want);
    }
    // Field 1 a number, field 2 parts with a customer: a frame of the spool.
    let part = [&[0x0a, 16][..], someone.as_bytes()].concat();
    let frame = [&[0x08, 1, 0x12, 18][..], &part].concat();
    let answer = submit_bytes(channel(daemon.grpc_url()).await, frame.into()).await;
    assert!(matches!(
        answer.unwrap_err().code(),
        Code::Internal | Code::InvalidArgument
    ));
    // And after a request's own fields.
    let mut request = SubmitRequest {
        events: vec![run_started(0, new_id())],
        ..Default::default()
    }
    .encode_to_vec();
    request.extend([&[0x7a, 16][..], someone.as_bytes()].concat());
    let answer = submit_bytes(channel(daemon.grpc_url()).await, request.into()).await;
    assert_eq!(answer.unwrap().outcome.unwrap().committed, 1);
    let strays = format!("SELECT count(*) FROM agent_runs WHERE tenant_id = '{someone}'");
    assert_eq!(value(&mut conn, &strays).await, 0);
    assert_eq!(world.foreign(&mut conn).await, before);
    daemon.finish().await;
}
