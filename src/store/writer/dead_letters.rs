//! Stores events that Postgres refuses as dead letters, so that no event is lost.

use sqlx::PgConnection;
use uuid::{NonNilUuid, Uuid};

use super::refused::RefusedPart;
use crate::event::{Event, Refusal};

/// The UUIDv5 namespace of dead-letter ids. An id is derived from the payload.
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x0192_f0c1_7d6c_7e7c_a5a5_6465_6164_6c74);

/// The column `source`: payloads are events of the native protocol.
const SOURCE: &str = "native";

/// A new row of `ingest_dead_letters`.
#[derive(Clone, Debug)]
pub struct NewDeadLetter {
    /// The event's position in its batch.
    pub(super) index: usize,
    /// The customer whose key sent the event.
    tenant: Option<Uuid>,
    /// The SQLSTATE or the refusal code.
    code: String,
    /// The message of Postgres or of the refusal.
    pub(super) reason: String,
    /// The event as JSON.
    payload: String,
}

impl NewDeadLetter {
    /// An event that Postgres refused alone; `index` is its position in its batch.
    pub(super) fn new(index: usize, event: &Event, part: &RefusedPart, payload: String) -> Self {
        Self {
            index,
            tenant: event.tenant.map(NonNilUuid::get),
            code: part.code.clone(),
            reason: part.reason.clone(),
            payload,
        }
    }

    /// An event that was refused after it was acked.
    pub(super) fn refused(index: usize, event: &Event, refusal: &Refusal, payload: String) -> Self {
        Self {
            index,
            tenant: event.tenant.map(NonNilUuid::get),
            code: refusal.code.as_str().to_owned(),
            reason: refusal.reason.clone(),
            payload,
        }
    }

    /// The size of the texts.
    pub(super) fn bytes(&self) -> usize {
        self.code.len() + self.reason.len() + self.payload.len()
    }

    /// The id, derived from tenant and payload: a retry gives the same id, and two
    /// customers never share one.
    fn id(&self) -> Uuid {
        let namespace = match self.tenant {
            Some(tenant) => Uuid::new_v5(&ID_NAMESPACE, tenant.as_bytes()),
            None => ID_NAMESPACE,
        };
        Uuid::new_v5(&namespace, self.payload.as_bytes())
    }
}

/// Inserts dead letters, in the same transaction that counts them in the ledger.
pub(super) async fn insert(
    conn: &mut PgConnection,
    letters: &[NewDeadLetter],
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../sql/insert_dead_letters.sql"))
        .bind(letters.iter().map(NewDeadLetter::id).collect::<Vec<_>>())
        .bind(SOURCE)
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

/// Marks dead letters as replayed successfully.
///
/// # Errors
/// If the database fails.
pub async fn mark_replayed(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE ingest_dead_letters SET replayed_at = now() WHERE id = ANY ($1)")
        .bind(ids)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes dead letters: those with one of the ids, and those with the code. If both are
/// `None`, it deletes all that were not replayed. Returns the number of deleted rows.
///
/// # Errors
/// If the database fails.
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
