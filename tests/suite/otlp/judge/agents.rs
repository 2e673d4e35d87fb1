//! Checks runs, agents and their nesting.

use std::collections::{HashMap, HashSet};

use super::{Case, Verdicts, sorted};
use crate::otlp::{
    fact::{Fact, Verdict},
    rows::{Run, Step},
};

/// An agent and the agent that it ran in.
type Placed = (String, Option<String>);

pub(super) fn judge(case: &Case, verdicts: &mut Verdicts) {
    let (wanted, found) = (case.truth.runs(case.payload), case.rows.runs.len());
    verdicts.insert(
        Fact::Runs,
        Verdict::held_or(wanted == found, || format!("{found} runs, not {wanted}")),
    );
    judge_agents(case, verdicts);
    let tangles = tangles(case);
    verdicts.insert(
        Fact::Tree,
        Verdict::held_or(tangles.is_empty(), || tangles.join("; "))
            .if_sent(case.payload.has_root()),
    );
}

fn judge_agents(case: &Case, verdicts: &mut Verdicts) {
    let wanted = wanted(case);
    let found = found(case);
    let names = |placed: &[Placed]| sorted(placed.iter().map(|(name, _)| name.clone()));
    let (wanted_names, found_names) = (names(&wanted), names(&found));
    let sent = wanted_names.iter().all(|name| case.was_sent(name));
    verdicts.insert(
        Fact::Agents,
        Verdict::held_or(wanted_names == found_names, || {
            format!("{found_names:?}, not {wanted_names:?}")
        })
        .if_sent(sent),
    );
    if wanted.len() > 1 {
        // For peers, the rows may show the handoffs between them, or no nesting.
        let peers = case.truth.nesting.starts_with("peer");
        let flat = sorted(wanted.iter().map(|(name, _)| (name.clone(), None)));
        let found = sorted(found);
        let held = found == sorted(wanted.clone()) || (peers && found == flat);
        let idle = idle(case);
        let verdict = Verdict::held_or(held && idle.is_empty(), || {
            format!("{found:?}, not {wanted:?}; without calls: {idle:?}")
        });
        verdicts.insert(Fact::Nesting, verdict.if_sent(sent));
    }
}

/// The agents of the truth, including those that it only names as parents.
fn wanted(case: &Case) -> Vec<Placed> {
    let invocations = &case.truth.agent_invocations;
    let mut wanted: Vec<Placed> = invocations
        .iter()
        .map(|invocation| (invocation.agent.clone(), invocation.parent_agent.clone()))
        .collect();
    let parents: HashSet<&String> = invocations
        .iter()
        .filter_map(|invocation| invocation.parent_agent.as_ref())
        .collect();
    for parent in parents {
        if !invocations.iter().any(|other| &other.agent == parent) {
            wanted.push((parent.clone(), None));
        }
    }
    wanted
}

/// The agents in the rows. An agent is a step of type `handoff` and kind `agent`,
/// or the run itself if no top-level step is that agent. Other handoffs only
/// announce an agent.
fn found(case: &Case) -> Vec<Placed> {
    let mut found = Vec::new();
    for run in &case.rows.runs {
        let of_run = |step: &&Step| step.run_id == run.run_id && is_agent(step);
        let handoffs: Vec<&Step> = case.rows.steps.iter().filter(of_run).collect();
        let itself = itself(case, run, &handoffs);
        found.extend(itself.map(|name| (name.to_owned(), None)));
        for step in handoffs {
            let parent = parent_agent(case, step).or(itself);
            found.push((name(step).to_owned(), parent.map(str::to_owned)));
        }
    }
    found
}

/// The agents of the truth without a model call below their steps.
fn idle<'a>(case: &'a Case) -> Vec<&'a str> {
    let calls = |agent: &Step| {
        let mut steps = case.rows.steps.iter();
        steps.any(|step| {
            let mut above = case.rows.ancestors(step);
            step.step_type == "llm_call" && above.any(|step| step.id == agent.id)
        })
    };
    let invocations = &case.truth.agent_invocations;
    let is_named = |step: &&Step| invocations.iter().any(|other| other.agent == name(step));
    let agents = case.rows.steps.iter().filter(|step| is_agent(step));
    let idle = agents.filter(is_named).filter(|step| !calls(step));
    idle.map(name).collect()
}

fn itself<'a>(case: &Case, run: &'a Run, handoffs: &[&Step]) -> Option<&'a str> {
    let no_agents = case.truth.agent_invocations.is_empty();
    let is_a_step = handoffs
        .iter()
        .any(|step| parent_agent(case, step).is_none() && name(step) == run.agent_id);
    (!no_agents && !is_a_step).then_some(run.agent_id.as_str())
}

fn parent_agent<'a>(case: &'a Case, step: &'a Step) -> Option<&'a str> {
    let mut above = case.rows.ancestors(step);
    above.find(|step| is_agent(step)).map(name)
}

fn is_agent(step: &Step) -> bool {
    step.step_type == "handoff" && step.kind.as_deref() == Some("agent")
}

fn name(step: &Step) -> &str {
    step.name.as_deref().unwrap_or("(no name)")
}

/// The reasons why the steps are not one tree per run. Children of a root that
/// is only the run name it as their parent, although it has no row. No other
/// parent may be missing.
fn tangles(case: &Case) -> Vec<String> {
    let mut missing: HashMap<_, HashSet<_>> = HashMap::new();
    for step in &case.rows.steps {
        if let (Some(parent), None) = (step.parent_step_id, case.rows.parent(step)) {
            missing.entry(step.run_id).or_default().insert(parent);
        }
    }
    let mut tangles: Vec<String> = missing
        .into_iter()
        .filter(|(_, parents)| parents.len() > 1)
        .map(|(run, parents)| format!("{} parents have no row in run {run}", parents.len()))
        .collect();
    for row in &case.rows.timeline {
        let tangle = |flag: &&String| ["parent_cycle", "step_missing"].contains(&flag.as_str());
        if let Some(flag) = row.flags.iter().find(tangle) {
            tangles.push(format!("{} {}: {flag}", row.item, row.id));
        }
    }
    let shown = case.rows.timeline.iter().filter(|row| row.item == "step");
    let shown = shown.count();
    if shown != case.rows.steps.len() {
        let there = case.rows.steps.len();
        tangles.push(format!("{shown} of {there} steps are in the timeline"));
    }
    tangles
}
