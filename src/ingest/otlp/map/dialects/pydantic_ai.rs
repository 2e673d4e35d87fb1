//! Pydantic AI: its own older keys. It also writes those of the GenAI conventions.
//!
//! Source: pydantic/pydantic-ai, `models/instrumented.py`.

use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("agent_name", Slot::AgentName, 4),
    ("model_name", Slot::RequestModel, 5),
    ("pydantic_ai.all_messages", Slot::InputMessages, 6),
    ("all_messages_events", Slot::InputMessages, 7),
    ("final_result", Slot::Output, 5),
    ("tool_arguments", Slot::ToolArguments, 2),
    ("tool_response", Slot::ToolResult, 2),
];
