//! Checks the table of facts, columns and keys in docs/OTLP.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::{env, fs};

use runtraced::ingest::otlp::map::{Dialects, documented_keys, fact_names};

const PAGE: &str = "docs/OTLP.md";
const BEGIN: &str = "<!-- facts: begin (RUNTRACED_UPDATE_DOCS=1 cargo test --test suite otlp:: rewrites this part) -->\n";
const END: &str = "<!-- facts: end -->";

/// Each fact and where it is found in the database.
const COLUMNS: &[(&str, &str)] = &[
    ("agent_name", "`agent_runs.agent_id`, `agent_steps.name`"),
    ("workflow_name", "`agent_steps.name`"),
    ("entity_name", "`agent_steps.name`"),
    ("display_name", "`agent_steps.name`"),
    ("run_name", "`agent_runs.name`"),
    ("session", "`agent_sessions.id`, `external_id`"),
    ("user", "`agent_sessions.user_id`, else `metadata`"),
    ("customer", "`customer_id`"),
    ("tags", "`metadata`"),
    (
        "request_model",
        "`agent_steps.model`, unless the answer names one",
    ),
    ("response_model", "`agent_steps.model`"),
    ("parameters", "`metadata`"),
    ("response_id", "`agent_steps.id`"),
    ("input_messages", "`agent_messages`, `agent_steps.input`"),
    ("output_messages", "`agent_messages`, `agent_steps.output`"),
    ("system_instructions", "`agent_messages`"),
    ("prompt", "`agent_messages`, `agent_steps.input`"),
    ("input", "`agent_steps.input`, `agent_runs.input`"),
    ("input_mime", "none"),
    ("output", "`agent_steps.output`, `agent_runs.output`"),
    ("output_mime", "none"),
    ("response_text", "`agent_messages.content`"),
    ("response_tool_calls", "`agent_messages.tool_calls`"),
    ("response_reasoning", "`agent_messages.thinking`"),
    (
        "finish_reason",
        "`metadata`; `agent_steps.status`, if the word means failed and there is no answer",
    ),
    ("tool_name", "`agent_steps.name`"),
    ("tool_call_id", "`agent_steps.id`"),
    ("tool_arguments", "`agent_steps.input`"),
    ("tool_result", "`agent_steps.output`"),
    ("target", "`agent_steps.name` of a handoff"),
    ("usage_input", "`agent_token_counts.input`"),
    ("usage_output", "`agent_token_counts.output`"),
    (
        "usage_total",
        "`metadata`; tells what `input` and `output` contain",
    ),
    ("usage_cache_read", "`agent_token_counts.cache_read`"),
    ("usage_cache_write", "`agent_token_counts.cache_write`"),
    ("usage_reasoning", "`agent_token_counts.reasoning`"),
    ("usage", "`agent_token_counts`: a whole usage object"),
    (
        "provider_usage",
        "`agent_token_counts`: the provider's own object, which wins over the SDK's figures",
    ),
    ("cost", "`metadata`"),
    ("status", "`agent_steps.status`, if the word means failed"),
    (
        "level",
        "`metadata`; `agent_steps.status`: `error` means failed",
    ),
    ("error_type", "`agent_steps.error`, if there is no message"),
    ("error_message", "`agent_steps.error`, `metadata`"),
    (
        "status_message",
        "`metadata`; `agent_steps.error`, if the span failed",
    ),
    ("metadata", "`metadata`"),
    ("graph_node", "`metadata`"),
    (
        "graph_path",
        "`metadata`; ties a LangGraph node to its tool call",
    ),
    ("integration", "`metadata`"),
];

/// Guarantees: the page shows each fact, its columns and its keys.
#[test]
fn the_page_shows_every_fact_and_key() {
    let known: BTreeSet<_> = fact_names().collect();
    let listed: BTreeSet<_> = COLUMNS.iter().map(|(fact, _)| *fact).collect();
    assert_eq!(known, listed);
    let mut keys: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (key, fact, _) in documented_keys(&Dialects::built_in()) {
        keys.entry(fact).or_default().insert(key);
    }
    let mut table = String::from("| fact | column | keys |\n| --- | --- | --- |\n");
    for (fact, column) in COLUMNS {
        let keys = keys.remove(fact).unwrap_or_default();
        let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
        writeln!(table, "| `{fact}` | {column} | {} |", keys.join(", ")).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (part, after) = rest.split_once(END).unwrap();
    if env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        fs::write(PAGE, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(part, table, "{PAGE}: run with RUNTRACED_UPDATE_DOCS=1");
}
