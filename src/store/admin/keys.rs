//! Keys in the database: `ingest_keys`.

use sqlx::{PgConnection, Row as _};
use uuid::{NonNilUuid, Uuid};

use crate::auth::{KeyRecord, NewKey, Rates};

/// Why a key was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such customer, or no longer.
    #[error("there is no customer {0}")]
    UnknownCustomer(Uuid),
    /// There is no such key.
    #[error("there is no key {0}")]
    UnknownKey(Uuid),
    /// It was revoked before.
    #[error("key {0} was revoked at {1}")]
    AlreadyRevoked(Uuid, String),
    /// The database refused or vanished.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// The keys that are valid.
///
/// # Errors
/// As the database gives it.
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
            let decode = |fault: &str| sqlx::Error::Decode(fault.into());
            let customer = customer.map(|id| {
                // Whoever may write for it must not become one who may for all.
                NonNilUuid::new(id).ok_or_else(|| decode("a key's customer is the nil UUID"))
            });
            let sha256: Vec<u8> = row.try_get("key_sha256")?;
            Ok(KeyRecord {
                id: row.try_get("id")?,
                sha256: sha256
                    .try_into()
                    .map_err(|_| decode("a key's hash is not 32 bytes"))?,
                customer: customer.transpose()?,
                rates: Rates {
                    max_events_per_second: rate("max_events_per_second")?,
                    max_bytes_per_second: rate("max_bytes_per_second")?,
                },
            })
        })
        .collect()
}

/// Keeps a new key: its hash, never its text.
///
/// # Errors
/// [`KeyError::UnknownCustomer`], or as the database gives it.
pub async fn create_key(
    conn: &mut PgConnection,
    key: &NewKey,
    name: &str,
    customer: Option<NonNilUuid>,
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
        .execute(conn)
        .await?;
    match (created.rows_affected(), customer) {
        (0, Some(customer)) => Err(KeyError::UnknownCustomer(customer)),
        _ => Ok(()),
    }
}

/// Revokes a key, from when on it is refused.
///
/// # Errors
/// [`KeyError::UnknownKey`], [`KeyError::AlreadyRevoked`], or as the database
/// gives it.
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
