//! The sections in which DSPy writes the fields of a signature:
//! `[[ ## answer ## ]]`, a line break, and the value.

use super::calls::plain_tool_name;
use super::message::{ChatMessage, ToolCall};
use crate::event::MessageRole;
use crate::ingest::otlp::map::value;

const OPEN: &str = "[[ ## ";
const CLOSE: &str = " ## ]]";
/// What DSPy appends to every question.
const INSTRUCTIONS: &str = "Respond with the corresponding output fields";

/// Replaces the sections of a message by what they say: the value of the only
/// field, or each field with its name. Reasoning and the tool that an agent chose
/// get their own places.
pub fn read_sections(message: &mut ChatMessage) {
    if message.role == MessageRole::System || !message.text.trim_start().starts_with(OPEN) {
        return;
    }
    let text = std::mem::take(&mut message.text);
    let question = message.role == MessageRole::User;
    let (mut fields, mut tool, mut arguments) = (Vec::new(), None, None);
    let end = question.then(|| text.rfind(INSTRUCTIONS)).flatten();
    for section in text[..end.unwrap_or(text.len())].split(OPEN).skip(1) {
        let Some((name, value)) = section.split_once(CLOSE) else {
            continue;
        };
        let value = value.trim();
        match name.trim() {
            "completed" => {}
            // The calls so far, which have messages of their own.
            "trajectory" | "history" if question => {}
            "reasoning" | "rationale" | "next_thought" => message.thinking.push_str(value),
            "next_tool_name" => tool = Some(value),
            "next_tool_args" => arguments = Some(value),
            name => fields.push((name, value)),
        }
    }
    if let Some(tool) = tool.filter(|tool| *tool != "finish") {
        message.calls.push(ToolCall {
            id: None,
            name: plain_tool_name(tool).to_owned(),
            arguments: arguments.map_or_else(|| serde_json::json!({}), value::parse),
        });
    }
    message.text = match fields.as_slice() {
        [(_, value)] => (*value).to_owned(),
        fields => {
            let lines = fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}"));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    if message.is_empty() {
        message.text = text;
    }
}
