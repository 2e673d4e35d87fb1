//! The Anthropic client's own spans (2.12 and later): the request as HTTP sees
//! it, with usage and without texts. Where an instrumentation traces the same
//! call, this is its poorer view; they share the response's id.

use crate::ingest::otlp::map::slots::Key;

pub const KEYS: &[Key] = &[];

/// Its instrumentation scopes, one a language.
pub const SCOPE_PREFIX: &str = "com.anthropic.sdk";
