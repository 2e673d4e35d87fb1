//! The meaning of an attribute, independent of the dialect that wrote it.
//!
//! The files of the dialects map keys to [`Slot`]s. If several keys of a span
//! fill the same slot (an SDK's own key and that of the conventions), the key
//! with the lowest preference number wins.

/// Defines [`Slot`] with the name that dialect files use.
macro_rules! slots {
    ($($slot:ident $name:literal,)*) => {
        /// A fact about a span that an attribute can state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // the names in dialect files show their meaning
        pub enum Slot { $($slot,)* }

        impl Slot {
            /// All slots, in the order of their values.
            pub const ALL: [Self; [$(Self::$slot),*].len()] = [$(Self::$slot),*];

            /// The name in dialect files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$slot => $name,)* }
            }
        }
    };
}

slots! {
    // Who does the work.
    AgentName "agent_name",
    WorkflowName "workflow_name",
    EntityName "entity_name",
    DisplayName "display_name",
    RunName "run_name",
    Session "session",
    User "user",
    Customer "customer",
    Tags "tags",
    // Model calls.
    RequestModel "request_model",
    ResponseModel "response_model",
    Parameters "parameters",
    ResponseId "response_id",
    InputMessages "input_messages",
    OutputMessages "output_messages",
    SystemInstructions "system_instructions",
    Prompt "prompt",
    Input "input",
    InputMime "input_mime",
    Output "output",
    OutputMime "output_mime",
    ResponseText "response_text",
    ResponseToolCalls "response_tool_calls",
    ResponseReasoning "response_reasoning",
    FinishReason "finish_reason",
    // Tools and handoffs.
    ToolName "tool_name",
    ToolCallId "tool_call_id",
    ToolArguments "tool_arguments",
    ToolResult "tool_result",
    Target "target",
    // Tokens and money.
    UsageInput "usage_input",
    UsageOutput "usage_output",
    UsageTotal "usage_total",
    UsageCacheRead "usage_cache_read",
    UsageCacheWrite "usage_cache_write",
    UsageReasoning "usage_reasoning",
    UsageJson "usage",
    ProviderUsage "provider_usage",
    Cost "cost",
    // How it ended.
    Status "status",
    Level "level",
    ErrorType "error_type",
    ErrorMessage "error_message",
    StatusMessage "status_message",
    // LangChain and LangGraph.
    Metadata "metadata",
    GraphNode "graph_node",
    GraphPath "graph_path",
    Integration "integration",
}

impl Slot {
    /// The number of slots.
    pub const COUNT: usize = Self::ALL.len();

    /// The slot of a name in a dialect file.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }

    /// Whether the attribute is also kept in the step's metadata. The mapping
    /// normalizes these values, and the original must stay visible.
    pub fn keeps_raw_attribute(self) -> bool {
        matches!(
            self,
            Self::UsageInput
                | Self::UsageOutput
                | Self::UsageTotal
                | Self::UsageCacheRead
                | Self::UsageCacheWrite
                | Self::UsageReasoning
                | Self::UsageJson
                | Self::ProviderUsage
                | Self::Cost
                | Self::RequestModel
                | Self::ResponseId
                | Self::ToolCallId
                | Self::Status
                | Self::Level
                | Self::ErrorType
                | Self::ErrorMessage
                | Self::StatusMessage
                | Self::FinishReason
                | Self::Metadata
                | Self::GraphNode
                | Self::GraphPath
                | Self::Integration
                | Self::Parameters
                | Self::User
                | Self::Customer
                | Self::Tags
        )
    }
}

/// The side of a conversation that a message is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversationSide {
    /// The input of the model.
    Input,
    /// The answer of the model.
    Output,
}

#[cfg(test)]
mod tests;
