//! Customers, in the table `customers`.

use sqlx::PgConnection;
use uuid::Uuid;

/// A customer to add.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the columns of `customers`
pub struct NewCustomer {
    pub id: Uuid,
    pub name: String,
    /// Text of a number.
    pub arr: String,
    pub tier: Option<String>,
}

/// Adds a customer. Returns false if there is one with its id.
///
/// # Errors
/// If the statement fails.
pub async fn add_customer(
    conn: &mut PgConnection,
    customer: &NewCustomer,
) -> Result<bool, sqlx::Error> {
    let added = sqlx::query(
        "INSERT INTO customers (id, name, arr, tier) VALUES ($1, $2, $3::numeric, $4)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(customer.id)
    .bind(&customer.name)
    .bind(&customer.arr)
    .bind(&customer.tier)
    .execute(conn)
    .await?;
    Ok(added.rows_affected() > 0)
}
