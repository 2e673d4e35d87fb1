//! Logfire: its own keys for showing spans. It also writes the keys of the
//! GenAI conventions.
//!
//! Source: pydantic/logfire, `logfire/_internal/constants.py`.

use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    // The span's name is a template; this is the text for people.
    ("logfire.msg", Slot::DisplayName, 0),
    ("logfire.tags", Slot::Tags, 4),
    ("gen_ai.usage.raw", Slot::UsageJson, 6),
];
