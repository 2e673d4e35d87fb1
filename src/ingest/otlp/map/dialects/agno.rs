//! agno, as its OpenInference instrumentation writes it.
//!
//! `tool.parameters` has no slot: it holds the arguments in agno, and the
//! schema elsewhere.

use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[("agno.agent", Slot::AgentName, 5)];
