//! Checks model calls.

use super::{Case, Verdicts};
use crate::otlp::{
    fact::{Fact, Verdict},
    rows::Step,
};

pub(super) fn judge(case: &Case, verdicts: &mut Verdicts) {
    let calls: Vec<&Step> = case
        .rows
        .steps
        .iter()
        .filter(|step| is_call(step))
        .collect();
    count(verdicts, Fact::LlmCalls, calls.len(), case.truth.llm_calls);
    let failed = calls
        .iter()
        .filter(|step| step.status.as_deref() == Some("failed"))
        .count();
    count(
        verdicts,
        Fact::LlmFailures,
        failed,
        case.truth.llm_calls_failed,
    );
    let wrong = wrong_models(case, &calls);
    verdicts.insert(
        Fact::Models,
        Verdict::held_or(wrong.is_empty(), || wrong.join("; ")).if_sent(models_sent(case)),
    );
}

/// Whether a step is a model call. Embeddings of any step type are model calls too.
fn is_call(step: &Step) -> bool {
    let kind = step.kind.as_deref().unwrap_or_default();
    step.step_type == "llm_call" || kind.to_lowercase().starts_with("embedding")
}

fn count(verdicts: &mut Verdicts, fact: Fact, found: usize, wanted: usize) {
    verdicts.insert(
        fact,
        Verdict::held_or(found == wanted, || format!("{found}, not {wanted}")),
    );
}

fn models_sent(case: &Case) -> bool {
    let (requested, responded) = (&case.truth.models_requested, &case.truth.models_responded);
    let named =
        |models: &[String]| !models.is_empty() && models.iter().all(|name| case.was_sent(name));
    named(requested) || named(responded)
}

/// The models that are wrong. A step may name the requested model or the one
/// that answered.
fn wrong_models(case: &Case, calls: &[&Step]) -> Vec<String> {
    let (requested, responded) = (&case.truth.models_requested, &case.truth.models_responded);
    let mut wrong = Vec::new();
    for step in calls {
        match &step.model {
            None => wrong.push("a call names no model".to_owned()),
            Some(model) if requested.contains(model) || responded.contains(model) => {}
            Some(model) => wrong.push(format!("nobody called {model}")),
        }
    }
    for (number, model) in requested.iter().enumerate() {
        let names = [Some(model), responded.get(number)];
        let told = |step: &&Step| names.contains(&step.model.as_ref()) && step.model.is_some();
        if !calls.iter().any(told) {
            wrong.push(format!("{model} is not told"));
        }
    }
    wrong
}
