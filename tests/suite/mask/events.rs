//! Events of every kind with a secret in each text, those of fields to come too: the
//! descriptors of the protocol say which there are.

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use runtraced::json_mapping::event_to_json;
use runtraced::proto::{self, Event};

use super::secrets::{Secret, secrets};
use super::{DataDir, SECRETS, check_counted, check_nothing_found, daemon};
use crate::support::events::{at, id, new_id};
use crate::support::otlp::post;
use crate::support::pg;

fn json(name: &str, secret: &Secret) -> String {
    let text = &secret.text;
    match name {
        "tags_json" => serde_json::json!([text]),
        _ => serde_json::json!({ "k": { text: [text, { "nested": serde_json::json!({ "t": text }).to_string() }] } }),
    }
    .to_string()
}

fn filled(message: &MessageDescriptor, secret: &Secret) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        // Only one field of a oneof can be set; whoever fills an event sets it.
        if field
            .containing_oneof()
            .is_none_or(|oneof| oneof.is_synthetic())
        {
            filled.set_field(&field, value(&field, secret));
        }
    }
    filled
}

fn value(field: &FieldDescriptor, secret: &Secret) -> Value {
    match field.kind() {
        Kind::String if field.name().ends_with("_json") => {
            Value::String(json(field.name(), secret))
        }
        Kind::String => Value::String(secret.text.clone()),
        Kind::Bytes => Value::Bytes(id(new_id())),
        Kind::Bool => Value::Bool(false),
        Kind::Enum(kind) => Value::EnumNumber(kind.values().last().unwrap().number()),
        Kind::Double => Value::F64(1.0),
        Kind::Int64 => Value::I64(1),
        Kind::Int32 | Kind::Sint32 => Value::I32(0),
        Kind::Message(message) => {
            let mut inner = filled(&message, secret);
            if message.full_name() == "google.protobuf.Timestamp" {
                inner.transcode_from(&at(1_000)).unwrap();
            }
            Value::Message(inner)
        }
        kind => panic!("{}: fill {kind:?} here", field.full_name()),
    }
}

/// One event of each kind, with this secret in each text.
pub fn events_with(secret: &Secret) -> Vec<Event> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let descriptor = pool.get_message_by_name("runtraced.v1.Event").unwrap();
    let kinds = descriptor.oneofs().next().unwrap();
    let event = |kind: FieldDescriptor| {
        let mut event = filled(&descriptor, secret);
        event.set_field(&kind, value(&kind, secret));
        event.transcode_to().unwrap()
    };
    kinds.fields().map(event).collect()
}

/// One event a line.
pub fn lines(events: &[Event]) -> String {
    let lines: Vec<String> = events
        .iter()
        .map(|event| event_to_json(event).unwrap())
        .collect();
    lines.join("\n")
}

/// Scenario: secrets of every kind in every text of every event, by gRPC and as JSON over HTTP.
/// Guarantees: none is stored, logged or in the metrics; each is counted.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_passes_in_any_field() {
    let database = pg::database().await;
    let data = DataDir::new();
    let daemon = daemon(database.url(), &data.flags(&[])).await;
    let secrets = secrets(SECRETS, 11);
    let events: Vec<Event> = secrets.iter().flat_map(events_with).collect();
    let (native, http) = events.split_at(events.len() / 2);
    for part in native.chunks(500) {
        let outcome = daemon.submit(part.to_vec()).await;
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    }
    for part in http.chunks(500) {
        let answer = post(&daemon, "/v1/events", &[], lines(part).as_bytes()).await;
        assert_eq!(
            (answer.status, answer.json()["refused"].to_string()),
            (200, "[]".to_owned())
        );
    }
    assert!(
        daemon.logs().contains("\"level\":\"DEBUG\""),
        "debug lines are looked through, too"
    );
    let mut conn = database.connect().await;
    check_nothing_found(&daemon, &mut conn, &secrets).await;
    check_counted(&daemon, 30 * SECRETS as u64).await;
    daemon.finish().await;
}

/// Scenario: events that are sent again, to the same daemon, after a restart, and to another
/// daemon with the same key.
/// Guarantees: they are duplicates each time.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_a_duplicate() {
    let database = pg::database().await;
    let data = DataDir::new();
    let events: Vec<Event> = secrets(48, 12).iter().flat_map(events_with).collect();
    let first = daemon(database.url(), &data.flags(&[])).await;
    first.submit(events.clone()).await;
    let again = first.submit(events.clone()).await;
    assert_eq!((again.committed, again.refused.len()), (0, 0));
    first.finish().await;
    let key = data.0.join("mask.key");
    let restarted = daemon(database.url(), &data.flags(&[])).await;
    let other_data = DataDir::new();
    let flags = other_data.flags(&["--mask-key-file", key.to_str().unwrap()]);
    let other = daemon(database.url(), &flags).await;
    for daemon in [restarted, other] {
        let again = daemon.submit(events.clone()).await;
        assert_eq!((again.committed, again.refused.len()), (0, 0));
        daemon.finish().await;
    }
    assert!(
        !other_data.0.join("mask.key").exists(),
        "a given key is used alone"
    );
}
