//! The Anthropic client's own spans (2.12 and later): the request as HTTP sees
//! it, with usage and without texts. Where an instrumentation traces the same
//! call, this is its poorer view; they share the response's id.

use crate::ingest::otlp::map::facts::Facts;
use crate::ingest::otlp::map::slots::Key;

pub const KEYS: &[Key] = &[];

/// Its instrumentation scopes, one a language.
pub const SCOPE_PREFIX: &str = "com.anthropic.sdk";

/// Whether the other view of a call without a parent is in another trace. The
/// instrumentations do not make their span the current one, so the client's
/// span is not below it: OpenLLMetry's never, OpenInference's not for streams.
pub fn is_told_apart(facts: &Facts<'_>) -> bool {
    facts.scope.starts_with(SCOPE_PREFIX)
        || facts.scope == "opentelemetry.instrumentation.anthropic"
        || (facts.scope == "openinference.instrumentation.anthropic"
            && facts.span.name == "messages.stream")
}
