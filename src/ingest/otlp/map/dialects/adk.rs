//! Google's Agent Development Kit: its own keys in schema 1 and, besides the
//! keys of the GenAI conventions, in schema 2.
//!
//! Source: google/adk-python, `src/google/adk/telemetry.py`.

use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("gcp.vertex.agent.session_id", Slot::Session, 17),
    ("gcp.vertex.agent.llm_request", Slot::Input, 5),
    ("gcp.vertex.agent.llm_response", Slot::Output, 7),
    ("gcp.vertex.agent.tool_call_args", Slot::ToolArguments, 5),
    ("gcp.vertex.agent.tool_response", Slot::ToolResult, 5),
];

/// The tool that an agent calls to hand over to another agent.
pub const TRANSFER_TOOL: &str = "transfer_to_agent";

/// Whether a span merges several tool calls that ran in parallel. Each call has
/// a span of its own as well.
pub fn is_merged_tool(name: &str) -> bool {
    name == "execute_tool (merged)" || name == "execute_tool (merged tools)"
}
