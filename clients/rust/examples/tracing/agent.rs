//! The agent. It uses `tracing` and does not know runtraced.

use std::time::Duration;

use tokio::time::sleep;
use tracing::field::Empty;
use tracing::{Span, instrument};

/// A run, because its span has the field `run.agent`.
#[instrument(
    name = "Find the release date",
    err,
    skip_all,
    fields(run.agent = "researcher", run.type = "assistant", run.input = question, run.output = Empty)
)]
pub async fn answer(question: &str) -> Result<String, std::io::Error> {
    let place = plan(question).await;
    let found = match search(&place).await {
        Ok(found) => found,
        Err(_) => search("the milestones").await?,
    };
    let answer = format!("The next release is on {found}.");
    Span::current().record("run.output", &answer);
    Ok(answer)
}

/// A model call, because its span has the field `gen_ai.request.model`.
#[instrument(
    skip_all,
    fields(
        step.input = question,
        gen_ai.request.model = "large-1",
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty
    )
)]
async fn plan(question: &str) -> String {
    sleep(Duration::from_millis(30)).await;
    let span = Span::current();
    span.record("gen_ai.usage.input_tokens", 900 + question.len());
    span.record("gen_ai.usage.output_tokens", 40);
    "the calendar".to_owned()
}

/// A tool call. With `err`, the step fails if the function returns an error.
#[instrument(err, skip_all, fields(step.type = "tool_call", step.input = place, step.output = Empty))]
async fn search(place: &str) -> Result<String, std::io::Error> {
    let found = fetch(place).await?;
    Span::current().record("step.output", &found);
    Ok(found)
}

/// A step within a step. `place` becomes part of its metadata.
#[instrument(err)]
async fn fetch(place: &str) -> Result<String, std::io::Error> {
    sleep(Duration::from_millis(20)).await;
    match place {
        "the milestones" => Ok("2026-02-14".to_owned()),
        _ => Err(std::io::Error::other("nobody keeps it")),
    }
}
