//! An agent that is instrumented with `tracing`, against the real daemon.

use std::time::Duration;

use runtraced_client::{SpanLayer, StreamOptions};
use serde_json::{Value, json};
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::prelude::*;

use crate::support::daemon::Daemon;
use crate::support::{pg, tables};

#[path = "../../clients/rust/examples/tracing/agent.rs"]
mod agent;

/// Scenario: the agent of the example: a model is asked, a search fails in a step below it,
/// another search answers.
/// Guarantees: the run completes with its output and the tokens of its steps; what failed is
/// failed, what is below what is so, and everything has times.
#[tokio::test]
async fn spans_of_an_agent_are_a_run_with_its_steps() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let stream = daemon.client().await.stream(StreamOptions::default());
    let (layer, delivery) = SpanLayer::new(stream, 1_000);
    let subscriber = tracing_subscriber::registry().with(layer);
    let question = "When is the next release?";
    let answer = agent::answer(question).with_subscriber(subscriber).await;
    delivery.flush(Duration::from_secs(30)).await.unwrap();

    let mut conn = database.connect().await;
    let run = "SELECT status, finalized_by, agent_id, agent_type, name, input, output, steps,
                      failed_steps, open_steps, llm_calls, tool_calls, tokens_input, tokens_output,
                      duration_ms BETWEEN 70 AND 30000 AS took_its_time
               FROM run_summary";
    assert_eq!(
        tables::row(&mut conn, run).await,
        json!({
            "status": "completed", "finalized_by": "client", "agent_id": "researcher",
            "agent_type": "assistant", "name": "Find the release date", "input": question,
            "output": answer.unwrap(), "steps": 5, "failed_steps": 2, "open_steps": 0,
            "llm_calls": 1, "tool_calls": 2, "tokens_input": 925, "tokens_output": 40,
            "took_its_time": true
        })
    );
    let steps = "SELECT jsonb_agg(jsonb_build_array(
                     s.name, p.name, s.step_type, s.status, s.error, s.input, s.output, s.metadata,
                     s.model) ORDER BY s.started_at)
                 FROM agent_steps s
                 LEFT JOIN agent_steps p ON p.run_id = s.run_id AND p.id = s.parent_step_id
                 WHERE s.duration_ms >= 20 AND s.ended_at > s.started_at";
    let why = "nobody keeps it";
    let first = json!({"place": "the calendar"});
    let second = json!({"place": "the milestones"});
    let none = Value::Null;
    assert_eq!(
        tables::value(&mut conn, steps).await,
        json!([
            [
                "plan",
                none,
                "llm_call",
                "completed",
                none,
                question,
                none,
                none,
                "large-1"
            ],
            [
                "search",
                none,
                "tool_call",
                "failed",
                why,
                "the calendar",
                none,
                none,
                none
            ],
            [
                "fetch", "search", "other", "failed", why, none, none, first, none
            ],
            [
                "search",
                none,
                "tool_call",
                "completed",
                none,
                "the milestones",
                "2026-02-14",
                none,
                none
            ],
            [
                "fetch",
                "search",
                "other",
                "completed",
                none,
                none,
                none,
                second,
                none
            ],
        ])
    );
    let tokens = "SELECT s.name, t.model, t.input, t.output
                  FROM agent_token_counts t JOIN agent_steps s ON s.id = t.step_id";
    assert_eq!(
        tables::row(&mut conn, tokens).await,
        json!({"name": "plan", "model": "large-1", "input": 925, "output": 40})
    );

    let totals = delivery.finish().await.unwrap();
    assert_eq!((totals.committed, totals.dropped), (8, 0));
    assert_eq!(totals.refused, []);
    daemon.finish().await;
}
