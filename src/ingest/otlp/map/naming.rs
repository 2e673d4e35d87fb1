//! The names of steps, agents and models.

use super::class::SpanClass;
use super::facts::SpanFacts;
use super::observations::rank;
use super::slots::Slot;
use super::tool;
use crate::event::StepType;

/// The value of `agent_steps.step_type`.
pub fn step_type(class: SpanClass) -> StepType {
    match class {
        SpanClass::Llm | SpanClass::Embedding => StepType::LlmCall,
        SpanClass::Tool => StepType::ToolCall,
        SpanClass::Agent | SpanClass::Transfer => StepType::Handoff,
        SpanClass::Workflow | SpanClass::Other | SpanClass::Foreign | SpanClass::Ghost => {
            StepType::Other
        }
    }
}

/// The agent of the run and its rank, if this span names one.
pub fn agent_name(facts: &SpanFacts<'_>, class: SpanClass, root: bool) -> Option<(i32, String)> {
    let named = facts.text(Slot::AgentName).map(String::from);
    match class {
        SpanClass::Agent => Some(match named {
            Some(name) => (rank::DIRECT, name),
            None if facts.ruled.weak_name => (rank::WORKFLOW, step_name(facts, class)),
            None => (rank::AGENT, step_name(facts, class)),
        }),
        _ => named.map(|name| (rank::CALL, name)).or_else(|| {
            let workflow = facts.text(Slot::WorkflowName).map(String::from)?;
            root.then_some((rank::WORKFLOW, workflow))
        }),
    }
}

/// The name of the step: that of its tool, agent or workflow, else a display
/// name, else the span's name without a generic prefix or suffix.
pub fn step_name(facts: &SpanFacts<'_>, class: SpanClass) -> String {
    let span = facts.span.name;
    let stated = match class {
        SpanClass::Tool => {
            let own = facts
                .text(Slot::ToolName)
                .or_else(|| facts.text(Slot::EntityName));
            own.or_else(|| tool::tool_name_of_call_node(facts).map(Into::into))
        }
        SpanClass::Agent => facts
            .text(Slot::AgentName)
            .or_else(|| facts.text(Slot::EntityName)),
        SpanClass::Transfer => facts.text(Slot::Target),
        SpanClass::Workflow => facts
            .text(Slot::WorkflowName)
            .or_else(|| facts.text(Slot::EntityName)),
        _ => None,
    };
    let stated = stated.or_else(|| facts.text(Slot::DisplayName));
    let bare = facts.dialects.bare_name(class, span);
    stated.map_or_else(|| bare.unwrap_or(span).to_owned(), Into::into)
}

/// The model that answered, else the model that was requested.
pub fn model_name(facts: &SpanFacts<'_>) -> Option<String> {
    [Slot::ResponseModel, Slot::RequestModel]
        .iter()
        .find_map(|slot| facts.text(*slot).filter(|name| !is_placeholder(name)))
        .map(String::from)
}

/// Whether a name says that there is none. Some SDKs write every attribute.
fn is_placeholder(name: &str) -> bool {
    const WORDS: [&str; 5] = ["none", "null", "undefined", "unknown", "n/a"];
    WORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
}
