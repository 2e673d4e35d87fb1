//! Ids that follow from what a span says of itself, so that every daemon makes
//! the same ones at any time.
//!
//! They are UUIDs of version 8 (RFC 9562, 5.8): the first 48 bits are those of
//! the trace (or session) they belong to, the rest a SHA-256 of what is named.
//! What follows from names that others may use too (a conversation's, a response's),
//! and not from random trace and span ids alone, follows from the customer as well
//! whose key the span came with: what two customers call alike is not one thing.
//!
//! So the rows of one trace lie side by side in every index, as those of
//! UUIDv7 ids do, though the ids could not be ordered by time.

use sha2::{Digest as _, Sha256};
use uuid::{NonNilUuid, Uuid};

/// What an id names. The word keeps the kinds apart.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// A span, by its id.
    Span(&'a [u8]),
    /// A call of a model, by the id of its response.
    Response(&'a str),
    /// A call of a tool, by the id that the model gave it.
    ToolCall(&'a str),
    /// The tokens of a step.
    Tokens(Uuid),
    /// A message, by its content and how often the same was said before.
    Message(&'a [u8], u32),
}

/// The run of a trace: its 16 bytes.
pub fn run(trace_id: &[u8]) -> Option<Uuid> {
    let bytes: [u8; 16] = trace_id.try_into().ok()?;
    (bytes != [0; 16]).then(|| Uuid::from_bytes(bytes))
}

/// The run of a call that is told in two traces, by the id of its response.
pub fn call(response_id: &str, tenant: Option<NonNilUuid>) -> Uuid {
    let mut hash = named_by(tenant);
    hash.update(b"call\0");
    hash.update(response_id.as_bytes());
    let digest = hash.clone().finalize();
    finish(&digest[16..], hash)
}

/// What is named, within a run or session.
pub fn within(scope: Uuid, named: Named<'_>) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(scope.as_bytes());
    let (tokens, said_before);
    let (word, bytes, more): (&[u8], &[u8], &[u8]) = match named {
        Named::Span(id) => (b"span", id, b""),
        Named::Response(id) => (b"response", id.as_bytes(), b""),
        Named::ToolCall(id) => (b"tool_call", id.as_bytes(), b""),
        Named::Tokens(step) => {
            tokens = step;
            (b"tokens", tokens.as_bytes(), b"")
        }
        Named::Message(content, before) => {
            said_before = before.to_be_bytes();
            (b"message", content, &said_before)
        }
    };
    hash.update(word);
    hash.update([0]);
    hash.update(bytes);
    hash.update(more);
    finish(scope.as_bytes(), hash)
}

/// A session, by the source's own id: itself where that is a UUID, else one
/// that follows from it.
pub fn session(external: &str, tenant: Option<NonNilUuid>) -> (Uuid, bool) {
    if let Ok(id) = Uuid::try_parse(external) {
        return (id, true);
    }
    let mut hash = named_by(tenant);
    hash.update(b"session\0");
    hash.update(external.as_bytes());
    let digest = hash.clone().finalize();
    (finish(&digest[16..], hash), false)
}

/// The beginning of what is named by a customer of its own.
fn named_by(tenant: Option<NonNilUuid>) -> Sha256 {
    let mut hash = Sha256::new();
    if let Some(tenant) = tenant {
        hash.update(b"customer\0");
        hash.update(tenant.get().as_bytes());
    }
    hash
}

fn finish(prefix: &[u8], hash: Sha256) -> Uuid {
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[..6].copy_from_slice(&prefix[..6]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_what_they_are() {
        // Rows in databases have them: a change here makes duplicates of all.
        let trace = run(&[7; 16]).unwrap();
        let step = within(trace, Named::Span(&[1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(step.to_string(), "07070707-0707-8a44-be68-b34f3b019210");
        assert_eq!(step.get_version_num(), 8);
        let message = within(trace, Named::Message(b"a", 1));
        assert_eq!(message.to_string(), "07070707-0707-8b2b-b39c-ffae5c322aeb");
        let (session, own) = session("thread-1", None);
        assert_eq!(session.get_version_num(), 8);
        assert!(!own);
    }

    #[test]
    fn kinds_and_scopes_do_not_meet() {
        let trace = run(&[7; 16]).unwrap();
        let other = run(&[8; 16]).unwrap();
        let ids = [
            within(trace, Named::Response("a")),
            within(trace, Named::ToolCall("a")),
            within(trace, Named::Span(b"a")),
            within(trace, Named::Message(b"a", 0)),
            within(other, Named::Response("a")),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn a_call_and_a_session_of_one_name_do_not_meet() {
        assert_ne!(call("msg_1", None), session("msg_1", None).0);
        assert_eq!(call("msg_1", None).get_version_num(), 8);
    }

    #[test]
    fn a_session_that_is_a_uuid_is_itself() {
        let id = "0194bb0a-0000-7000-8000-000000000001";
        assert_eq!(session(id, None), (Uuid::parse_str(id).unwrap(), true));
    }

    #[test]
    fn what_two_customers_call_alike_is_not_one_thing() {
        let tenants = [0, 1, 2].map(|id| NonNilUuid::new(Uuid::from_u128(id)));
        let mut ids: Vec<Uuid> = tenants.map(|t| session("thread-1", t).0).into();
        ids.extend(tenants.map(|t| call("thread-1", t)));
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 6);
        // Their first halves too: they are to lie apart.
        assert_ne!(ids[1].as_bytes()[..6], ids[2].as_bytes()[..6]);
    }

    #[test]
    fn no_trace_is_all_zeros() {
        assert_eq!(run(&[0; 16]), None);
        assert_eq!(run(&[1; 8]), None);
    }
}
