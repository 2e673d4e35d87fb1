use std::collections::BTreeSet;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value, json};

use super::super::{DialectText, Dialects, map_traces};
use super::Slot;
use crate::event::EventBody;
use crate::ingest::otlp::MapOptions;

/// The facts whose only place is the metadata. Files name them so that `runtraced explain`
/// does not call their keys unknown.
const ONLY_KEPT: [Slot; 4] = [
    Slot::InputMime,
    Slot::OutputMime,
    Slot::Cost,
    Slot::Metadata,
];

#[test]
fn names_are_unique_and_lead_back() {
    for (at, slot) in Slot::ALL.into_iter().enumerate() {
        assert_eq!(slot as usize, at);
        assert_eq!(Slot::named(slot.name()), Some(slot));
    }
}

/// A dialect in which the key of each fact is `acme.` and its name.
fn dialect() -> Arc<Dialects> {
    let keys = Slot::ALL.map(|slot| format!("{0} = [\"acme.{0}\"]\n", slot.name()));
    let text = format!(
        "name = \"acme\"\nsource = \"acme.dev\"\nscopes = [\"acme\"]\n[own_keys]\n\
         kind = [\"acme.kind\"]\n{}[words]\nllm = [\"llm\"]\ntool = [\"tool\"]\n\
         agent = [\"agent\"]\nhandoff = [\"handoff\"]\n\"workflow/chain\" = [\"chain\"]\n",
        keys.concat()
    );
    let file = "acme.toml".into();
    Arc::new(Dialects::compile(vec![DialectText { file, text }]).unwrap())
}

/// What a span with these facts becomes, without the attributes that are kept as they are.
fn mapped(dialects: &Arc<Dialects>, facts: &[(&str, &str)], parent: &str) -> String {
    let attributes: Vec<_> = facts
        .iter()
        .map(|(fact, text)| json!({"key": format!("acme.{fact}"), "value": {"stringValue": text}}))
        .collect();
    let span = json!({
        "traceId": "5b8aa5a2d2c872e8321cf37308d69df2", "spanId": "051581bf3cb55c13",
        "parentSpanId": parent, "name": "do", "kind": 1, "attributes": attributes,
        "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000",
    });
    let request = json!({"resourceSpans": [{"scopeSpans": [
        {"scope": {"name": "acme"}, "spans": [span]},
    ]}]});
    let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
    let options = MapOptions {
        dialects: dialects.clone(),
        ..MapOptions::default()
    };
    let mut events = map_traces(&request.encode_to_vec(), &options)
        .unwrap()
        .events;
    for (_, event) in &mut events {
        let metadata = match &mut event.body {
            EventBody::StepEnded(end) => end.details.as_mut().unwrap().metadata.take(),
            EventBody::RunEnded(end) => end.metadata.take(),
            _ => None,
        };
        if let (Some(metadata), EventBody::StepEnded(end)) = (metadata, &mut event.body) {
            // Only what the store compares.
            let object: Value = serde_json::from_str(metadata.as_str()).unwrap();
            end.error = Some(format!("{:?} {}", end.error, object["otel"]["call"]));
        }
    }
    format!("{events:?}")
}

/// A text that the fact can hold and that differs from what its neighbours hold.
fn text_of(slot: Slot) -> &'static str {
    match slot {
        Slot::UsageInput | Slot::UsageOutput => "700",
        Slot::UsageCacheRead | Slot::UsageCacheWrite | Slot::UsageReasoning => "20",
        Slot::UsageTotal => "90",
        Slot::UsageJson | Slot::ProviderUsage => r#"{"input_tokens": 9, "output_tokens": 8}"#,
        Slot::Parameters => r#"{"previous_response_id": "resp_1"}"#,
        Slot::ResponseToolCalls => r#"[{"id": "c", "name": "f", "arguments": "{}"}]"#,
        Slot::ResponseId => "chatcmpl-0123456789abcdef0123456789",
        Slot::Status | Slot::Level | Slot::FinishReason => "error",
        Slot::GraphPath => r#"["__pregel_push", 0]"#,
        Slot::Integration => "langchain_create_agent",
        _ => "what it holds",
    }
}

/// Spans of each kind. A fact may need others beside it.
const SPANS: &[&[(&str, &str)]] = &[
    &[("kind", "llm")],
    &[("kind", "llm"), ("input", "Hi"), ("output", "Hello")],
    &[
        ("kind", "llm"),
        ("response_text", "Hello"),
        ("usage_input", "60"),
        ("usage_output", "10"),
        ("usage_cache_read", "20"),
    ],
    &[
        ("kind", "llm"),
        ("response_text", "Hello"),
        ("session", "s"),
    ],
    &[("kind", "tool")],
    &[("kind", "tool"), ("tool_name", "f")],
    &[("kind", "tool"), ("tool_name", "f"), ("status", "error")],
    &[("kind", "agent")],
    &[("kind", "chain"), ("agent_name", "a")],
    &[
        ("kind", "chain"),
        ("agent_name", "a"),
        ("integration", "langchain_create_agent"),
    ],
    &[("kind", "handoff")],
];

#[test]
fn each_fact_of_the_files_is_read_by_the_mapping() {
    let dialects = dialect();
    let is_read = |slot: Slot| {
        let with_it = |facts: &[(&'static str, &'static str)]| {
            let mut facts = facts.to_vec();
            facts.push((slot.name(), text_of(slot)));
            facts
        };
        SPANS.iter().any(|facts| {
            ["", "051581bf3cb55c14"].into_iter().any(|parent| {
                let has_it = facts.iter().any(|(fact, _)| *fact == slot.name());
                let with_it = mapped(&dialects, &with_it(facts), parent);
                !has_it && with_it != mapped(&dialects, facts, parent)
            })
        })
    };
    let unread: BTreeSet<_> = Slot::ALL
        .into_iter()
        .filter(|slot| !is_read(*slot))
        .collect();
    assert_eq!(unread, BTreeSet::from(ONLY_KEPT));
}
