//! The list of runs.

use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::InspectError;

/// Which runs are wanted.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only those with this status: running, completed, failed.
    pub status: Option<String>,
    /// Only those of this agent.
    pub agent: Option<String>,
    /// At most so many.
    pub limit: i64,
    /// Those whose start is unknown, instead of those whose start is known.
    pub without_start: bool,
}

/// What a list shows of a row of the view `run_summary`, where each column is
/// described.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)]
pub struct RunSummary {
    pub run_id: uuid::Uuid,
    pub agent_id: String,
    pub name: Option<String>,
    pub status: Option<String>,
    pub finalized_by: Option<String>,
    pub started_at: Option<String>,
    pub duration_ms: Option<i64>,
    pub running_ms: Option<i64>,
    pub waiting_ms: i64,
    pub tokens_input: Option<i64>,
    pub tokens_output: Option<i64>,
    pub steps: i64,
    pub open_steps: i64,
    pub failed_steps: i64,
    pub pending_approvals: i64,
    pub error: Option<String>,
}

impl RunSummary {
    /// Reads it from a row as JSON.
    ///
    /// # Errors
    /// Where the view's columns are others.
    pub fn from_row(row: &RawValue) -> Result<Self, InspectError> {
        Ok(serde_json::from_str(row.get())?)
    }
}

/// The runs that `filter` wants, newest first, each the whole row of
/// `run_summary` as JSON.
///
/// # Errors
/// [`InspectError`] as the database gives it.
pub async fn runs(
    connection: &mut PgConnection,
    filter: &RunFilter,
) -> Result<Vec<Box<RawValue>>, InspectError> {
    let query = if filter.without_start {
        include_str!("sql/runs_without_start.sql")
    } else {
        include_str!("sql/runs.sql")
    };
    let rows: Vec<String> = sqlx::query_scalar(query)
        .bind(&filter.status)
        .bind(&filter.agent)
        .bind(filter.limit)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| Ok(RawValue::from_string(row)?))
        .collect()
}
