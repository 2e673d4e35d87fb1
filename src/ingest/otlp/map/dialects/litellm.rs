//! litellm's `otel` callback.
//!
//! Source: BerriAI/litellm, `litellm/integrations/opentelemetry.py`.

use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("metadata.usage_object", Slot::UsageJson, 8),
    ("llm.user", Slot::User, 9),
    ("metadata.session_id", Slot::Session, 18),
];

/// The name of the child span that repeats the request in the provider's format.
pub const RAW_REQUEST: &str = "raw_gen_ai_request";
