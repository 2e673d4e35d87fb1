//! agno, as its OpenInference instrumentation writes it: `tool.parameters`
//! holds the arguments here, and the schema elsewhere.

use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[("agno.agent", Slot::AgentName, 5)];
