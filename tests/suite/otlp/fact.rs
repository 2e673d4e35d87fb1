//! What is asked of each capture.

/// One thing that an engineer reads from the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// How many runs.
    Runs,
    /// Which agents ran, and how often.
    Agents,
    /// Which agent ran inside which.
    Nesting,
    /// Every step hangs in one tree.
    Tree,
    /// How many calls of a model.
    LlmCalls,
    /// How many of them failed.
    LlmFailures,
    /// Which models.
    Models,
    /// Which tools were called, and how often.
    ToolCalls,
    /// With what.
    ToolArguments,
    /// What they returned.
    ToolResults,
    /// What went wrong in them.
    ToolErrors,
    /// Their results among the messages, once each.
    ToolMessages,
    /// The sum over the runs.
    InputTokens,
    /// The sum over the runs.
    OutputTokens,
    /// The sum over the runs.
    CachedTokens,
    /// The sum over the runs.
    ReasoningTokens,
    /// Input and output of each call.
    CallTokens,
    /// No message twice, and in the order in which they were said.
    Messages,
    /// What people asked: each text once among the messages.
    Prompts,
    /// The final answers, likewise.
    Answers,
    /// The reasoning that came with them.
    Thinking,
    /// What each run was asked.
    RunInput,
    /// What each run answered.
    RunOutput,
    /// Completed or failed.
    Status,
    /// Why it failed.
    Error,
    /// Nothing is left running.
    Ended,
    /// The source's own id of the conversation.
    Session,
}

impl Fact {
    /// In the order of the table.
    pub const ALL: [Self; 27] = [
        Self::Runs,
        Self::Status,
        Self::Ended,
        Self::Error,
        Self::Session,
        Self::RunInput,
        Self::RunOutput,
        Self::Agents,
        Self::Nesting,
        Self::Tree,
        Self::LlmCalls,
        Self::LlmFailures,
        Self::Models,
        Self::ToolCalls,
        Self::ToolArguments,
        Self::ToolResults,
        Self::ToolErrors,
        Self::InputTokens,
        Self::OutputTokens,
        Self::CachedTokens,
        Self::ReasoningTokens,
        Self::CallTokens,
        Self::Messages,
        Self::Prompts,
        Self::Answers,
        Self::Thinking,
        Self::ToolMessages,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Agents => "agents",
            Self::Nesting => "nesting",
            Self::Tree => "tree",
            Self::LlmCalls => "LLM calls",
            Self::LlmFailures => "LLM failures",
            Self::Models => "models",
            Self::ToolCalls => "tool calls",
            Self::ToolArguments => "arguments",
            Self::ToolResults => "results",
            Self::ToolErrors => "tool errors",
            Self::ToolMessages => "tool messages",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::CachedTokens => "cached",
            Self::ReasoningTokens => "reasoning",
            Self::CallTokens => "tokens per call",
            Self::Messages => "messages",
            Self::Prompts => "prompts",
            Self::Answers => "answers",
            Self::Thinking => "thinking",
            Self::RunInput => "run input",
            Self::RunOutput => "run output",
            Self::Status => "status",
            Self::Error => "error",
            Self::Ended => "ended",
            Self::Session => "session",
        }
    }
}

/// What became of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rows say what is true.
    Held,
    /// They do not, and what the SDK sent does not say it either.
    NotSent,
    /// They do not, though it was sent.
    Lost(String),
}

impl Verdict {
    /// Held, or lost for this reason.
    pub fn held_or(held: bool, why: impl FnOnce() -> String) -> Self {
        if held { Self::Held } else { Self::Lost(why()) }
    }

    /// What is lost, unless it was never sent.
    pub fn if_sent(self, sent: bool) -> Self {
        match self {
            Self::Lost(_) if !sent => Self::NotSent,
            verdict => verdict,
        }
    }
}
