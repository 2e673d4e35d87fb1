//! Spans that only build, announce or serve. They make no run of their own.
//!
//! Such a span becomes an alias: work below it makes a run as ever, which the
//! span then ends if it is the root.

use super::facts::SpanFacts;
use super::value;
use crate::ingest::otlp::wire::Span;

/// Why a span makes no run, as the reason for metrics. `None` for all others.
/// Which spans only announce something is data: the dialects say so.
pub fn reason(facts: &SpanFacts<'_>) -> Option<&'static str> {
    if facts.has_parent() {
        return None;
    }
    without_caller(facts)
}

/// A request to a tool server that names no caller, and requests that no agent
/// has to make, such as a list of tools.
fn without_caller(facts: &SpanFacts<'_>) -> Option<&'static str> {
    let stated = word(facts, "mcp.method.name").or_else(|| word(facts, "mcp.method"));
    let serves = facts.span.kind == Span::KIND_SERVER;
    let is_ghost = match stated {
        Some(method) => serves || method != "tools/call",
        None => is_mcp_scope(facts.scope) && (serves || is_protocol(facts.span.name)),
    };
    is_ghost.then_some("tool_server")
}

fn is_mcp_scope(scope: &str) -> bool {
    let mut words = scope.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| matches!(word, "mcp" | "fastmcp" | "ModelContextProtocol"))
}

/// Whether a span's name is a request of the protocol that calls no tool.
fn is_protocol(name: &str) -> bool {
    let method = name.split([' ', '.']).next().unwrap_or_default();
    matches!(method, "initialize" | "ping")
        || method.starts_with("notifications/")
        || method.ends_with("/list")
}

/// The text of an attribute that fills no slot.
fn word(facts: &SpanFacts<'_>, key: &str) -> Option<String> {
    let attributes = &facts.span.attributes;
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(value::text(found.value.as_ref()?).to_lowercase())
}
