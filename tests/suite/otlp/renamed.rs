//! Evidence is enough: a key that no dialect knows takes away only what it alone
//! told.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use runtraced::event::{EventBody, StepType};
use runtraced::ingest::otlp::MapOptions;
use runtraced::ingest::otlp::map::{Dialects, documented_keys, map_traces};

use uuid::Uuid;

use super::corpus::{Capture, Export, chosen};

/// Keys that alone tell what a span is: a tool of Langfuse states no fact that any other
/// span could not have, and a span without a type is just a span.
const ALONE: [(&str, &str); 1] = [("langfuse-sdk", "langfuse.observation.type")];

/// What a capture became: how much of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Became {
    /// Steps by id: several spans may describe one.
    calls: BTreeSet<Uuid>,
    tools: BTreeSet<Uuid>,
    /// Token counts that total, and their sum.
    counts: usize,
    tokens: i64,
    messages: BTreeSet<String>,
    arguments: usize,
    models: usize,
    /// Steps that say that they were not understood.
    flagged: usize,
}

/// Scenario: in each capture, one key after another gets a name that no dialect
/// knows.
/// Guarantees: model calls and tool calls stay what they are, or the run says that
/// something was not understood. Tokens, models, arguments and messages are lost
/// only if the key told them.
#[test]
fn an_unknown_key_takes_away_only_what_it_told() {
    let dialects = Dialects::built_in();
    let mut told: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for (source, fact, _) in documented_keys(&dialects) {
        let key = source.split('#').next().unwrap_or_default();
        let key = key.strip_suffix("{n}").unwrap_or(key);
        told.entry(key.to_owned()).or_default().push(fact);
    }
    let mut wrong = Vec::new();
    let mut tried = 0;
    for capture in one_of_each_shape() {
        let spans = spans_of(capture);
        let before = became(&spans);
        assert_eq!(before.flagged, 0, "{}", capture.name());
        for key in keys(&spans) {
            tried += 1;
            let after = became(&renamed(&spans, &key));
            if ALONE.contains(&(capture.sdk.as_str(), key.as_str())) {
                continue;
            }
            for what in lost(told.get(&key).map_or(&[], Vec::as_slice), &before, &after) {
                wrong.push(format!("{}: without {key}: {what}", capture.name()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        tried > 100 || std::env::var("RUNTRACED_TEST_CAPTURE").is_ok(),
        "{tried}"
    );
}

/// Captures that together have all keys: per SDK, each that adds one.
fn one_of_each_shape() -> Vec<&'static Capture> {
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    chosen()
        .into_iter()
        .filter(|capture| {
            let seen = seen.entry(&capture.sdk).or_default();
            let before = seen.len();
            seen.extend(keys(&spans_of(capture)));
            seen.len() > before
        })
        .collect()
}

fn spans_of(capture: &Capture) -> Vec<ExportTraceServiceRequest> {
    let exports = capture.requests.iter().map(|request| &request.export);
    exports
        .filter_map(|export| match export {
            Export::Traces(traces) => Some(traces.clone()),
            Export::Logs(_) => None,
        })
        .collect()
}

fn each_span(requests: &mut [ExportTraceServiceRequest]) -> impl Iterator<Item = &mut Span> {
    let resources = requests
        .iter_mut()
        .flat_map(|request| &mut request.resource_spans);
    resources
        .flat_map(|resource| &mut resource.scope_spans)
        .flat_map(|scope| &mut scope.spans)
}

/// The keys of all attributes; of those with a number, the part before it.
fn keys(requests: &[ExportTraceServiceRequest]) -> BTreeSet<String> {
    let mut requests = requests.to_vec();
    each_span(&mut requests)
        .flat_map(|span| &span.attributes)
        .map(|attribute| family(&attribute.key).to_owned())
        .collect()
}

fn family(key: &str) -> &str {
    let number = key.find(|c: char| c.is_ascii_digit());
    match number.map(|at| &key[..at]) {
        Some(prefix) if prefix.ends_with('.') => prefix,
        _ => key,
    }
}

fn renamed(requests: &[ExportTraceServiceRequest], key: &str) -> Vec<ExportTraceServiceRequest> {
    let mut requests = requests.to_vec();
    for span in each_span(&mut requests) {
        for attribute in &mut span.attributes {
            if family(&attribute.key) == key {
                attribute.key = format!("zyx{}", &attribute.key[key.len()..]);
            }
        }
    }
    requests
}

fn became(requests: &[ExportTraceServiceRequest]) -> Became {
    let mut became = Became::default();
    for request in requests {
        let mapped = map_traces(&request.encode_to_vec(), &MapOptions::default()).unwrap();
        for (_, event) in mapped.events {
            match event.body {
                EventBody::StepEnded(step) => {
                    let details = step.details.unwrap();
                    match details.step_type {
                        StepType::LlmCall => _ = became.calls.insert(step.step_id),
                        StepType::ToolCall => _ = became.tools.insert(step.step_id),
                        _ => {}
                    }
                    if details.kind.as_deref() == Some("not_understood") {
                        became.flagged += 1;
                    }
                    if details.step_type == StepType::LlmCall {
                        became.models += usize::from(details.model.is_some());
                    }
                    if details.step_type == StepType::ToolCall {
                        became.arguments += usize::from(details.input.is_some());
                    }
                }
                EventBody::TokenCount(count) if !count.rollup => {
                    became.counts += 1;
                    let all = [count.input, count.output].into_iter().flatten();
                    became.tokens += all.map(i64::from).sum::<i64>();
                }
                EventBody::Message(message) => {
                    became.messages.extend(message.content);
                }
                _ => {}
            }
        }
    }
    became
}

/// What was lost although the key told something else.
fn lost(told: &[&str], before: &Became, after: &Became) -> Vec<String> {
    let mut lost = Vec::new();
    let tells = |facts: &[&str]| {
        let mut told = told.iter();
        told.any(|told| facts.iter().any(|fact| told.starts_with(fact)))
    };
    let seen = |became: &Became| (became.calls.len(), became.tools.len());
    let (calls, tools) = seen(before);
    if seen(after).0 < calls || seen(after).1 < tools {
        // LangGraph's node of a call is one by the path and the input that it states.
        if after.flagged == 0 && !tells(&["graph_path", "input"]) {
            lost.push(format!(
                "calls and tools {:?} of {:?}",
                seen(after),
                seen(before)
            ));
        }
        // Of a call that is not seen, nothing else can be.
        return lost;
    }
    let messages_at = [
        "input",
        "output",
        "prompt",
        "response_",
        "system",
        "tool_",
        "metadata",
    ];
    if after.counts < before.counts && !tells(&["usage"]) {
        lost.push(format!("counts {} of {}", after.counts, before.counts));
    }
    if after.tokens < before.tokens && !tells(&["usage"]) {
        lost.push(format!("tokens {} of {}", after.tokens, before.tokens));
    }
    if after.models < before.models && !tells(&["request_model", "response_model", "parameters"]) {
        lost.push(format!("models {} of {}", after.models, before.models));
    }
    if after.arguments < before.arguments && !tells(&["input", "tool_", "graph_", "metadata"]) {
        lost.push(format!(
            "arguments {} of {}",
            after.arguments, before.arguments
        ));
    }
    let missing: Vec<_> = before.messages.difference(&after.messages).collect();
    if !missing.is_empty() && !tells(&messages_at) {
        lost.push(format!("messages {missing:?}"));
    }
    lost
}
