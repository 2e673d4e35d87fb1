//! Checks the token counts of the runs and calls of a capture.

use super::{Case, Verdicts, sorted};
use crate::otlp::{
    fact::{Fact, Verdict},
    rows::Run,
};

pub(super) fn judge(case: &Case, verdicts: &mut Verdicts) {
    let truth = &case.truth;
    let calls = &truth.per_call_tokens;
    let input_sent = calls.iter().all(|call| case.sent.has_tokens(call.0));
    let output_sent = calls.iter().all(|call| case.sent.has_tokens(call.1));
    let cached_sent = case.sent.has_tokens_of(&["cach"]);
    let reasoning_sent = case.sent.has_tokens_of(&["reasoning"]);
    type Column = fn(&Run) -> Option<i64>;
    let facts: [(Fact, Option<i64>, Column, bool); 4] = [
        (
            Fact::InputTokens,
            truth.input_tokens,
            |run| run.tokens_input,
            input_sent,
        ),
        (
            Fact::OutputTokens,
            truth.output_tokens,
            |run| run.tokens_output,
            output_sent,
        ),
        (
            Fact::CachedTokens,
            truth.cached_input_tokens,
            |run| run.tokens_cache_read,
            cached_sent,
        ),
        (
            Fact::ReasoningTokens,
            truth.reasoning_output_tokens,
            |run| run.tokens_reasoning,
            reasoning_sent,
        ),
    ];
    for (fact, wanted, column, sent) in facts {
        // If no count was sent, none may be invented.
        let wanted = wanted.unwrap_or(0);
        let found: i64 = case.rows.runs.iter().filter_map(column).sum();
        let verdict = Verdict::held_or(found == wanted, || format!("{found}, not {wanted}"));
        verdicts.insert(fact, verdict.if_sent(sent || found > 0));
    }
    let sent = input_sent && output_sent;
    verdicts.insert(Fact::CallTokens, judge_calls(case, sent));
    for (fact, differs) in [
        (
            Fact::InputTokens,
            rows_differ(case, |run| (run.tokens_input, run.total_tokens_input)),
        ),
        (
            Fact::OutputTokens,
            rows_differ(case, |run| (run.tokens_output, run.total_tokens_output)),
        ),
    ] {
        if let Some(why) = differs {
            verdicts.insert(fact, Verdict::Lost(why));
        }
    }
}

/// Every successful call must have a token count, apart from roll-ups.
fn judge_calls(case: &Case, sent: bool) -> Verdict {
    let counts = case.rows.token_counts.iter();
    let counts = counts.filter(|count| !count.rollup);
    let counts = counts.map(|count| (count.input.unwrap_or(0), count.output.unwrap_or(0)));
    // A failed call may report a count of zero.
    let found = sorted(counts.filter(|count| *count != (0, 0)));
    let wanted = sorted(case.truth.per_call_tokens.clone());
    let verdict = Verdict::held_or(found == wanted, || format!("{found:?}, not {wanted:?}"));
    verdict.if_sent(sent || !found.is_empty())
}

/// The totals in the row of a final run must equal those of the summary.
fn rows_differ(case: &Case, totals: fn(&Run) -> (Option<i64>, Option<i64>)) -> Option<String> {
    let ended = case.rows.runs.iter().filter(|run| run.status != "running");
    let mut totals = ended.map(totals);
    let (summary, row) = totals.find(|(a, b)| a.unwrap_or(0) != b.unwrap_or(0))?;
    Some(format!("run_summary says {summary:?}, agent_runs {row:?}"))
}
