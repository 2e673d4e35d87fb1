//! Every run ends (promise 7): by its end event, by its root span, or by the
//! sweeper; late truth overrides a guess.

mod abandoned;
mod approvals;
mod ends;
mod large;
mod scores;
mod steps;

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::events::at;
use crate::support::tables::{eventually, row};

/// Sweeps often; silence of a second is too long.
const IMPATIENT: [&str; 4] = ["--run-timeout", "1", "--sweep-interval", "0.1"];

/// So many milliseconds after 2026 began, in microseconds since 1970.
fn time(millis: i64) -> Value {
    let micros = at(millis).seconds * 1_000_000 + i64::from(at(millis).nanos) / 1_000;
    json!(micros)
}

/// What matters of how a run ended; times in microseconds since 1970.
fn run_query(run: Uuid) -> String {
    format!(
        "SELECT status, finalized_by AS by, (extract(epoch FROM ended_at) * 1000000)::bigint AS ended_at,
                duration_ms AS ms, total_tokens_input AS input, total_tokens_output AS output
         FROM agent_runs WHERE id = '{run}'"
    )
}

async fn run_row(conn: &mut PgConnection, run: Uuid) -> Value {
    row(conn, &run_query(run)).await
}

/// The same of a step.
async fn step_row(conn: &mut PgConnection, step: Uuid) -> Value {
    let query = format!(
        "SELECT status, closed_with_run AS closed, duration_ms AS ms,
                (extract(epoch FROM ended_at) * 1000000)::bigint AS ended_at
         FROM agent_steps WHERE id = '{step}'"
    );
    row(conn, &query).await
}

fn open_run() -> Value {
    json!({"status": "running", "by": null, "ended_at": null, "ms": null, "input": null, "output": null})
}

fn open_step() -> Value {
    json!({"status": "running", "closed": null, "ms": null, "ended_at": null})
}

/// Waits until the sweeper has closed the run.
async fn abandoned(conn: &mut PgConnection, run: Uuid) {
    let query = format!("SELECT finalized_by AS by FROM agent_runs WHERE id = '{run}'");
    eventually(conn, &query, json!({"by": "abandoned"})).await;
}
