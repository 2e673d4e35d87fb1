//! Compares the rows of one capture with its truth.

mod content;

use serde_json::{Value, json};

use super::TruthVerdict;
use super::corpus::ScriptedTruth;
use super::rows::{TruthRows, number, text};

/// What was found of one fact.
#[derive(Debug)]
pub struct Found {
    /// The name of the fact.
    pub fact: String,
    pub verdict: TruthVerdict,
    seen: Value,
    wanted: Value,
}

impl Found {
    /// Why the fact is lost.
    pub fn why(&self) -> String {
        let shortened = |value: &Value| {
            let text: String = value.to_string().chars().take(300).collect();
            text
        };
        format!(
            "{} is {}, not {}",
            self.fact,
            shortened(&self.seen),
            shortened(&self.wanted)
        )
    }
}

/// Collects the verdicts.
struct TruthJudge<'a> {
    truth: &'a ScriptedTruth,
    found: Vec<Found>,
}

impl TruthJudge<'_> {
    /// A fact that is wrong and that the requests do not carry counts as not sent.
    fn fact(&mut self, fact: &str, holds: bool, wanted: impl Into<Value>, seen: impl Into<Value>) {
        let carried = || !self.truth.not_carried.iter().any(|name| name == fact);
        let verdict = match holds {
            true => TruthVerdict::Held,
            false if carried() => TruthVerdict::Lost,
            false => TruthVerdict::NotSent,
        };
        self.found.push(Found {
            fact: fact.to_owned(),
            verdict,
            seen: seen.into(),
            wanted: wanted.into(),
        });
    }
}

/// Judges every fact. The rows must be all rows in the database; `unknown` is the number of spans of no known
/// dialect.
pub fn judge(truth: &ScriptedTruth, rows: &TruthRows, unknown: u64) -> Vec<Found> {
    let (runs, messages) = rows.without_ghosts(truth.runs);
    let mut judge = TruthJudge {
        truth,
        found: Vec::new(),
    };
    let names: Vec<_> = rows.runs.iter().map(|run| run["name"].clone()).collect();
    judge.fact("runs", rows.runs.len() == truth.runs, truth.runs, names);
    judge.ends(&runs, rows);
    judge.agents(&runs, rows);
    judge.calls(rows);
    judge.tokens(&runs, rows);
    content::judge(&mut judge, &runs, &messages);
    judge.fact("dialect", unknown == 0, 0, unknown);
    judge.found
}

impl TruthJudge<'_> {
    fn ends(&mut self, runs: &[&Value], rows: &TruthRows) {
        let truth = self.truth;
        let is_right = |run: &&Value| text(run, "status") == truth.status;
        let holds = !runs.is_empty() && runs.iter().all(is_right);
        self.fact("status", holds, &*truth.status, column(runs, "status"));
        let open = runs.iter().copied().chain(&rows.steps);
        let open: Vec<_> = open
            .filter(|row| text(row, "status") == "running")
            .collect();
        let holds = !runs.is_empty() && open.is_empty();
        self.fact("ended", holds, "none running", column(&open, "name"));
        if let Some(error) = &truth.error {
            let all = || runs.iter().copied().chain(&rows.steps);
            let holds = all().any(|row| has(&row["error"], error));
            let seen: Vec<_> = all().map(|row| row["error"].clone()).collect();
            self.fact("error", holds, &**error, seen);
        }
    }

    fn agents(&mut self, runs: &[&Value], rows: &TruthRows) {
        let truth = self.truth;
        let Some((outer, inner)) = truth.agents().split_first() else {
            return;
        };
        let is_outer = |run: &&Value| text(run, "agent_id") == outer;
        let holds = !runs.is_empty() && runs.iter().all(is_outer);
        self.fact("agent_id", holds, &**outer, column(runs, "agent_id"));
        let handoffs: Vec<_> = of_type(rows, "handoff");
        let names = column(&handoffs, "name");
        for agent in inner {
            let holds = names.iter().any(|name| name == agent);
            self.fact(
                &format!("sub-agent {agent}"),
                holds,
                &**agent,
                names.clone(),
            );
        }
    }

    fn calls(&mut self, rows: &TruthRows) {
        let truth = self.truth;
        let mut calls = of_type(rows, "llm_call");
        calls.retain(|step| text(step, "kind") != "embedding");
        let holds = calls.len() == truth.llm_calls;
        self.fact("llm calls", holds, truth.llm_calls, column(&calls, "name"));
        if truth.llm_failed > 0 {
            let failed = calls.iter().filter(|step| text(step, "status") == "failed");
            let failed = failed.count();
            self.fact(
                "llm failures",
                failed == truth.llm_failed,
                truth.llm_failed,
                failed,
            );
        }
        let models = column(&calls, "model");
        let is_known = |model: &Value| {
            let name = model.as_str().unwrap_or_default();
            let name = name.rsplit('/').next().unwrap_or_default();
            ["gpt-4o-mini", "claude", "gemini"]
                .iter()
                .any(|known| name.starts_with(known))
        };
        let holds = !models.is_empty() && models.iter().all(is_known);
        self.fact("models", holds, "its model", models);
        let tools = of_type(rows, "tool_call");
        self.tools(&tools);
    }

    fn tools(&mut self, tools: &[&Value]) {
        let truth = self.truth;
        let (mut seen, mut wanted): (Vec<_>, Vec<_>) = (
            tools.iter().map(|step| text(step, "name")).collect(),
            truth.tools.iter().map(|tool| &*tool.name).collect(),
        );
        seen.sort_unstable();
        wanted.sort_unstable();
        self.fact("tool calls", seen == wanted, json!(wanted), json!(seen));
        if !truth.tools.is_empty() {
            let arguments = truth.tools.iter().map(|tool| tool.arguments.to_string());
            let (seen, wanted) = (
                sorted(tools.iter().map(|step| step["input"].to_string())),
                sorted(arguments),
            );
            self.fact("tool args", seen == wanted, json!(wanted), json!(seen));
            let results: Vec<_> = truth.results().collect();
            if !results.is_empty() {
                let told = |result: &&Value| tools.iter().any(|step| step["output"] == **result);
                let holds = results.iter().all(told);
                self.fact(
                    "tool results",
                    holds,
                    json!(results),
                    column(tools, "output"),
                );
            }
        }
        if let Some(error) = &truth.tool_error {
            let holds = tools.iter().any(|step| has(&step["error"], error));
            self.fact("tool error", holds, &**error, column(tools, "error"));
        }
    }

    fn tokens(&mut self, runs: &[&Value], rows: &TruthRows) {
        let truth = self.truth;
        let leaves = rows.token_counts.iter();
        let leaves: Vec<&Value> = leaves.filter(|count| count["rollup"] == false).collect();
        let counted = |column: &str| {
            leaves
                .iter()
                .map(|count| number(count, column))
                .sum::<i64>()
        };
        let wanted = |key: &str| truth.tokens.get(key).copied().unwrap_or_default();
        for key in ["input", "output"] {
            let total = format!("total_tokens_{key}");
            let total: i64 = runs.iter().map(|run| number(run, &total)).sum();
            let (counted, wanted) = (counted(key), wanted(key));
            let holds = total == wanted && [0, wanted].contains(&counted);
            let seen = json!([total, counted]);
            self.fact(&format!("{key} tokens"), holds, wanted, seen);
        }
        for (key, fact) in [("cache_read", "cached"), ("reasoning", "reasoning")] {
            let wanted = wanted(key);
            if wanted == 0 {
                continue;
            }
            let mut seen = counted(key);
            if seen == 0 && leaves.is_empty() {
                let counts = rows.token_counts.iter().map(|count| number(count, key));
                seen = counts.max().unwrap_or_default();
            }
            self.fact(fact, seen == wanted, wanted, seen);
        }
    }
}

impl ScriptedTruth {
    /// The results of its tools.
    fn results(&self) -> impl Iterator<Item = &Value> {
        self.tools.iter().filter_map(|tool| tool.result.as_ref())
    }
}

fn of_type<'a>(rows: &'a TruthRows, step_type: &str) -> Vec<&'a Value> {
    let steps = rows.steps.iter();
    steps
        .filter(|step| text(step, "step_type") == step_type)
        .collect()
}

fn column(rows: &[&Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<_> = texts.collect();
    texts.sort();
    texts
}

/// A text with single spaces between its words.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a value contains a text.
fn has(value: &Value, wanted: &str) -> bool {
    let text = match value {
        Value::Null => return false,
        Value::String(text) => words(text),
        other => words(&other.to_string()),
    };
    text.contains(&words(wanted))
}
