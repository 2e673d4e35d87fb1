//! Every text of every event is prepared, those of fields to come too: the descriptors of
//! the protocol say which there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use super::Preparer;
use crate::event::{ContentRule, Event, EventBody, EventField, Json, Repairs};
use crate::ingest::native::{decode_event, encode_event};
use crate::json_mapping::event_to_json;
use crate::mask::{MaskRules, Masker};
use crate::proto;

/// Assembled here, so that nothing that looks like a key is in the repository.
fn secret(number: usize) -> String {
    format!("sk-{}-{}{number:04}", "ant", "a1B2c3D4".repeat(4))
}

fn event_descriptor() -> MessageDescriptor {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    pool.get_message_by_name("runtraced.v1.Event").unwrap()
}

/// A message with all fields set: texts to secrets, JSON to JSON with one. Notes the names of
/// the fields that hold one.
fn filled(message: &MessageDescriptor, holds: &mut Vec<String>) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if field
            .containing_oneof()
            .is_some_and(|oneof| !oneof.is_synthetic())
        {
            continue;
        }
        filled.set_field(&field, value(&field, holds));
    }
    filled
}

fn value(field: &FieldDescriptor, holds: &mut Vec<String>) -> Value {
    match field.kind() {
        Kind::String => {
            holds.push(field.full_name().to_owned());
            let secret = secret(holds.len());
            Value::String(match field.name() {
                "tags_json" => format!("[\"{secret}\"]"),
                name if name.ends_with("_json") => {
                    format!("{{\"k\": {{\"{secret}\": [\"{secret}\"]}}}}")
                }
                _ => secret,
            })
        }
        Kind::Bytes => Value::Bytes(uuid::Uuid::new_v4().as_bytes().to_vec().into()),
        Kind::Bool => Value::Bool(false),
        Kind::Enum(kind) => Value::EnumNumber(kind.values().last().unwrap().number()),
        Kind::Double => Value::F64(1.0),
        Kind::Int64 => Value::I64(1),
        Kind::Int32 | Kind::Sint32 => Value::I32(0),
        Kind::Message(message) => Value::Message(filled(&message, holds)),
        kind => panic!("{}: fill {kind:?} here", field.full_name()),
    }
}

/// One event of each kind, with the names of its texts.
fn events() -> Vec<(Event, Vec<String>)> {
    let descriptor = event_descriptor();
    let kinds = descriptor.oneofs().next().unwrap();
    let event = |kind: FieldDescriptor| {
        let mut holds = Vec::new();
        let mut event = filled(&descriptor, &mut holds);
        event.set_field(&kind, value(&kind, &mut holds));
        let event: proto::Event = event.transcode_to().unwrap();
        let event = decode_event(event, &mut Repairs::default());
        (
            event.unwrap_or_else(|refusal| panic!("{kind:?}: {refusal:?}")),
            holds,
        )
    };
    kinds.fields().map(event).collect()
}

/// The names of the fields whose secrets are still in the event.
fn left(event: &Event, holds: &[String]) -> Vec<String> {
    let text = event_to_json(&encode_event(event)).unwrap();
    let numbered = holds.iter().zip(1..);
    numbered
        .filter(|(_, number)| text.contains(&secret(*number)))
        .map(|(name, _)| name.clone())
        .collect()
}

#[test]
fn every_text_of_every_event_is_visited() {
    let mut all = BTreeSet::new();
    for (mut event, holds) in events() {
        assert_eq!(
            left(&event, &holds),
            holds,
            "the event lost texts when it was decoded"
        );
        event.visit_fields(|field| match field {
            EventField::Text(text) => *text = "seen".into(),
            EventField::Json(json) => {
                *json = Json::new("[]".into(), &mut Repairs::default()).unwrap();
            }
        });
        let text = format!("{event:?}");
        assert!(!text.contains("a1B2c3D4"), "a text is not visited: {text}");
        all.extend(holds);
    }
    assert!(all.len() > 40, "{all:?}");
}

#[test]
fn every_text_of_every_event_is_masked() {
    let masker = Masker::new(MaskRules::built_in().unwrap(), &[7; 32]).unwrap();
    for (mut event, holds) in events() {
        masker.event(&mut event);
        assert_eq!(left(&event, &holds), [""; 0]);
        let text = format!("{event:?}");
        assert_eq!(
            text.contains("[masked:anthropic:"),
            !holds.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn large_values_of_steps_are_cut_after_they_are_masked() {
    let text = format!("[\"{}\", \"{}\"]", secret(1), "x".repeat(600));
    let event = || {
        let (mut event, _) = events()
            .into_iter()
            .find(|(event, _)| matches!(event.body, EventBody::StepEnded(_)))
            .unwrap();
        event.visit_fields(|field| {
            if let EventField::Json(json) = field {
                *json = Json::new(text.clone(), &mut Repairs::default()).unwrap();
            }
        });
        event
    };
    let prepared = |masker, contents| {
        let mut event = event();
        Preparer::new(masker, contents).event(&mut event);
        let EventBody::StepEnded(step) = event.body else {
            panic!("it is another event");
        };
        let details = step.details.unwrap();
        [details.input, step.output, details.metadata].map(Option::unwrap)
    };
    for json in prepared(None, ContentRule::Lookalikes) {
        assert_eq!(json.stored(), text);
    }
    let masker = Masker::new(MaskRules::built_in().unwrap(), &[7; 32]).unwrap();
    let [input, output, metadata] = prepared(Some(Arc::new(masker)), ContentRule::Large);
    assert_eq!(metadata.stored(), metadata.as_str());
    for json in [input, output] {
        assert!(json.stored().starts_with("{\"$content\": "), "{json:?}");
        let value = json.contents().unwrap();
        let contents = (0..value.len()).filter_map(|at| value.get(at)?.body());
        let bodies: String = contents.collect();
        assert!(bodies.contains("[masked:anthropic:"), "{bodies}");
        assert!(!bodies.contains(&secret(1)), "{bodies}");
    }
}
