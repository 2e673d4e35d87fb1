//! The facts that are checked for each capture.

/// A fact that an engineer reads from the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// The number of runs.
    Runs,
    /// Which agents ran, and how often.
    Agents,
    /// Which agent ran inside which.
    Nesting,
    /// Whether the steps of a run form one tree.
    Tree,
    /// The number of model calls.
    LlmCalls,
    /// The number of failed model calls.
    LlmFailures,
    /// The models that were called.
    Models,
    /// Which tools were called, and how often.
    ToolCalls,
    /// The arguments of the tool calls.
    ToolArguments,
    /// The results of the tool calls.
    ToolResults,
    /// The errors of the tool calls.
    ToolErrors,
    /// The messages with tool results, once each.
    ToolMessages,
    /// The sum of the input tokens of all runs.
    InputTokens,
    /// The sum of the output tokens of all runs.
    OutputTokens,
    /// The sum of the cached input tokens of all runs.
    CachedTokens,
    /// The sum of the reasoning tokens of all runs.
    ReasoningTokens,
    /// The input and output tokens of each call.
    CallTokens,
    /// Whether every message is stored once and in the right order.
    Messages,
    /// The user prompts, once each among the messages.
    Prompts,
    /// The final answers, once each among the messages.
    Answers,
    /// The reasoning of the answers.
    Thinking,
    /// The question of each run.
    RunInput,
    /// The answer of each run.
    RunOutput,
    /// Whether each run completed or failed.
    Status,
    /// The error of a failed run.
    Error,
    /// Whether nothing is left running.
    Ended,
    /// The source's id of the conversation.
    Session,
}

impl Fact {
    /// All facts in the order of the table.
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

    /// The name in the table.
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

/// The result of checking a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rows match the truth.
    Held,
    /// The rows do not match the truth, and the SDK did not send it either.
    NotSent,
    /// The rows do not match the truth, although the SDK sent it.
    Lost(String),
}

impl Verdict {
    /// [`Self::Held`] or, for this reason, [`Self::Lost`].
    pub fn held_or(held: bool, why: impl FnOnce() -> String) -> Self {
        if held { Self::Held } else { Self::Lost(why()) }
    }

    /// Turns a lost fact that was never sent into [`Self::NotSent`].
    pub fn if_sent(self, sent: bool) -> Self {
        match self {
            Self::Lost(_) if !sent => Self::NotSent,
            verdict => verdict,
        }
    }
}
