//! Derives ids from the content of spans, so that every daemon makes the same
//! ids at any time.
//!
//! The ids are UUIDs of version 8 (RFC 9562, 5.8). The first 48 bits are those
//! of the trace or session that the id belongs to, the rest is from a SHA-256.
//! So the rows of one trace are neighbours in every index, as with UUIDv7,
//! although the ids are not in order of time.
//!
//! Trace and span ids are random, but tenants may use the same id for a
//! conversation or a response. Ids that are derived from such an id also depend
//! on the tenant.

use sha2::{Digest as _, Sha256};
use uuid::{NonNilUuid, Uuid};

/// The source of a derived id. Sources of different kinds never give the same id.
#[derive(Clone, Copy, Debug)]
pub enum IdSource<'a> {
    /// A span, by its id.
    Span(&'a [u8]),
    /// A model call, by the id of its response.
    Response(&'a str),
    /// A tool call, by the id that the model gave it.
    ToolCall(&'a str),
    /// The token count of a step, by the id of the step.
    Tokens(Uuid),
    /// A score, by its content.
    Score(&'a [u8]),
    /// A message, by its content and the number of equal messages before it.
    Message(&'a [u8], u32),
}

/// The run of a trace: the trace id as a UUID. `None` if it is not 16 bytes or
/// is all zeros.
pub fn run_of_trace(trace_id: &[u8]) -> Option<Uuid> {
    let bytes: [u8; 16] = trace_id.try_into().ok()?;
    (bytes != [0; 16]).then(|| Uuid::from_bytes(bytes))
}

/// The run of a call that two traces describe, derived from the id of its response.
pub fn run_of_call(response_id: &str, tenant: Option<NonNilUuid>) -> Uuid {
    let mut hash = tenant_hash(tenant);
    hash.update(b"call\0");
    hash.update(response_id.as_bytes());
    let digest = hash.clone().finalize();
    prefixed_uuid(&digest[16..], hash)
}

/// An id derived from a source within a run or session.
pub fn derived(scope: Uuid, named: IdSource<'_>) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(scope.as_bytes());
    let (tokens, said_before);
    let (word, bytes, more): (&[u8], &[u8], &[u8]) = match named {
        IdSource::Span(id) => (b"span", id, b""),
        IdSource::Response(id) => (b"response", id.as_bytes(), b""),
        IdSource::ToolCall(id) => (b"tool_call", id.as_bytes(), b""),
        IdSource::Tokens(step) => {
            tokens = step;
            (b"tokens", tokens.as_bytes(), b"")
        }
        IdSource::Score(content) => (b"score", content, b""),
        IdSource::Message(content, before) => {
            said_before = before.to_be_bytes();
            (b"message", content, &said_before)
        }
    };
    hash.update(word);
    hash.update([0]);
    hash.update(bytes);
    hash.update(more);
    prefixed_uuid(scope.as_bytes(), hash)
}

/// The id of a session, and whether it is the source's own id. An id of the
/// source that is a UUID is used as it is; from any other, an id is derived.
pub fn session_of_source_id(external: &str, tenant: Option<NonNilUuid>) -> (Uuid, bool) {
    if let Ok(id) = Uuid::try_parse(external) {
        return (id, true);
    }
    let mut hash = tenant_hash(tenant);
    hash.update(b"session\0");
    hash.update(external.as_bytes());
    let digest = hash.clone().finalize();
    (prefixed_uuid(&digest[16..], hash), false)
}

/// Starts the hash of an id that depends on the tenant.
fn tenant_hash(tenant: Option<NonNilUuid>) -> Sha256 {
    let mut hash = Sha256::new();
    if let Some(tenant) = tenant {
        hash.update(b"customer\0");
        hash.update(tenant.get().as_bytes());
    }
    hash
}

/// The bytes at the start of an id that are those of its trace or session.
const PREFIX_BYTES: usize = 6;

fn prefixed_uuid(prefix: &[u8], hash: Sha256) -> Uuid {
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[..PREFIX_BYTES].copy_from_slice(&prefix[..PREFIX_BYTES]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_change() {
        // Databases contain these ids: a change would duplicate every row.
        let trace = run_of_trace(&[7; 16]).unwrap();
        let step = derived(trace, IdSource::Span(&[1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(step.to_string(), "07070707-0707-8a44-be68-b34f3b019210");
        assert_eq!(step.get_version_num(), 8);
        let message = derived(trace, IdSource::Message(b"a", 1));
        assert_eq!(message.to_string(), "07070707-0707-8b2b-b39c-ffae5c322aeb");
        let (session, own) = session_of_source_id("thread-1", None);
        assert_eq!(session.get_version_num(), 8);
        assert!(!own);
    }

    #[test]
    fn kinds_and_scopes_never_share_an_id() {
        let trace = run_of_trace(&[7; 16]).unwrap();
        let other = run_of_trace(&[8; 16]).unwrap();
        let ids = [
            derived(trace, IdSource::Response("a")),
            derived(trace, IdSource::ToolCall("a")),
            derived(trace, IdSource::Span(b"a")),
            derived(trace, IdSource::Message(b"a", 0)),
            derived(trace, IdSource::Score(b"a")),
            derived(other, IdSource::Response("a")),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn a_call_and_a_session_with_one_source_id_differ() {
        assert_ne!(
            run_of_call("msg_1", None),
            session_of_source_id("msg_1", None).0
        );
        assert_eq!(run_of_call("msg_1", None).get_version_num(), 8);
    }

    #[test]
    fn a_session_id_that_is_a_uuid_is_kept() {
        let id = "0194bb0a-0000-7000-8000-000000000001";
        assert_eq!(
            session_of_source_id(id, None),
            (Uuid::parse_str(id).unwrap(), true)
        );
    }

    #[test]
    fn equal_source_ids_of_two_tenants_give_different_ids() {
        let tenants = [0, 1, 2].map(|id| NonNilUuid::new(Uuid::from_u128(id)));
        let mut ids: Vec<Uuid> = tenants
            .map(|t| session_of_source_id("thread-1", t).0)
            .into();
        ids.extend(tenants.map(|t| run_of_call("thread-1", t)));
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 6);
        // The prefixes differ too, so that the rows are apart in every index.
        assert_ne!(ids[1].as_bytes()[..6], ids[2].as_bytes()[..6]);
    }

    #[test]
    fn an_invalid_trace_id_has_no_run() {
        assert_eq!(run_of_trace(&[0; 16]), None);
        assert_eq!(run_of_trace(&[1; 8]), None);
    }
}
