//! Logfire: the conventions' keys, and its own for how a span is shown.
//!
//! Source: pydantic/logfire, `logfire/_internal/constants.py`.

use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    // The span's name is a template; this is what a person is meant to read.
    ("logfire.msg", Slot::DisplayName, 0),
    ("gen_ai.usage.raw", Slot::UsageJson, 6),
];
