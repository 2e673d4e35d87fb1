//! Dead letters: events that Postgres refused.

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// Selects dead letters.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Only the dead letters with these ids.
    pub ids: Option<Vec<Uuid>>,
    /// Only dead letters with this code.
    pub code: Option<String>,
    /// Also dead letters that were replayed.
    pub replayed_too: bool,
    /// Only dead letters after this one, given by its `received_at` and id.
    pub after: Option<(String, Uuid)>,
    /// At most this many.
    pub limit: i64,
}

/// A row of `ingest_dead_letters`, which describes each column.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct DeadLetterRow {
    pub id: Uuid,
    pub received_at: String,
    pub source: String,
    pub code: String,
    pub reason: String,
    /// The customer to whom the sender's key was bound.
    pub tenant_id: Option<Uuid>,
    pub replayed_at: Option<String>,
    pub payload: Box<RawValue>,
}

/// The dead letters that `filter` selects, oldest first.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn dead_letters(
    connection: &mut PgConnection,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetterRow>, InspectError> {
    type Row = (
        Uuid,
        String,
        String,
        String,
        String,
        Option<Uuid>,
        Option<String>,
        String,
    );
    let (time, id) = filter.after.clone().unzip();
    let rows: Vec<Row> = sqlx::query_as(include_str!("sql/dead_letters.sql"))
        .bind(&filter.ids)
        .bind(&filter.code)
        .bind(filter.replayed_too)
        .bind(time)
        .bind(id)
        .bind(filter.limit)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(
            |(id, received_at, source, code, reason, tenant_id, replayed_at, payload)| {
                Ok(DeadLetterRow {
                    id,
                    received_at,
                    source,
                    code,
                    reason,
                    tenant_id,
                    replayed_at,
                    payload: RawValue::from_string(payload)?,
                })
            },
        )
        .collect()
}
