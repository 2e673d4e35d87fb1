//! The workloads `history` and `chat`: agents that send all that was said with every model call,
//! as SDKs with OpenInference attributes do. The texts are made once and repeated; so it is known
//! how much of the bytes is new.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message as _;
use serde_json::json;

use super::otlp::{count, request, span, text};
use super::{EPOCH_MS, EncodedRequest, SeededRandom, Workload, WorkloadKind};

/// Sizes of texts, in bytes.
const SYSTEM_BYTES: usize = 1_500;
const QUESTION_BYTES: usize = 300;
const ANSWER_BYTES: usize = 500;
const ARGUMENTS_BYTES: usize = 200;
const RESULT_BYTES: usize = 1_200;
/// Time between two calls, and between the beginnings of two conversations.
const CALL_MS: u64 = 1_000;
const CONVERSATION_MS: u64 = 50;

/// Conversations of one length.
#[derive(Clone, Copy, Debug)]
pub struct HistorySpec {
    /// [`WorkloadKind::History`]: each conversation is one run, and each model call is followed
    /// by a tool call. [`WorkloadKind::Chat`]: each turn is a run of its own, in one session.
    pub kind: WorkloadKind,
    /// Model calls of a conversation.
    pub calls: usize,
    /// The number of conversations.
    pub conversations: usize,
    /// Streams of the client. A conversation is on one of them.
    pub streams: usize,
    /// Seed of all content.
    pub seed: u64,
}

/// Conversations, ready to send.
#[derive(Debug)]
pub struct HistoryWorkload {
    /// The requests: one per model call.
    pub workload: Workload,
    /// Bytes of all texts, each counted where it is said first.
    pub new_bytes: u64,
}

impl HistoryWorkload {
    /// Generates conversations. Equal parameters give equal bytes.
    #[must_use]
    pub fn new(spec: &HistorySpec) -> Self {
        let mut random = SeededRandom::new(spec.seed, super::IdVersion::V7);
        let mut streams = vec![Vec::new(); spec.streams.max(1)];
        let mut new_bytes = 0;
        let count = streams.len();
        for number in 0..spec.conversations {
            let mut conversation = GrowingHistory::begin(spec.kind, number, &mut random);
            for call in 1..=spec.calls {
                let request = conversation.call(call, call == spec.calls, &mut random);
                if let Some(stream) = streams.get_mut(number % count) {
                    stream.push(request);
                }
            }
            new_bytes += conversation.new_bytes;
        }
        Self {
            workload: Workload {
                kind: spec.kind,
                streams,
            },
            new_bytes: new_bytes as u64,
        }
    }
}

/// A conversation while it goes on.
struct GrowingHistory {
    kind: WorkloadKind,
    session: String,
    began: u64,
    trace: Vec<u8>,
    root: Vec<u8>,
    /// Role and content of all that was said.
    said: Vec<(&'static str, String)>,
    new_bytes: usize,
}

impl GrowingHistory {
    fn begin(kind: WorkloadKind, number: usize, random: &mut SeededRandom) -> Self {
        let began = EPOCH_MS + number as u64 * CONVERSATION_MS;
        let mut conversation = Self {
            kind,
            session: format!("conversation-{number}"),
            began,
            trace: random.id(began).to_vec(),
            root: span_id(random),
            said: Vec::new(),
            new_bytes: 0,
        };
        let instructions = random.text(SYSTEM_BYTES);
        conversation.say("system", instructions);
        if kind == WorkloadKind::History {
            let question = random.text(QUESTION_BYTES);
            conversation.say("user", question);
        }
        conversation
    }

    fn say(&mut self, role: &'static str, content: String) {
        self.new_bytes += content.len();
        self.said.push((role, content));
    }

    /// One model call, and what follows it. `last`: the run ends.
    fn call(&mut self, number: usize, last: bool, random: &mut SeededRandom) -> EncodedRequest {
        let at = self.began + number as u64 * CALL_MS;
        let is_chat = self.kind == WorkloadKind::Chat;
        if is_chat {
            (self.trace, self.root) = (random.id(at).to_vec(), span_id(random));
            let question = random.text(QUESTION_BYTES);
            self.say("user", question);
        }
        let answer = random.text(ANSWER_BYTES);
        let model_call = self.model_call(&answer, random);
        let mut spans = vec![self.child("ChatCompletion", at, model_call, random)];
        self.say("assistant", answer);
        if !is_chat {
            let (arguments, result) = (
                random.json("query", ARGUMENTS_BYTES),
                random.json("documents", RESULT_BYTES),
            );
            self.new_bytes += arguments.len();
            let call = vec![
                text("openinference.span.kind", "TOOL"),
                text("tool.name", "search_documents"),
                text("input.value", arguments),
                text("input.mime_type", "application/json"),
                text("output.value", result.as_str()),
                text("output.mime_type", "application/json"),
            ];
            spans.push(self.child("search_documents", at + CALL_MS / 2, call, random));
            self.say("tool", result);
        }
        if is_chat || last {
            let began = if is_chat { at } else { self.began };
            let agent = vec![
                text("openinference.span.kind", "AGENT"),
                text("agent.name", "helpdesk-agent"),
                text("session.id", self.session.as_str()),
            ];
            let mut root = span(
                &self.trace,
                "helpdesk-agent",
                began,
                at + CALL_MS - began,
                agent,
            );
            root.span_id.clone_from(&self.root);
            spans.push(root);
        }
        EncodedRequest {
            events: spans.len() as u64,
            encoded: request(spans).encode_to_vec().into(),
        }
    }

    /// The attributes of a call that sends all that was said.
    fn model_call(&self, answer: &str, random: &mut SeededRandom) -> Vec<KeyValue> {
        let messages: Vec<_> = self
            .said
            .iter()
            .map(|(role, content)| json!({"role": role, "content": content}))
            .collect();
        let input = json!({"model": "gpt-5.2", "temperature": 0.2, "messages": messages});
        let output = json!({
            "id": format!("chatcmpl-{:016x}", random.next_u64()),
            "choices": [{"message": {"role": "assistant", "content": answer}}],
        });
        let mut attributes = vec![
            text("openinference.span.kind", "LLM"),
            text("llm.model_name", "gpt-5.2-2026-08-01"),
            text("llm.provider", "openai"),
            text("llm.output_messages.0.message.role", "assistant"),
            text("llm.output_messages.0.message.content", answer),
            count("llm.token_count.prompt", input.to_string().len() as u64 / 4),
            count("llm.token_count.completion", ANSWER_BYTES as u64 / 4),
            text("input.value", input.to_string()),
            text("input.mime_type", "application/json"),
            text("output.value", output.to_string()),
            text("output.mime_type", "application/json"),
            text("session.id", self.session.as_str()),
        ];
        for (number, (role, content)) in self.said.iter().enumerate() {
            let key = |name: &str| format!("llm.input_messages.{number}.message.{name}");
            attributes.push(text(&key("role"), *role));
            attributes.push(text(&key("content"), content.as_str()));
        }
        attributes
    }

    fn child(
        &self,
        name: &str,
        at: u64,
        attributes: Vec<KeyValue>,
        random: &mut SeededRandom,
    ) -> opentelemetry_proto::tonic::trace::v1::Span {
        let mut child = span(&self.trace, name, at, CALL_MS / 4, attributes);
        child.span_id = span_id(random);
        child.parent_span_id.clone_from(&self.root);
        child
    }
}

fn span_id(random: &mut SeededRandom) -> Vec<u8> {
    random.next_u64().to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventBody;
    use crate::ingest::otlp::{MapOptions, map::map_traces};

    fn spec(kind: WorkloadKind, calls: usize) -> HistorySpec {
        HistorySpec {
            kind,
            calls,
            conversations: 3,
            streams: 2,
            seed: 1,
        }
    }

    #[test]
    fn every_call_becomes_a_step_that_holds_all_that_was_said() {
        for (kind, steps) in [(WorkloadKind::History, 2), (WorkloadKind::Chat, 1)] {
            let made = HistoryWorkload::new(&spec(kind, 10));
            let mut inputs = Vec::new();
            for request in made.workload.streams.iter().flatten() {
                let mapped = map_traces(&request.encoded, &MapOptions::default()).unwrap();
                assert_eq!(mapped.refused, []);
                for (_, event) in &mapped.events {
                    if let EventBody::StepEnded(step) = &event.body
                        && let Some(details) = &step.details
                        && let Some(input) = &details.input
                    {
                        inputs.push(input.as_str().len());
                    }
                }
            }
            assert!(inputs.len() >= 3 * 10 * steps, "{kind:?}: {}", inputs.len());
            let longest = inputs.into_iter().max().unwrap();
            assert!(
                longest > made.new_bytes as usize / 3 * 3 / 4,
                "{kind:?}: {longest}"
            );
        }
    }

    #[test]
    fn twice_as_many_calls_say_twice_as_much_and_send_four_times_as_much() {
        let [some, more] =
            [100, 200].map(|n| HistoryWorkload::new(&spec(WorkloadKind::History, n)));
        let ratio = |more: u64, some: u64| more as f64 / some as f64;
        assert!((1.9..2.1).contains(&ratio(more.new_bytes, some.new_bytes)));
        let sent = ratio(more.workload.bytes(), some.workload.bytes());
        assert!((3.5..4.1).contains(&sent), "{sent}");
    }
}
