//! Keys, as people may see them.

use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// A row of `ingest_keys` but for the hash; each column is described there.
#[derive(Debug, Serialize, sqlx::FromRow)]
#[allow(missing_docs)]
pub struct Key {
    pub id: Uuid,
    pub name: String,
    pub customer_id: Option<Uuid>,
    /// The customer's name.
    pub customer: Option<String>,
    pub max_events_per_second: Option<i64>,
    pub max_bytes_per_second: Option<i64>,
    pub created_at: String,
    pub revoked_at: Option<String>,
}

/// The keys, oldest first; those that were revoked too, if wanted.
///
/// # Errors
/// [`InspectError`] as the database gives it.
pub async fn keys(
    connection: &mut PgConnection,
    revoked_too: bool,
) -> Result<Vec<Key>, InspectError> {
    let keys = sqlx::query_as(include_str!("sql/keys.sql"))
        .bind(revoked_too)
        .fetch_all(connection)
        .await?;
    Ok(keys)
}
