//! The spans of the Anthropic client itself (2.12 and later).
//!
//! They show the request as HTTP sees it, with usage and without texts. If an
//! instrumentation traces the same call, its span says more; both spans have
//! the id of the response.

use crate::ingest::otlp::map::slots::AttributeKey;

pub const KEYS: &[AttributeKey] = &[];

/// The prefix of the client's instrumentation scopes, one per language.
pub const SCOPE_PREFIX: &str = "com.anthropic.sdk";

/// Whether the other span of the same call is in another trace, given that this
/// span has no parent.
///
/// Some instrumentations do not make their span the current one, so the
/// client's span is not below it: OpenLLMetry never does, OpenInference does
/// not for streams.
pub fn is_traced_separately(scope: &str, span_name: &str) -> bool {
    scope.starts_with(SCOPE_PREFIX)
        || scope == "opentelemetry.instrumentation.anthropic"
        || (scope == "openinference.instrumentation.anthropic" && span_name == "messages.stream")
}
