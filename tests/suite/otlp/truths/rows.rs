//! The rows that the judge reads, each a JSON object.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

/// All rows in the database.
#[derive(Debug)]
pub struct TruthRows {
    /// The runs in order of their start, with `external_id` and `session_metadata` of their session.
    pub runs: Vec<Value>,
    pub steps: Vec<Value>,
    pub messages: Vec<Value>,
    pub token_counts: Vec<Value>,
}

const RUNS: &str = "SELECT r.*, s.external_id, s.metadata AS session_metadata \
    FROM agent_runs r LEFT JOIN agent_sessions s ON s.id = r.session_id ORDER BY r.started_at, r.id";

impl TruthRows {
    pub async fn read(conn: &mut PgConnection) -> Self {
        Self {
            runs: rows(conn, RUNS).await,
            steps: rows(conn, "SELECT * FROM agent_steps ORDER BY started_at, id").await,
            messages: rows(
                conn,
                "SELECT * FROM agent_messages ORDER BY created_at, seq, id",
            )
            .await,
            token_counts: rows(conn, "SELECT * FROM agent_token_counts ORDER BY id").await,
        }
    }

    /// Leaves out the runs that are none, and their messages: a constructor's, a tool server's own trace. They
    /// count against the number of runs alone.
    pub fn without_ghosts(&self, wanted: usize) -> (Vec<&Value>, Vec<&Value>) {
        let is_ghost = |run: &Value| {
            self.runs.len() > wanted
                && (text(run, "name").starts_with("create_agent")
                    || text(run, "agent_type") == "mcp-python-sdk")
        };
        let (ghosts, runs): (Vec<&Value>, Vec<&Value>) =
            self.runs.iter().partition(|run| is_ghost(run));
        let of_ghost =
            |message: &&Value| ghosts.iter().any(|ghost| ghost["id"] == message["run_id"]);
        let messages = self.messages.iter().filter(|message| !of_ghost(message));
        (runs, messages.collect())
    }
}

/// A column as text; empty if it is NULL or no text.
pub fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row[column].as_str().unwrap_or_default()
}

/// A column as a number; 0 if it is NULL.
pub fn number(row: &Value, column: &str) -> i64 {
    row[column].as_i64().unwrap_or_default()
}

async fn rows(conn: &mut PgConnection, query: &str) -> Vec<Value> {
    let query = format!("SELECT to_jsonb(t) FROM ({query}) t");
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(conn)
        .await
        .unwrap()
}
