//! What things are called: the step, the agent, the model.

use super::class::Class;
use super::dialects::openinference;
use super::facts::Facts;
use super::run::rank;
use super::slots::Slot;
use super::tool;
use crate::event::StepType;

/// `agent_steps.step_type`.
pub fn step_type(class: Class) -> StepType {
    match class {
        Class::Llm | Class::Embedding => StepType::LlmCall,
        Class::Tool => StepType::ToolCall,
        Class::Agent | Class::Transfer => StepType::Handoff,
        Class::Workflow | Class::Other | Class::Foreign => StepType::Other,
    }
}

/// The agent of the run, as far as this span knows it.
pub fn agent(facts: &Facts<'_>, class: Class, root: bool) -> Option<(i32, String)> {
    let named = facts.text(Slot::AgentName).map(String::from);
    match class {
        Class::Agent => Some(match named.or_else(|| facts.meta_text("lc_agent_name")) {
            Some(name) => (rank::OUTRIGHT, name),
            // LlamaIndex's spans are called by the class.
            None if facts.span.name.ends_with(".run") => (rank::WORKFLOW, name(facts, class)),
            None => (rank::AGENT, name(facts, class)),
        }),
        _ => {
            let hinted = named
                .or_else(|| facts.meta_text("lc_agent_name"))
                .or_else(|| openinference::llama_index_agent(facts).map(str::to_owned))
                .map(|name| (rank::CALL, name));
            hinted.or_else(|| {
                let workflow = facts.text(Slot::WorkflowName).map(String::from)?;
                root.then_some((rank::WORKFLOW, workflow))
            })
        }
    }
}

/// The step's name: the tool, the agent, what a person is meant to read.
pub fn name(facts: &Facts<'_>, class: Class) -> String {
    let span = facts.span.name;
    let told = match class {
        Class::Tool => {
            let own = facts
                .text(Slot::ToolName)
                .or_else(|| facts.text(Slot::EntityName));
            own.or_else(|| tool::name_in_node(facts).map(Into::into))
        }
        Class::Agent => {
            let own = facts
                .text(Slot::AgentName)
                .or_else(|| facts.text(Slot::EntityName));
            own.or_else(|| facts.meta_text("lc_agent_name").map(Into::into))
        }
        Class::Transfer => transfer_target(facts).map(Into::into),
        Class::Workflow => facts
            .text(Slot::WorkflowName)
            .or_else(|| facts.text(Slot::EntityName)),
        _ => None,
    };
    let told = told.or_else(|| facts.text(Slot::DisplayName));
    let bare = match class {
        Class::Agent => span
            .strip_prefix("invoke_agent ")
            .or_else(|| span.strip_suffix(".agent")),
        Class::Tool => span
            .strip_prefix("execute_tool ")
            .or_else(|| span.strip_suffix(".tool")),
        _ => None,
    };
    told.map_or_else(|| bare.unwrap_or(span).to_owned(), Into::into)
}

/// The agent that work is handed to.
pub fn transfer_target(facts: &Facts<'_>) -> Option<String> {
    let told = openinference::transfer_target(facts).map(str::to_owned);
    told.or_else(|| {
        let arguments = facts.json(Slot::ToolArguments)?;
        arguments.get("agent_name")?.as_str().map(str::to_owned)
    })
}

/// The model that answered, else the one that was asked.
pub fn model(facts: &Facts<'_>) -> Option<String> {
    let told = [Slot::ResponseModel, Slot::RequestModel]
        .iter()
        .find_map(|slot| facts.text(*slot));
    told.map(String::from).or_else(|| {
        let parameters = facts.json(Slot::Parameters)?;
        parameters.get("model")?.as_str().map(str::to_owned)
    })
}
