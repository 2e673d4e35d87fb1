//! Customers, with the number of their keys.

use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// A row of `customers`. The table describes each column.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct CustomerRow {
    pub id: Uuid,
    pub name: String,
    pub tier: Option<String>,
    /// Text of a number.
    pub arr: Option<String>,
    /// Valid keys that are bound to the customer.
    pub keys: i64,
    pub created_at: Option<String>,
    pub deleted_at: Option<String>,
}

from_row!(CustomerRow {
    id,
    name,
    tier,
    arr,
    keys,
    created_at,
    deleted_at,
});

/// The customers, oldest first; with `deleted_too`, also deleted ones.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn customers(
    connection: &mut PgConnection,
    deleted_too: bool,
) -> Result<Vec<CustomerRow>, InspectError> {
    let customers = sqlx::query_as(include_str!("sql/customers.sql"))
        .bind(deleted_too)
        .fetch_all(connection)
        .await?;
    Ok(customers)
}

/// Whether another server sends the rows of `customers` to this one (logical replication).
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn customers_are_copied(connection: &mut PgConnection) -> Result<bool, InspectError> {
    let copied = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = to_regclass('customers'))",
    );
    Ok(copied.fetch_one(connection).await?)
}
