//! The matrix: every kind of event × whose run and session it names × how it is sent.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use runtraced::proto::event::Event as Body;
use runtraced::proto::{Event, RefusalCode};
use runtraced_client::Client;
use uuid::Uuid;

use super::world::{kinds, rows, world};
use super::{DENIED, Key, refusals, submit};
use crate::support::daemon::Daemon;
use crate::support::events::{id, message, new_id, run_started, session_titled, started_with};
use crate::support::otlp::{Answer, BASE_NANOS, attribute, post, request, span, text};
use crate::support::tables::value;
use crate::support::valid;

/// The run and the session that an event names.
fn named(event: &Event) -> (bool, bool) {
    let both = |run: &bytes::Bytes, session: &bytes::Bytes| (!run.is_empty(), !session.is_empty());
    match event.event.as_ref().unwrap() {
        Body::SessionUpsert(_) => (false, true),
        Body::RunStarted(e) => both(&e.run_id, &e.session_id),
        Body::MessageAppended(e) => both(&e.run_id, &e.session_id),
        Body::ApprovalRequested(e) => both(&e.run_id, &e.session_id),
        Body::ApprovalDecided(e) => both(&e.run_id, &e.session_id),
        Body::RunObserved(e) => both(&e.run_id, &e.session_id),
        _ => (true, false),
    }
}

#[test]
fn the_matrix_has_every_kind() {
    let descriptors = prost_reflect::DescriptorPool::decode(runtraced::proto::DESCRIPTORS).unwrap();
    let event = descriptors
        .get_message_by_name("runtraced.v1.Event")
        .unwrap();
    let kinds = kinds();
    let made: std::collections::BTreeSet<_> = kinds
        .iter()
        .map(|(_, make)| {
            let event = make(Some(new_id()), Some(new_id()));
            std::mem::discriminant(event.event.as_ref().unwrap())
        })
        .map(|kind| format!("{kind:?}"))
        .collect();
    let oneof = event
        .oneofs()
        .find(|oneof| oneof.name() == "event")
        .unwrap();
    assert_eq!(made.len(), oneof.fields().count());
}

/// Each kind alone and between good neighbours; what of it was refused.
async fn each(client: &Client, cell: &str, events: Vec<(&'static str, Event)>, allowed: bool) {
    for (kind, event) in events {
        let neighbour = || run_started(0, new_id());
        let outcome = submit(client, vec![neighbour(), event, neighbour()]).await;
        let want: &[_] = if allowed {
            &[]
        } else {
            &[(RefusalCode::PermissionDenied, 1)]
        };
        assert_eq!(refusals(&outcome), want, "{cell} × {kind}: {outcome:?}");
        assert!(
            outcome.refused.iter().all(|r| r.reason == DENIED),
            "{outcome:?}"
        );
    }
}

/// Scenario: a customer's key sends every kind of event for its own run and session, made with a key and
/// without; for another customer's run, and session, made with a key and without; for nobody's; for a
/// run and a session that are not there; as a parent of its own run likewise.
/// Guarantees: only its own and the new are written, the new are its own then; everything else is refused
/// alone, in the same words, and not a byte of what is not the customer's changes.
#[tokio::test(flavor = "multi_thread")]
async fn events_reach_only_what_is_their_customers() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, _, free] = world.clients(&daemon).await;
    let before = world.foreign(&mut conn).await;

    let cell = |run: Uuid, session: Option<Uuid>, only: fn((bool, bool)) -> bool| {
        kinds()
            .into_iter()
            .map(|(kind, make)| (kind, make(Some(run), session)))
            .filter(|(_, event)| only(named(event)))
            .collect::<Vec<_>>()
    };
    for (name, of) in [
        ("own", &world.own),
        ("own, untenanted", &world.own_untenanted),
    ] {
        let events = cell(of.run, Some(of.session), |_| true);
        assert_eq!(events.len(), kinds().len());
        each(&own, name, events, true).await;
    }
    each(
        &own,
        "unknown run",
        cell(new_id(), None, |(run, _)| run),
        true,
    )
    .await;
    let events = cell(new_id(), Some(new_id()), |_| true);
    each(&own, "unknown run and session", events, true).await;
    for (name, of) in [
        ("other's", &world.others),
        ("other's, untenanted", &world.others_untenanted),
        ("nobody's", &world.nobodys),
    ] {
        let events = cell(of.run, None, |(run, _)| run);
        each(&own, &format!("{name} run"), events, false).await;
        let events = cell(of.run, Some(world.own.session), |(run, _)| run);
        each(&own, &format!("{name} run, own session"), events, false).await;
        for (whose, run) in [("own", world.own.run), ("new", new_id()), ("their", of.run)] {
            let events = cell(run, Some(of.session), |(_, session)| session);
            assert!(events.len() > 6);
            each(&own, &format!("{whose} run, {name} session"), events, false).await;
        }
        for run in [world.own.run, new_id()] {
            let child = valid::run_started(|e| {
                (e.run_id, e.parent_run_id, e.session_id) =
                    (id(run), id(of.run), bytes::Bytes::new());
            });
            each(
                &own,
                &format!("{name} run as parent"),
                vec![("run_started", child)],
                false,
            )
            .await;
        }
    }
    let child = |parent| {
        let child = started_with(run_started(9_000, new_id()), |e| {
            e.parent_run_id = id(parent)
        });
        vec![("run_started", child)]
    };
    each(&own, "own parent", child(world.own.run), true).await;
    each(&own, "unknown parent", child(new_id()), true).await;
    assert_eq!(world.foreign(&mut conn).await, before);

    // Everything that is the customer's says so, whatever its events said.
    let strays = format!(
        "SELECT count(*) FROM (SELECT id, tenant_id, customer_id FROM agent_runs
         UNION ALL SELECT id, tenant_id, customer_id FROM agent_sessions) t
         WHERE tenant_id = '{0}' AND customer_id IS DISTINCT FROM '{0}'",
        world.acme
    );
    assert_eq!(value(&mut conn, &strays).await, 0);
    let whose = format!(
        "SELECT tenant_id FROM agent_runs WHERE id = '{}'",
        world.own.run
    );
    assert_eq!(value(&mut conn, &whose).await, world.acme.to_string());

    // Without a key everything may still be touched.
    for of in [&world.own, &world.others, &world.nobodys] {
        assert_eq!(refusals(&submit(&free, rows(of)).await), []);
    }
    daemon.finish().await;
}

/// Scenario: a customer's key sends a batch in which the same new run and session are named by many events,
/// and good and bad are mixed.
/// Guarantees: each bad one is refused with its own position.
#[tokio::test(flavor = "multi_thread")]
async fn positions_are_right_in_mixed_batches() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, ..] = world.clients(&daemon).await;
    let before = world.foreign(&mut conn).await;
    let run = new_id();
    let mut events = Vec::new();
    let mut want = Vec::new();
    for round in 0..50_u32 {
        events.push(message(i64::from(round), Some(run), None, new_id()));
        if round % 3 == 0 {
            want.push((
                RefusalCode::PermissionDenied,
                u32::try_from(events.len()).unwrap(),
            ));
            events.push(message(0, Some(world.others.run), None, new_id()));
        }
        if round % 7 == 0 {
            want.push((
                RefusalCode::MissingField,
                u32::try_from(events.len()).unwrap(),
            ));
            events.push(Event::default());
        }
    }
    for (committed, duplicate) in [(50, 0), (0, 50)] {
        let outcome = submit(&own, events.clone()).await;
        assert_eq!(refusals(&outcome), want);
        assert_eq!(
            (outcome.committed, outcome.duplicate),
            (committed, duplicate)
        );
    }
    assert_eq!(world.foreign(&mut conn).await, before);
    daemon.finish().await;
}

/// Scenario: a customer's key makes more new runs in one batch than one transaction waits for.
/// Guarantees: all are there, and its own.
#[tokio::test(flavor = "multi_thread")]
async fn many_new_runs_in_one_batch_are_all_the_customers() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, ..] = world.clients(&daemon).await;
    let runs: Vec<Uuid> = (0..3_000).map(|_| new_id()).collect();
    let events = runs
        .iter()
        .map(|run| message(0, Some(*run), None, new_id()));
    let outcome = submit(&own, events.collect()).await;
    assert_eq!((outcome.committed, refusals(&outcome).len()), (3_000, 0));
    let mine: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM agent_runs WHERE id = ANY ($1) AND tenant_id = $2 AND customer_id = $2",
    )
    .bind(&runs)
    .bind(world.acme)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(mine, 3_000);
    daemon.finish().await;
}

fn in_session(mut span: Span, session: &str) -> Span {
    span.attributes.push(text("session.id", session));
    span
}

/// Spans of every class.
fn spans(trace: Uuid) -> BTreeMap<&'static str, Span> {
    let kind = |number: u64, kind: &str| {
        let mut one = span(trace, number);
        one.parent_span_id = 9_u64.to_be_bytes().to_vec();
        one.attributes[0] = text("openinference.span.kind", kind);
        one
    };
    let mut call = kind(3, "LLM");
    call.attributes.extend([
        text("llm.input_messages.0.message.role", "user"),
        text("llm.input_messages.0.message.content", "hello"),
        attribute("llm.token_count.prompt", Value::IntValue(7)),
    ]);
    let mut root = kind(5, "AGENT");
    root.parent_span_id.clear();
    let mut foreign = span(trace, 6);
    foreign.attributes = vec![text("http.request.method", "GET")];
    BTreeMap::from([
        ("tool", kind(1, "TOOL")),
        ("chain", kind(2, "CHAIN")),
        ("call", call),
        ("agent", kind(4, "AGENT")),
        ("root", root),
        ("foreign root", foreign),
    ])
}

async fn export(daemon: &Daemon, key: &Key, path: &str, body: &[u8]) -> Answer {
    let bearer = format!("Authorization: Bearer {}", key.text);
    let headers = [bearer.as_str(), "Content-Type: application/x-protobuf"];
    let answer = post(daemon, path, &headers, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// Scenario: a customer's key exports spans of every class, and a log record, for a trace that is its own,
/// another's, nobody's, and new; in a session that is another's by its UUID; and in a conversation
/// that both customers call alike.
/// Guarantees: as for native events; what was refused is a partial success with its number; conversations of
/// one name are two sessions.
#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_only_what_is_their_customers() {
    let (world, daemon, mut conn) = world(&[]).await;
    let before = world.foreign(&mut conn).await;
    let rejected = |answer: &Answer| {
        use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
        let response = ExportTraceServiceResponse::decode(&*answer.body).unwrap();
        response.partial_success.map_or(0, |partial| {
            assert!(partial.error_message.contains(DENIED), "{partial:?}");
            assert!(partial.error_message.contains("permission_denied"));
            partial.rejected_spans
        })
    };
    let log = |trace: Uuid| {
        let record = LogRecord {
            trace_id: trace.as_bytes().to_vec(),
            span_id: 3_u64.to_be_bytes().to_vec(),
            time_unix_nano: BASE_NANOS,
            event_name: "gen_ai.user.message".into(),
            body: Some(crate::support::otlp::value(Value::StringValue(
                "hello".into(),
            ))),
            ..Default::default()
        };
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![record],
                    ..Default::default()
                }],
                ..Default::default()
            }],
        }
    };
    let (fresh, alone) = (new_id(), new_id());
    for (name, trace, session, want) in [
        ("new", fresh, None, 0),
        ("own", world.own.run, None, 0),
        ("new again", fresh, Some(world.own.session), 0),
        ("other's", world.others.run, None, 1),
        ("other's, untenanted", world.others_untenanted.run, None, 1),
        ("nobody's", world.nobodys.run, None, 1),
        ("other's session", fresh, Some(world.others.session), 1),
        ("nobody's session", alone, Some(world.nobodys.session), 1),
    ] {
        for (class, mut span) in spans(trace) {
            if class == "foreign root" && session.is_some() {
                continue;
            }
            if let Some(session) = session {
                span = in_session(span, &session.to_string());
            }
            let body = request(vec![span]).encode_to_vec();
            let answer = export(&daemon, &world.key, "/v1/traces", &body).await;
            assert_eq!(rejected(&answer), want, "{name} × {class}");
        }
        if session.is_none() {
            let body = log(trace).encode_to_vec();
            let answer = export(&daemon, &world.key, "/v1/logs", &body).await;
            assert_eq!(rejected(&answer), want, "{name} × log record");
        }
    }
    assert_eq!(world.foreign(&mut conn).await, before);

    for key in [&world.key, &world.other_key] {
        let span = in_session(span(new_id(), 1), "chat-1");
        let body = request(vec![span]).encode_to_vec();
        let answer = export(&daemon, key, "/v1/traces", &body).await;
        assert_eq!(rejected(&answer), 0);
    }
    let chats = "SELECT count(DISTINCT tenant_id) FROM agent_sessions WHERE external_id = 'chat-1'";
    assert_eq!(value(&mut conn, chats).await, 2);
    // And without a key the same name is a third.
    let body = request(vec![in_session(span(new_id(), 1), "chat-1")]).encode_to_vec();
    let headers = ["Content-Type: application/x-protobuf"];
    assert_eq!(
        post(&daemon, "/v1/traces", &headers, &body).await.status,
        200
    );
    let chats = "SELECT count(*) FROM agent_sessions WHERE external_id = 'chat-1'";
    assert_eq!(value(&mut conn, chats).await, 3);
    daemon.finish().await;
}

/// Scenario: an unbound client makes a session and a run and says whose they are only later, and otherwise.
/// Guarantees: whoever customer_id names may write, as long as no bound key made the row; then that one.
#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_tenant_are_whose_customer_id_says() {
    let (world, daemon, _conn) = world(&[]).await;
    let [own, _, free] = world.clients(&daemon).await;
    let (run, session) = (new_id(), new_id());
    let started = started_with(run_started(0, run), |e| e.session_id = id(session));
    submit(&free, vec![started]).await;
    let denied = [(RefusalCode::PermissionDenied, 0)];
    let mine = || vec![message(1, Some(run), Some(session), new_id())];
    assert_eq!(refusals(&submit(&own, mine()).await), denied);
    let given = |millis, whose: Uuid| {
        let mut event = session_titled(millis, session, "given");
        if let Some(Body::SessionUpsert(e)) = &mut event.event {
            e.customer_id = id(whose);
        }
        vec![event]
    };
    submit(&free, given(2, world.acme)).await;
    assert_eq!(refusals(&submit(&own, mine()).await), []);
    // Taken away again: nothing in it was made with the key.
    submit(&free, given(3, new_id())).await;
    assert_eq!(refusals(&submit(&own, mine()).await), denied);
    // But what was made with it stays the customer's whatever is said of it.
    let kept = new_id();
    submit(&own, vec![run_started(0, kept)]).await;
    let told = started_with(run_started(9, kept), |e| e.customer_id = id(new_id()));
    submit(&free, vec![told]).await;
    let mine = vec![message(1, Some(kept), None, new_id())];
    assert_eq!(refusals(&submit(&own, mine).await), []);
    daemon.finish().await;
}
