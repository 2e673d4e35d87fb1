//! Google's Agent Development Kit: its own keys beside the conventions'
//! (schema 2), and those of schema 1.
//!
//! Source: google/adk-python, `src/google/adk/telemetry.py`.

use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    ("gcp.vertex.agent.session_id", Slot::Session, 17),
    ("gcp.vertex.agent.llm_request", Slot::Input, 5),
    ("gcp.vertex.agent.llm_response", Slot::Output, 7),
    ("gcp.vertex.agent.tool_call_args", Slot::ToolArguments, 5),
    ("gcp.vertex.agent.tool_response", Slot::ToolResult, 5),
];

/// The tool by which one agent hands over to another.
pub const TRANSFER_TOOL: &str = "transfer_to_agent";

/// One span stands for several tool calls that ran side by side; each has a
/// span of its own as well.
pub fn is_merged_tool(name: &str) -> bool {
    name == "execute_tool (merged)" || name == "execute_tool (merged tools)"
}
