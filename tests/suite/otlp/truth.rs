//! The truth of a scenario, as far as its SDK shows it.

use super::corpus::{Capture, Payload, Truth};

impl Capture {
    /// The truth of the part that was sent. If fewer model calls were sent than
    /// made, the rest of the scenario was invisible: a run of openai-agents that
    /// continues after an approval emits no spans.
    pub fn visible_truth(&self) -> Truth {
        let mut truth = self.truth.clone();
        // For a single call that was made by hand, only the totals are known.
        if truth.per_call_tokens.is_empty()
            && let (Some(input @ 1..), Some(output)) = (truth.input_tokens, truth.output_tokens)
        {
            truth.per_call_tokens.push((input, output));
        }
        let seen = self.payload.llm_like_spans;
        if seen < truth.llm_calls {
            truth.llm_calls = seen;
            truth.per_call_tokens.truncate(seen);
            truth.input_tokens = Some(truth.per_call_tokens.iter().map(|call| call.0).sum());
            truth.output_tokens = Some(truth.per_call_tokens.iter().map(|call| call.1).sum());
            truth.top_level_invocations = self.payload.traces;
            truth.agent_invocations.truncate(self.payload.traces);
        }
        truth
    }
}

impl Truth {
    /// The number of runs. Several invocations in one trace are one run. One
    /// invocation in several traces, which describe one call, is one run too.
    pub fn runs(&self, payload: &Payload) -> usize {
        self.top_level_invocations.min(payload.traces)
    }

    /// Whether the scenario as a whole failed.
    pub fn failed(&self) -> bool {
        self.status == "failed"
    }

    /// The ids that the conversation may have, from "ID (where) / ID (where)".
    pub fn session_ids(&self) -> Vec<&str> {
        let listed = self.session_id.as_deref().unwrap_or_default();
        let ids = listed.split(" / ").filter_map(|id| id.split(' ').next());
        ids.filter(|id| !id.is_empty()).collect()
    }
}

impl Payload {
    /// Whether any trace has its root. Without it, the end of a run is unknown.
    pub fn has_root(&self) -> bool {
        !self.root_spans.is_empty()
    }

    /// Whether tools have spans of their own, and not only messages.
    pub fn has_tool_spans(&self) -> bool {
        let is_tool = |kind: &String| kind.to_lowercase().contains("tool");
        self.op_counts.keys().any(is_tool)
    }
}
