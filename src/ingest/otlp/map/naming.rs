//! The names of steps, agents and models.

use super::class::SpanClass;
use super::dialects::openinference_rules;
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
        SpanClass::Workflow | SpanClass::Other | SpanClass::Foreign => StepType::Other,
    }
}

/// The agent of the run and its rank, if this span names one.
pub fn agent_name(facts: &SpanFacts<'_>, class: SpanClass, root: bool) -> Option<(i32, String)> {
    let named = facts.text(Slot::AgentName).map(String::from);
    match class {
        SpanClass::Agent => Some(
            match named.or_else(|| facts.metadata_text("lc_agent_name")) {
                Some(name) => (rank::DIRECT, name),
                // LlamaIndex names these spans after the class of the agent.
                None if facts.span.name.ends_with(".run") => {
                    (rank::WORKFLOW, step_name(facts, class))
                }
                None => (rank::AGENT, step_name(facts, class)),
            },
        ),
        _ => {
            let hinted = named
                .or_else(|| facts.metadata_text("lc_agent_name"))
                .or_else(|| openinference_rules::llama_index_agent(facts).map(str::to_owned))
                .map(|name| (rank::CALL, name));
            hinted.or_else(|| {
                let workflow = facts.text(Slot::WorkflowName).map(String::from)?;
                root.then_some((rank::WORKFLOW, workflow))
            })
        }
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
        SpanClass::Agent => {
            let own = facts
                .text(Slot::AgentName)
                .or_else(|| facts.text(Slot::EntityName));
            own.or_else(|| facts.metadata_text("lc_agent_name").map(Into::into))
        }
        SpanClass::Transfer => transfer_target(facts).map(Into::into),
        SpanClass::Workflow => facts
            .text(Slot::WorkflowName)
            .or_else(|| facts.text(Slot::EntityName)),
        _ => None,
    };
    let stated = stated.or_else(|| facts.text(Slot::DisplayName));
    let bare = match class {
        SpanClass::Agent => span
            .strip_prefix("invoke_agent ")
            .or_else(|| span.strip_suffix(".agent")),
        SpanClass::Tool => span
            .strip_prefix("execute_tool ")
            .or_else(|| span.strip_suffix(".tool")),
        _ => None,
    };
    stated.map_or_else(|| bare.unwrap_or(span).to_owned(), Into::into)
}

/// The target agent of a handoff.
pub fn transfer_target(facts: &SpanFacts<'_>) -> Option<String> {
    let stated = openinference_rules::transfer_target(facts).map(str::to_owned);
    stated.or_else(|| {
        let arguments = facts.json(Slot::ToolArguments)?;
        arguments.get("agent_name")?.as_str().map(str::to_owned)
    })
}

/// The model that answered, else the model that was requested.
pub fn model_name(facts: &SpanFacts<'_>) -> Option<String> {
    let stated = [Slot::ResponseModel, Slot::RequestModel]
        .iter()
        .find_map(|slot| facts.text(*slot));
    stated.map(String::from).or_else(|| {
        let parameters = facts.json(Slot::Parameters)?;
        parameters.get("model")?.as_str().map(str::to_owned)
    })
}
