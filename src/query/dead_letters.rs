//! Events that Postgres refused.

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// Which dead letters are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Only these.
    pub ids: Option<Vec<Uuid>>,
    /// Only those with this code.
    pub code: Option<String>,
    /// Also those that were replayed.
    pub replayed_too: bool,
    /// Only those behind this one: its `received_at` and id.
    pub after: Option<(String, Uuid)>,
    /// At most so many.
    pub limit: i64,
}

/// A row of `ingest_dead_letters`, where each column is described.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct DeadLetter {
    pub id: Uuid,
    pub received_at: String,
    pub source: String,
    pub code: String,
    pub reason: String,
    /// The customer whose key it came with.
    pub tenant_id: Option<Uuid>,
    pub replayed_at: Option<String>,
    pub payload: Box<RawValue>,
}

/// The dead letters that `filter` wants, oldest first.
///
/// # Errors
/// [`InspectError`] as the database gives it.
pub async fn dead_letters(
    connection: &mut PgConnection,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetter>, InspectError> {
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
                Ok(DeadLetter {
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
