//! Finds the calls whose history the provider keeps.
//!
//! Usually each call repeats the whole conversation. With OpenAI's Responses API
//! and with threads of assistants, a call may have only what is new: the same
//! words in two calls were then said twice.

use sha2::{Digest as _, Sha256};

use super::facts::SpanFacts;
use super::messages::{CallDigest, Conversation};
use super::slots::Slot;
use crate::event::MessageRole;
use crate::ingest::otlp::wire::AnyValue;

/// The field of a request that names what it continues.
const PREVIOUS: &str = "previous_response_id";
/// The prefix of the ids of responses that OpenAI keeps.
const KEPT_RESPONSE: &str = "resp_";
/// The prefixes of the ids of conversations that the provider keeps.
const KEPT_CONVERSATIONS: [&str; 2] = ["conv_", "thread_"];
/// The fewest characters of such an id behind its prefix.
const KEPT_ID_CHARS: usize = 24;

/// The id of the call, if its messages are in no other call.
pub fn only_in_call(facts: &SpanFacts<'_>, conversation: &Conversation) -> Option<CallDigest> {
    let mut turns = conversation
        .input
        .iter()
        .filter(|message| message.role != MessageRole::System);
    let asks = turns.next()?.role != MessageRole::Assistant;
    if !asks || turns.any(|message| message.role == MessageRole::Assistant) {
        return None;
    }
    let has_instructions = conversation
        .input
        .iter()
        .any(|message| message.role == MessageRole::System);
    if !continues(facts) && (has_instructions || !is_kept(facts)) {
        return None;
    }
    let response = facts.text(Slot::ResponseId);
    let span = facts.span.span_id;
    let id = response.as_deref().map_or(span, str::as_bytes);
    Some(Sha256::digest(id).into())
}

/// Whether the call says that it continues a response, or a kept conversation.
fn continues(facts: &SpanFacts<'_>) -> bool {
    let by_attribute = facts.span.attributes.iter().any(|attribute| {
        attribute.key.ends_with(PREVIOUS)
            && matches!(attribute.value, Some(AnyValue::String(id)) if id.contains('_'))
    });
    let session = facts.text(Slot::Session);
    let by_conversation = session.is_some_and(|session| {
        let id = KEPT_CONVERSATIONS
            .iter()
            .find_map(|prefix| session.strip_prefix(prefix));
        // An application's own name for a thread is shorter.
        id.is_some_and(|id| {
            id.len() >= KEPT_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    });
    by_attribute
        || by_conversation
        || [Slot::Parameters, Slot::Input]
            .iter()
            .filter_map(|slot| facts.str(*slot))
            .any(names_previous)
}

/// Whether the JSON of a request or of its parameters names what it continues.
fn names_previous(json: &str) -> bool {
    // `contains` is many times faster than `find`, and few texts have it.
    let Some(at) = json
        .contains(PREVIOUS)
        .then(|| json.find(PREVIOUS))
        .flatten()
    else {
        return false;
    };
    let value = json[at + PREVIOUS.len()..].trim_start_matches(['"', '\'', ':', ' ', '\\']);
    value.starts_with(KEPT_RESPONSE)
}

/// Whether the span is of a client for a conversation whose responses are kept.
/// Frameworks, which repeat the history, have keys of their own.
fn is_kept(facts: &SpanFacts<'_>) -> bool {
    let by_client = facts.key(Slot::Session) == Some("gen_ai.conversation.id")
        && facts.key(Slot::ResponseId) == Some("gen_ai.response.id")
        && facts.key(Slot::InputMessages) == Some("gen_ai.input.messages")
        && !facts.has(Slot::AgentName);
    by_client
        && facts
            .str(Slot::ResponseId)
            .is_some_and(|id| id.starts_with(KEPT_RESPONSE))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::dialects::Dialects;
    use super::super::facts::SpanScope;
    use super::super::scratch::{ParsedAttributes, Scratch};
    use super::*;
    use crate::ingest::otlp::wire::{KeyValue, Span};

    /// What is asked about the conversation of a call with these attributes.
    fn conversation<T>(
        span_id: u8,
        attributes: &[(&str, &str)],
        ask: impl FnOnce(Conversation) -> T,
    ) -> T {
        let pair = |(key, text)| KeyValue {
            key,
            value: Some(AnyValue::String(text)),
        };
        let span_id = [span_id; 8];
        let span = Span {
            span_id: &span_id,
            attributes: attributes.iter().copied().map(pair).collect(),
            ..Span::default()
        };
        let parsed = ParsedAttributes::default();
        let scratch = Scratch::new(&parsed);
        let dialects = Dialects::built_in();
        let facts = SpanFacts::read(&span, SpanScope::new(&dialects, ""), None, &scratch);
        ask(Conversation::read(&facts))
    }

    /// The ids of the messages of a call with these attributes.
    fn ids(span_id: u8, attributes: &[(&str, &str)]) -> Vec<Uuid> {
        let scope = Uuid::from_u128(7);
        conversation(span_id, attributes, |conversation| {
            let identified = conversation.with_ids(scope);
            identified.map(|message| message.id).collect()
        })
    }

    const HI: (&str, &str) = (
        "gen_ai.input.messages",
        r#"[{"role":"user","content":"Hi"}]"#,
    );
    const HELLO: (&str, &str) = (
        "gen_ai.output.messages",
        r#"[{"role":"assistant","content":"Hello"}]"#,
    );
    const SESSION: (&str, &str) = ("gen_ai.conversation.id", "c");

    #[test]
    fn the_same_words_in_a_repeated_history_are_one_message() {
        let repeated = r#"[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"},{"role":"user","content":"Hi"}]"#;
        for response in ["chatcmpl-1", "resp_1"] {
            let response = ("gen_ai.response.id", response);
            let mode = ("gen_ai.operation.name", "chat");
            let history = ids(
                2,
                &[("gen_ai.input.messages", repeated), SESSION, response, mode],
            );
            assert_ne!(history[0], history[2]);
            if response.1.starts_with("chatcmpl") {
                let first = ids(1, &[HI, HELLO, SESSION, response]);
                assert_eq!(first, history[..2]);
            }
        }
    }

    #[test]
    fn the_same_words_are_new_if_the_provider_keeps_the_history() {
        let previous = ("gen_ai.request.previous_response_id", "resp_0");
        let parameters = (
            "llm.invocation_parameters",
            r#"{"model": "m", "previous_response_id": "resp_0"}"#,
        );
        let conversation = (
            "gen_ai.conversation.id",
            "conv_68e9f1b2c3d4e5f60718293a4b5c6d7e",
        );
        for evidence in [previous, parameters, conversation] {
            let one = ids(1, &[HI, HELLO, evidence]);
            assert_eq!(one, ids(1, &[HI, HELLO, evidence]));
            assert!(
                ids(2, &[HI, HELLO, evidence])
                    .iter()
                    .all(|id| !one.contains(id)),
                "{evidence:?}"
            );
        }
        let call = |response| ids(1, &[HI, HELLO, SESSION, ("gen_ai.response.id", response)]);
        assert!(call("resp_1").iter().all(|id| !call("resp_2").contains(id)));
        // All views of one call name its response.
        assert_eq!(
            call("resp_1"),
            ids(9, &[HI, HELLO, SESSION, ("gen_ai.response.id", "resp_1")])
        );
    }

    #[test]
    fn the_messages_of_a_call_do_not_repeat_its_long_id() {
        let long = "a".repeat(1 << 20);
        let previous = ("gen_ai.request.previous_response_id", "resp_0");
        let with_id = |end: &str| {
            let id = format!("{long}{end}");
            let attributes = [HI, HELLO, previous, ("gen_ai.response.id", &*id)];
            let call = conversation(1, &attributes, |it| it.only_in_call.unwrap());
            assert!(call.len() <= 32);
            ids(1, &attributes)
        };
        assert_eq!(with_id("b"), with_id("b"));
        assert!(with_id("b").iter().all(|id| !with_id("c").contains(id)));
    }

    #[test]
    fn calls_of_frameworks_and_names_of_applications_are_no_evidence() {
        let plain = ids(1, &[HI, HELLO]);
        for other in [
            ("gen_ai.agent.name", "a"),
            ("session.id", "thread_1"),
            (
                "llm.invocation_parameters",
                r#"{"previous_response_id": null}"#,
            ),
            ("gen_ai.request.previous_response_id", ""),
        ] {
            let response = ("gen_ai.response.id", "resp_1");
            let mut attributes = vec![HI, HELLO, other, response];
            if other.0 == "gen_ai.agent.name" {
                attributes.push(SESSION);
            }
            assert_eq!(ids(2, &attributes), plain, "{other:?}");
        }
    }
}
