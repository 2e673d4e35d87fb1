//! The known gaps. The test of the corpus fails if there is another gap, and if
//! one of these gaps no longer exists.

use super::fact::Fact::{self, *};

/// Facts that are lost in some scenarios of an SDK.
pub struct Gap {
    /// The SDK.
    pub sdk: &'static str,
    /// The scenarios, separated by spaces.
    pub scenarios: &'static str,
    /// The facts that are lost in each scenario.
    pub facts: &'static [Fact],
    /// The reason, for docs/OTLP.md.
    pub reason: &'static str,
}

impl Gap {
    /// Whether the gap includes this fact.
    pub fn covers(&self, sdk: &str, scenario: &str, fact: Fact) -> bool {
        let mut scenarios = self.scenarios.split(' ');
        self.sdk == sdk && self.facts.contains(&fact) && scenarios.any(|name| name == scenario)
    }
}

/// All known gaps.
pub const GAPS: &[Gap] = &[
    Gap {
        sdk: "agno-openinference",
        scenarios: "session",
        facts: &[Prompts, Answers, Messages],
        reason: "Its model spans name no session, so the history that a later run repeats counts as new messages of that run.",
    },
    Gap {
        sdk: "anthropic-openllmetry",
        scenarios: "stream_async stream_create stream_helper",
        facts: &[OutputTokens, CallTokens],
        reason: "OpenLLMetry counts one token too many in a stream, and its view wins.",
    },
    Gap {
        sdk: "anthropic-openllmetry",
        scenarios: "http429 http500",
        facts: &[Runs, LlmCalls, LlmFailures],
        reason: "The Anthropic SDK also traces the call, in a separate trace. Without a response, nothing links the two traces.",
    },
    Gap {
        sdk: "google-adk",
        scenarios: "approval",
        facts: &[ToolCalls],
        reason: "The attempt that the SDK rejected, to ask a person first, is a separate call, in the run that it paused.",
    },
    Gap {
        sdk: "google-adk",
        scenarios: "reasoning",
        facts: &[RunOutput, Answers, Thinking],
        reason: "The thoughts and the answer are both parts of type text.",
    },
    Gap {
        sdk: "langgraph-openinference",
        scenarios: "approval",
        facts: &[ToolCalls],
        reason: "The attempt that was interrupted to ask a person is a separate call, in the run that it paused.",
    },
    Gap {
        sdk: "litellm-otel",
        scenarios: "anthropic_thinking",
        facts: &[ReasoningTokens, Thinking],
        reason: "LiteLLM only estimates the tokens. It has the text only in a dump of the provider's answer.",
    },
    Gap {
        sdk: "llamaindex-openinference",
        scenarios: "handoff",
        facts: &[Agents, Nesting],
        reason: "The span of the inner agent does not name the agent.",
    },
    Gap {
        sdk: "logfire-openai",
        scenarios: "stream",
        facts: &[Runs, LlmCalls],
        reason: "A streamed call has two spans in two traces, and nothing links them.",
    },
    Gap {
        sdk: "strands",
        scenarios: "approval",
        facts: &[ToolCalls],
        reason: "The attempt that was interrupted to ask a person is a separate call, in the run that it paused.",
    },
];
