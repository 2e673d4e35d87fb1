//! Events that Postgres refuses, kept so that nothing is thrown away.

use sqlx::PgConnection;
use uuid::{NonNilUuid, Uuid};

use crate::event::{Event, Refusal};
use crate::store::error::{reason, sqlstate};

/// Namespace of the ids of dead letters, which are derived from their payload.
const DEAD_LETTERS: Uuid = Uuid::from_u128(0x0192_f0c1_7d6c_7e7c_a5a5_6465_6164_6c74);

/// A row of `ingest_dead_letters`.
#[derive(Clone, Debug)]
pub(super) struct DeadLetter {
    /// The event's position in its batch.
    pub index: usize,
    /// The customer whose key it came with.
    tenant: Option<Uuid>,
    /// SQLSTATE.
    code: String,
    /// The message of Postgres.
    pub reason: String,
    /// The event as JSON.
    payload: String,
}

impl DeadLetter {
    pub fn new(index: usize, event: &Event, error: &sqlx::Error, payload: String) -> Self {
        let (code, reason) = (sqlstate(error), reason(error));
        Self {
            index,
            tenant: event.tenant.map(NonNilUuid::get),
            code,
            reason,
            payload,
        }
    }
}

impl DeadLetter {
    /// An event that was refused when its client had had its ack.
    pub fn refused(index: usize, event: &Event, refusal: &Refusal, payload: String) -> Self {
        Self {
            index,
            tenant: event.tenant.map(NonNilUuid::get),
            code: refusal.code.as_str().to_owned(),
            reason: refusal.reason.clone(),
            payload,
        }
    }

    /// Derived, so that a retry is not kept twice; two customers' never meet.
    fn id(&self) -> Uuid {
        let namespace = match self.tenant {
            Some(tenant) => Uuid::new_v5(&DEAD_LETTERS, tenant.as_bytes()),
            None => DEAD_LETTERS,
        };
        Uuid::new_v5(&namespace, self.payload.as_bytes())
    }
}

/// Keeps dead letters; part of the transaction that counts them.
pub(super) async fn keep(
    conn: &mut PgConnection,
    letters: &[DeadLetter],
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../sql/insert_dead_letters.sql"))
        .bind(letters.iter().map(DeadLetter::id).collect::<Vec<_>>())
        .bind("native")
        .bind(letters.iter().map(|l| l.code.as_str()).collect::<Vec<_>>())
        .bind(
            letters
                .iter()
                .map(|l| l.reason.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            letters
                .iter()
                .map(|l| l.payload.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(letters.iter().map(|l| l.tenant).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that dead letters were sent again with success.
///
/// # Errors
/// As the database gives it.
pub async fn mark_replayed(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE ingest_dead_letters SET replayed_at = now() WHERE id = ANY ($1)")
        .bind(ids)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes these dead letters, or those with a code, or, where neither is said, all
/// that were not replayed. Returns how many there were.
///
/// # Errors
/// As the database gives it.
pub async fn drop_dead_letters(
    conn: &mut PgConnection,
    ids: Option<Vec<Uuid>>,
    code: Option<String>,
) -> Result<u64, sqlx::Error> {
    let dropped = sqlx::query(include_str!("../sql/drop_dead_letters.sql"))
        .bind(ids)
        .bind(code)
        .execute(conn)
        .await?;
    Ok(dropped.rows_affected())
}
