//! What is known not to be as it should. The test of the corpus fails when
//! there is another gap, and when one of these is no longer there.

use super::fact::Fact::{self, *};

/// Facts that are lost in some scenarios of an SDK.
pub struct Gap {
    /// The SDK.
    pub sdk: &'static str,
    /// Its scenarios, separated by spaces.
    pub scenarios: &'static str,
    /// What is lost in each of them.
    pub facts: &'static [Fact],
    /// Why.
    pub reason: &'static str,
}

impl Gap {
    /// Whether it is about this.
    pub fn covers(&self, sdk: &str, scenario: &str, fact: Fact) -> bool {
        let mut scenarios = self.scenarios.split(' ');
        self.sdk == sdk && self.facts.contains(&fact) && scenarios.any(|name| name == scenario)
    }
}

/// All of them.
pub const GAPS: &[Gap] = &[
    Gap {
        sdk: "agno-openinference",
        scenarios: "session",
        facts: &[Prompts, Answers, Messages],
        reason: "Its model spans name no session, so the history that a later run repeats is that run's own.",
    },
    Gap {
        sdk: "anthropic-openllmetry",
        scenarios: "stream_async stream_create stream_helper",
        facts: &[OutputTokens, CallTokens],
        reason: "OpenLLMetry counts one too many in a stream; its view stands.",
    },
    Gap {
        sdk: "anthropic-openllmetry",
        scenarios: "http429 http500",
        facts: &[Runs, LlmCalls, LlmFailures],
        reason: "The Anthropic SDK traces the call as well, in a trace of its own; without a response nothing ties the two.",
    },
    Gap {
        sdk: "google-adk",
        scenarios: "approval",
        facts: &[ToolCalls],
        reason: "The attempt that was turned away to ask a person is a call of its own, in the run that it paused.",
    },
    Gap {
        sdk: "google-adk",
        scenarios: "reasoning",
        facts: &[RunOutput, Answers, Thinking],
        reason: "Thoughts and answer are both parts of type text.",
    },
    Gap {
        sdk: "langgraph-openinference",
        scenarios: "approval",
        facts: &[ToolCalls],
        reason: "The attempt that was interrupted to ask a person is a call of its own, in the run that it paused.",
    },
    Gap {
        sdk: "litellm-otel",
        scenarios: "anthropic_thinking",
        facts: &[ReasoningTokens, Thinking],
        reason: "LiteLLM estimates the tokens, and has the text only in a dump of the provider's answer.",
    },
    Gap {
        sdk: "llamaindex-openinference",
        scenarios: "handoff",
        facts: &[Agents, Nesting],
        reason: "The inner agent's span does not name its agent.",
    },
    Gap {
        sdk: "logfire-openai",
        scenarios: "stream",
        facts: &[Runs, LlmCalls],
        reason: "A streamed call is two spans in two traces, with nothing to tie them.",
    },
    Gap {
        sdk: "strands",
        scenarios: "approval",
        facts: &[ToolCalls],
        reason: "The attempt that was interrupted to ask a person is a call of its own, in the run that it paused.",
    },
];
