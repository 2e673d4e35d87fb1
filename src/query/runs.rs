//! The list of runs.

use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::InspectError;

/// Selects runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only runs with this status: running, completed, failed.
    pub status: Option<String>,
    /// Only runs of this agent.
    pub agent: Option<String>,
    /// At most this many.
    pub limit: i64,
    /// Runs whose start is unknown, instead of runs whose start is known.
    pub without_start: bool,
}

/// The columns of the view `run_summary` that a list shows. The view describes each.
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
    /// Parses a row in JSON.
    ///
    /// # Errors
    /// If the view has other columns.
    pub fn from_row(row: &RawValue) -> Result<Self, InspectError> {
        Ok(serde_json::from_str(row.get())?)
    }
}

/// The runs that `filter` selects, newest first, each as its row of `run_summary` in JSON.
///
/// # Errors
/// [`InspectError`] if the query fails.
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
