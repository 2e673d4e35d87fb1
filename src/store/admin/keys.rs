//! Keys, in the table `ingest_keys`.

use sqlx::{PgConnection, Row as _};
use uuid::{NonNilUuid, Uuid};

use crate::auth::{KeyAccess, KeyRecord, NewKey, Rates};

/// Why a key was not created or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The customer does not exist or was deleted.
    #[error("there is no customer {0}; add it with `runtraced customers add --id {0} --name NAME`")]
    UnknownCustomer(Uuid),
    /// The key does not exist.
    #[error("there is no key {0}")]
    UnknownKey(Uuid),
    /// The key was revoked before.
    #[error("key {0} was revoked at {1}")]
    AlreadyRevoked(Uuid, String),
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// Loads all valid keys.
///
/// # Errors
/// If the database fails, or if a row is invalid.
pub async fn load_keys(conn: &mut PgConnection) -> Result<Vec<KeyRecord>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../sql/load_keys.sql"))
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let rate = |column| {
                let rate: Option<i64> = row.try_get(column)?;
                Ok::<_, sqlx::Error>(rate.and_then(|rate| u64::try_from(rate).ok()))
            };
            let customer: Option<Uuid> = row.try_get("customer_id")?;
            let invalid = |reason: &str| sqlx::Error::Decode(reason.into());
            let customer = customer.map(|id| {
                // A tenant key must not turn into a key for all customers.
                NonNilUuid::new(id).ok_or_else(|| invalid("the customer of a key is the nil UUID"))
            });
            let access: &str = row.try_get("access")?;
            let sha256: Vec<u8> = row.try_get("key_sha256")?;
            Ok(KeyRecord {
                id: row.try_get("id")?,
                sha256: sha256
                    .try_into()
                    .map_err(|_| invalid("the hash of a key is not 32 bytes long"))?,
                customer: customer.transpose()?,
                access: KeyAccess::named(access)
                    .ok_or_else(|| invalid("the access of a key is unknown"))?,
                rates: Rates {
                    max_events_per_second: rate("max_events_per_second")?,
                    max_bytes_per_second: rate("max_bytes_per_second")?,
                },
            })
        })
        .collect()
}

/// Stores a new key. Only its hash is stored, never its text.
///
/// # Errors
/// [`KeyError::UnknownCustomer`], or a failure of the database.
pub async fn create_key(
    conn: &mut PgConnection,
    key: &NewKey,
    name: &str,
    customer: Option<NonNilUuid>,
    access: KeyAccess,
    rates: Rates,
) -> Result<(), KeyError> {
    let rate = |rate: Option<u64>| rate.map(|rate| i64::try_from(rate).unwrap_or(i64::MAX));
    let customer = customer.map(NonNilUuid::get);
    let created = sqlx::query(include_str!("../sql/create_key.sql"))
        .bind(key.id)
        .bind(name)
        .bind(&key.sha256[..])
        .bind(customer)
        .bind(rate(rates.max_events_per_second))
        .bind(rate(rates.max_bytes_per_second))
        .bind(access.name())
        .execute(conn)
        .await?;
    match (created.rows_affected(), customer) {
        (0, Some(customer)) => Err(KeyError::UnknownCustomer(customer)),
        _ => Ok(()),
    }
}

/// Revokes a key. Daemons refuse it once they have read the keys again.
///
/// # Errors
/// [`KeyError::UnknownKey`], [`KeyError::AlreadyRevoked`], or a failure of the database.
pub async fn revoke_key(conn: &mut PgConnection, id: Uuid) -> Result<(), KeyError> {
    let before: Option<Option<String>> = sqlx::query_scalar(include_str!("../sql/revoke_key.sql"))
        .bind(id)
        .fetch_optional(conn)
        .await?;
    match before {
        None => Err(KeyError::UnknownKey(id)),
        Some(Some(at)) => Err(KeyError::AlreadyRevoked(id, at)),
        Some(None) => Ok(()),
    }
}
