//! The rows that a capture gives.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// The contents of the database, as far as the facts need them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The runs, in order of their start.
    pub runs: Vec<Run>,
    pub steps: Vec<Step>,
    pub messages: Vec<Message>,
    pub sessions: Vec<Session>,
    pub token_counts: Vec<TokenCount>,
    /// The timelines of all runs, run by run.
    pub timeline: Vec<TimelineRow>,
}

/// A row of `agent_runs`, with the totals of `run_summary`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Run {
    pub run_id: Uuid,
    pub session_id: Option<Uuid>,
    pub agent_id: String,
    pub status: String,
    pub input: Option<String>,
    pub output: Option<String>,
    pub error: Option<String>,
    pub ended_at: Option<String>,
    pub tokens_input: Option<i64>,
    pub tokens_output: Option<i64>,
    pub tokens_cache_read: Option<i64>,
    pub tokens_reasoning: Option<i64>,
    pub total_tokens_input: Option<i64>,
    pub total_tokens_output: Option<i64>,
    pub flags: Vec<String>,
}

/// A row of `agent_steps`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Step {
    pub id: Uuid,
    pub run_id: Uuid,
    pub parent_step_id: Option<Uuid>,
    pub step_type: String,
    pub kind: Option<String>,
    pub name: Option<String>,
    pub status: Option<String>,
    pub error: Option<String>,
    pub model: Option<String>,
    pub input: Option<Value>,
    pub output: Option<Value>,
}

/// A row of `agent_messages`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Message {
    pub session_id: Option<Uuid>,
    pub run_id: Option<Uuid>,
    pub role: String,
    pub content: Option<String>,
    pub thinking: Option<String>,
    pub tool_calls: Option<Value>,
}

/// A row of `agent_sessions`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Session {
    pub id: Uuid,
    pub external_id: Option<String>,
}

/// A row of `agent_token_counts`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct TokenCount {
    pub input: Option<i64>,
    pub output: Option<i64>,
    pub rollup: bool,
}

/// A row of `run_timeline`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct TimelineRow {
    pub run_id: Uuid,
    pub item: String,
    pub id: Uuid,
    pub kind: String,
    pub content: Option<String>,
    pub flags: Vec<String>,
}

const RUNS: &str = "SELECT s.*, r.total_tokens_input, r.total_tokens_output \
    FROM run_summary s JOIN agent_runs r ON r.id = s.run_id ORDER BY s.first_event_at, s.run_id";

impl Rows {
    /// Reads all rows.
    pub async fn read(conn: &mut PgConnection) -> Self {
        Self {
            runs: rows(conn, RUNS).await,
            steps: rows(conn, "SELECT * FROM agent_steps ORDER BY started_at, id").await,
            messages: rows(conn, "SELECT * FROM agent_messages ORDER BY run_id, seq, id").await,
            sessions: rows(conn, "SELECT * FROM agent_sessions ORDER BY id").await,
            token_counts: rows(conn, "SELECT * FROM agent_token_counts ORDER BY id").await,
            timeline: rows(
                conn,
                "SELECT t.* FROM agent_runs r, run_timeline t WHERE t.run_id = r.id ORDER BY r.id, t.position",
            )
            .await,
        }
    }

    /// The parent of a step, if it has a row.
    pub fn parent(&self, step: &Step) -> Option<&Step> {
        let parent = step.parent_step_id?;
        let of_run = |other: &&Step| other.id == parent && other.run_id == step.run_id;
        self.steps.iter().find(of_run)
    }

    /// The scope in which a text may occur only once: the session of the message,
    /// else that of its run, else the run.
    pub fn conversation(&self, message: &Message) -> Uuid {
        let run = self
            .runs
            .iter()
            .find(|run| Some(run.run_id) == message.run_id);
        let session = message.session_id.or(run.and_then(|run| run.session_id));
        session.or(message.run_id).unwrap_or_default()
    }

    /// The ancestors of a step, nearest first. Stops at a cycle.
    pub fn ancestors<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Step> {
        std::iter::successors(self.parent(step), |step| self.parent(step)).take(self.steps.len())
    }
}

async fn rows<T: DeserializeOwned>(conn: &mut PgConnection, query: &str) -> Vec<T> {
    let query = format!("SELECT to_jsonb(t) FROM ({query}) t");
    let found: Vec<Value> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(conn)
        .await
        .unwrap();
    let row = |value| serde_json::from_value(value).unwrap();
    found.into_iter().map(row).collect()
}

/// Removes the rows of captures, but not those of the daemon itself. Does not use
/// TRUNCATE, which creates new files for every table and index.
pub async fn clear(conn: &mut PgConnection) {
    let deletes: String = sqlx::query_scalar(
        "SELECT string_agg(format('DELETE FROM %I;', tablename), ' ') FROM pg_tables
         WHERE schemaname = 'public'
           AND tablename NOT IN ('_sqlx_migrations', 'agent_months', 'ingest_ledger', 'ingest_keys')",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    // Skips the checks of foreign keys: no row is left that could violate one.
    let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {deletes} COMMIT;");
    sqlx::raw_sql(AssertSqlSafe(script))
        .execute(conn)
        .await
        .unwrap();
}
