//! Checks how and why runs ended, and the sessions that they belong to.

use super::{Case, Verdicts};
use crate::otlp::fact::{Fact, Verdict};

pub(super) fn judge(case: &Case, verdicts: &mut Verdicts) {
    let has_root = case.payload.has_root();
    let runs = &case.rows.runs;
    let wanted = if case.truth.failed() {
        "failed"
    } else {
        "completed"
    };
    let statuses: Vec<&str> = runs.iter().map(|run| run.status.as_str()).collect();
    let held = !statuses.is_empty() && statuses.iter().all(|status| *status == wanted);
    verdicts.insert(
        Fact::Status,
        Verdict::held_or(held, || format!("{statuses:?}, not {wanted}")).if_sent(has_root),
    );
    let running = running(case);
    verdicts.insert(
        Fact::Ended,
        Verdict::held_or(running.is_empty() && !runs.is_empty(), || {
            running.join("; ")
        })
        .if_sent(has_root),
    );
    judge_error(case, verdicts);
    judge_session(case, verdicts);
}

fn running(case: &Case) -> Vec<String> {
    let runs = case.rows.runs.iter();
    let runs = runs.filter(|run| run.status == "running" || run.ended_at.is_none());
    let mut running: Vec<String> = runs.map(|run| format!("run {}", run.agent_id)).collect();
    let steps = case.rows.steps.iter();
    let steps = steps.filter(|step| {
        step.status
            .as_deref()
            .is_none_or(|status| status == "running")
    });
    running.extend(steps.map(|step| format!("step {:?}", step.name)));
    let guessed = case.rows.runs.iter().flat_map(|run| &run.flags);
    let guessed =
        guessed.filter(|flag| ["steps_closed_with_run", "abandoned"].contains(&flag.as_str()));
    running.extend(guessed.cloned());
    running
}

/// The error may be on the run or on the step that failed.
fn judge_error(case: &Case, verdicts: &mut Verdicts) {
    let Some(error) = &case.truth.error else {
        return;
    };
    let wanted = error.message_contains.as_str();
    let runs = case.rows.runs.iter().filter_map(|run| run.error.as_deref());
    let steps = case
        .rows
        .steps
        .iter()
        .filter_map(|step| step.error.as_deref());
    let found: Vec<&str> = runs.chain(steps).collect();
    let held = found.iter().any(|text| text.contains(wanted));
    let verdict = Verdict::held_or(held, || format!("{found:?}, not {wanted:?}"));
    verdicts.insert(Fact::Error, verdict.if_sent(case.sent.has_text(wanted)));
}

fn judge_session(case: &Case, verdicts: &mut Verdicts) {
    let ids = case.truth.session_ids();
    if ids.is_empty() {
        return;
    }
    let fits = |id: &str, external: Option<&str>| {
        ids.contains(&id) || external.is_some_and(|external| ids.contains(&external))
    };
    let sessions = &case.rows.sessions;
    let right = sessions
        .iter()
        .find(|session| fits(&session.id.to_string(), session.external_id.as_deref()));
    // A message without a session belongs to that of its run.
    let held = right.is_some_and(|session| {
        let runs = case.rows.runs.iter().map(|run| run.session_id);
        let messages = case.rows.messages.iter();
        let messages = messages.map(|message| case.rows.conversation(message));
        sessions.len() == 1
            && runs.into_iter().all(|id| id == Some(session.id))
            && messages.into_iter().all(|id| id == session.id)
    });
    let found: Vec<_> = sessions
        .iter()
        .map(|session| &session.external_id)
        .collect();
    let sent = ids.iter().any(|id| case.was_sent(id));
    let verdict = Verdict::held_or(held, || format!("{found:?}, not {ids:?}"));
    verdicts.insert(Fact::Session, verdict.if_sent(sent));
}
