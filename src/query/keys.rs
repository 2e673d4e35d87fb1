//! Keys, without their secrets.

use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// A row of `ingest_keys` without the hash. The table describes each column.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct KeyRow {
    pub id: Uuid,
    pub name: String,
    pub customer_id: Option<Uuid>,
    /// Name of the customer.
    pub customer: Option<String>,
    pub access: String,
    pub max_events_per_second: Option<i64>,
    pub max_bytes_per_second: Option<i64>,
    pub created_at: String,
    pub revoked_at: Option<String>,
}

from_row!(KeyRow {
    id,
    name,
    customer_id,
    customer,
    access,
    max_events_per_second,
    max_bytes_per_second,
    created_at,
    revoked_at,
});

/// The keys, oldest first; with `revoked_too`, also revoked ones.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn keys(
    connection: &mut PgConnection,
    revoked_too: bool,
) -> Result<Vec<KeyRow>, InspectError> {
    let keys = sqlx::query_as(include_str!("sql/keys.sql"))
        .bind(revoked_too)
        .fetch_all(connection)
        .await?;
    Ok(keys)
}
