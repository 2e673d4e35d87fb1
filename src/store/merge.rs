//! The statements of a batch's transaction, each set-wise: one for all rows of
//! a pass. The rules of merging are in the SQL files.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::copy::CopyBuffer;
use super::pg_time::PgTime;
use super::plan::{ApprovalPatch, At, Plan, SessionRef};
use crate::event::{Json, SessionUpsert, Timestamp};

/// What merging did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFate {
    /// Inserted or updated.
    Changed,
    /// Its id belongs to another run or session.
    Elsewhere,
    /// Another transaction inserted it just now; the next attempt sees whose it is.
    Raced,
}

/// Of one COPY message. Large, for each is flushed by itself; small enough that
/// Postgres is busy with one while the next is encoded, and that a large batch
/// is never in memory twice.
const CHUNK_BYTES: usize = 256 << 10;

/// Copies rows, if there are any.
pub async fn copy<R>(
    conn: &mut PgConnection,
    statement: &str,
    rows: impl IntoIterator<Item = R>,
    encode: impl Fn(R, &mut CopyBuffer),
) -> Result<(), sqlx::Error> {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let mut copy = conn.copy_in_raw(statement).await?;
    let mut buffer = CopyBuffer::default();
    for row in rows {
        encode(row, &mut buffer);
        if buffer.bytes().len() >= CHUNK_BYTES {
            copy.send(buffer.bytes()).await?;
            buffer.clear();
        }
    }
    buffer.finish();
    copy.send(buffer.bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// Sees to it that all named sessions exist.
pub async fn ensure_sessions(
    conn: &mut PgConnection,
    sessions: &HashMap<Uuid, SessionRef>,
) -> Result<(), sqlx::Error> {
    let (ids, refs): (Vec<Uuid>, Vec<&SessionRef>) = sessions.iter().unzip();
    sqlx::query(include_str!("sql/ensure_sessions.sql"))
        .bind(ids)
        .bind(refs.iter().map(|r| PgTime(r.at)).collect::<Vec<_>>())
        .bind(refs.iter().map(|r| r.upsert).collect::<Vec<_>>())
        .bind(refs.iter().map(|r| r.tenant).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

/// Merges session upserts; returns the sessions that changed.
pub async fn patch_sessions(
    conn: &mut PgConnection,
    pass: &[At<'_, SessionUpsert>],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let column = Column(pass);
    let rows = sqlx::query(include_str!("sql/patch_sessions.sql"))
        .bind(column.of(|s| s.event.session_id))
        .bind(column.of(|s| PgTime(s.time)))
        .bind(column.of(|s| s.event.customer_id))
        .bind(column.of(|s| s.event.user_id))
        .bind(column.of(|s| s.event.title.as_deref()))
        .bind(column.of(|s| s.event.external_id.as_deref()))
        .bind(column.of(|s| json(s.event.metadata.as_ref())))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Merges one staged pass with `statement`; returns the rows that changed or belong elsewhere.
pub async fn merge_staged(
    conn: &mut PgConnection,
    statement: &'static str,
    pass: i16,
) -> Result<HashMap<Uuid, RowFate>, sqlx::Error> {
    fates(sqlx::query(statement).bind(pass).fetch_all(conn).await?)
}

/// Locks the approvals of a batch that exist, in order.
pub async fn lock_approvals(
    conn: &mut PgConnection,
    plan: &Plan<'_>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = plan
        .approval_passes
        .iter()
        .flatten()
        .map(ApprovalPatch::id)
        .collect();
    let rows = sqlx::query(include_str!("sql/lock_approvals.sql"))
        .bind(ids)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Merges requests and decisions; returns the rows that changed or belong elsewhere.
pub async fn patch_approvals<'a>(
    conn: &mut PgConnection,
    pass: &[ApprovalPatch<'a>],
) -> Result<HashMap<Uuid, RowFate>, sqlx::Error> {
    let column = Column(pass);
    let requested = |patch: &ApprovalPatch<'a>| match *patch {
        ApprovalPatch::Requested(at) => Some(at),
        ApprovalPatch::Decided(_) => None,
    };
    let decided = |patch: &ApprovalPatch<'a>| match *patch {
        ApprovalPatch::Requested(_) => None,
        ApprovalPatch::Decided(at) => Some(at),
    };
    let rows = sqlx::query(include_str!("sql/patch_approvals.sql"))
        .bind(column.of(ApprovalPatch::id))
        .bind(column.of(ApprovalPatch::run_id))
        .bind(column.of(ApprovalPatch::session_id))
        .bind(column.of(|p| requested(p).map(|r| PgTime(r.time))))
        .bind(column.of(|p| requested(p).and_then(|r| r.event.step_id)))
        .bind(column.of(|p| requested(p).map(|r| r.event.action_type.as_str())))
        .bind(column.of(|p| requested(p).and_then(|r| r.event.action_description.as_deref())))
        .bind(column.of(|p| requested(p).and_then(|r| json(r.event.action_data.as_ref()))))
        .bind(column.of(|p| requested(p).and_then(|r| time(r.event.expires_at))))
        .bind(column.of(|p| decided(p).map(|d| d.event.status.as_str())))
        .bind(column.of(|p| decided(p).map(|d| PgTime(d.time))))
        .bind(column.of(|p| decided(p).and_then(|d| d.event.decided_by)))
        .bind(column.of(|p| decided(p).and_then(|d| d.event.notes.as_deref())))
        .fetch_all(conn)
        .await?;
    fates(rows)
}

/// One column of a set of rows, as an array parameter.
pub(super) struct Column<'a, R>(pub &'a [R]);

impl<'a, R> Column<'a, R> {
    pub(super) fn of<T>(&self, value: impl Fn(&'a R) -> T) -> Vec<T> {
        self.0.iter().map(value).collect()
    }
}

pub(super) fn json(json: Option<&Json>) -> Option<&str> {
    json.map(Json::as_str)
}

pub(super) fn time(time: Option<Timestamp>) -> Option<PgTime> {
    time.map(PgTime)
}

fn fates(rows: Vec<sqlx::postgres::PgRow>) -> Result<HashMap<Uuid, RowFate>, sqlx::Error> {
    let mut fates = HashMap::with_capacity(rows.len());
    for row in &rows {
        let id = row.try_get("id")?;
        match row.try_get("fate")? {
            "elsewhere" => _ = fates.entry(id).or_insert(RowFate::Elsewhere),
            // Unless another line says that it was inserted.
            "new" => _ = fates.entry(id).or_insert(RowFate::Raced),
            _ => _ = fates.insert(id, RowFate::Changed),
        }
    }
    Ok(fates)
}
