//! The statements of a batch for sessions, steps, messages, token counts, scores and approvals.
//!
//! Each statement handles all rows of a batch. The merging rules are in the SQL files.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::error::BatchError;
use super::gone::GoneIds;
use crate::event::{FiniteNumber, Json, Message, Score, SessionUpsert, Timestamp, TokenCount};
use crate::store::encode::copy::CopyBuffer;
use crate::store::encode::rows::StepColumns;
use crate::store::encode::{Aliases, PgTime};
use crate::store::plan::{
    ApprovalPatch, PlannedEvent, SessionField, SessionPatch, SessionRef, StepRow,
};

/// What a merge did to a row. Rows that did not change have no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// Inserted or updated.
    Changed,
    /// The id belongs to another run or session.
    IdTaken,
    /// The row should have been inserted or changed, and was not. Either another
    /// transaction inserted it during the merge, and the next attempt sees its run or
    /// session; or a trigger skips it.
    Missing,
}

/// The size of one COPY message. Each message is flushed separately, so it is large. It
/// is small enough that Postgres works on one while the next is encoded, and that a
/// large batch is not in memory twice.
const CHUNK_BYTES: usize = 256 << 10;

/// The approximate size of the rows of one merging statement: large enough that the cost
/// of the statement itself is small, and small enough that a large batch is not in
/// memory twice.
const PART_BYTES: usize = 1 << 20;
/// The approximate size of a row's fixed-size columns.
const ROW_BYTES: usize = 200;

/// Copies rows. Without rows it sends nothing. `event_of` is the position of an event of a
/// row, for the row at which COPY fails.
pub async fn copy<R>(
    conn: &mut PgConnection,
    statement: &str,
    rows: &[R],
    encode: impl Fn(&R, &mut CopyBuffer),
    event_of: impl Fn(&R) -> Option<usize>,
) -> Result<(), BatchError> {
    if rows.is_empty() {
        return Ok(());
    }
    match send_rows(conn, statement, rows, encode).await {
        Ok(copied) if copied == rows.len() as u64 => Ok(()),
        Ok(_) => Err(BatchError::MissingRow),
        Err(error) => Err(BatchError::of_copy(error, |row| event_of(rows.get(row)?))),
    }
}

/// Sends rows to COPY. Returns how many Postgres has stored.
async fn send_rows<R>(
    conn: &mut PgConnection,
    statement: &str,
    rows: &[R],
    encode: impl Fn(&R, &mut CopyBuffer),
) -> Result<u64, sqlx::Error> {
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
    copy.finish().await
}

/// Creates the named sessions that do not exist yet.
pub async fn ensure_sessions(
    conn: &mut PgConnection,
    sessions: &HashMap<Uuid, SessionRef>,
) -> Result<(), BatchError> {
    let (ids, refs): (Vec<Uuid>, Vec<&SessionRef>) = sessions.iter().unzip();
    let gone: Vec<Uuid> = sqlx::query_scalar(include_str!("../sql/ensure_sessions.sql"))
        .bind(ids)
        .bind(refs.iter().map(|r| PgTime(r.at)).collect::<Vec<_>>())
        .bind(refs.iter().map(|r| r.upsert).collect::<Vec<_>>())
        .bind(refs.iter().map(|r| r.tenant).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    GoneIds::of_sessions(gone).none()
}

/// Merges session upserts; returns the sessions that changed.
pub async fn patch_sessions(
    conn: &mut PgConnection,
    patches: &[SessionPatch<'_>],
) -> Result<HashSet<Uuid>, BatchError> {
    use SessionField::{Customer, ExternalId, Metadata, Title, User};
    fn value<'a>(patch: &SessionPatch<'a>, field: SessionField) -> Option<&'a SessionUpsert> {
        patch.winner(field).map(|upsert| upsert.event)
    }
    let column = Column(patches);
    let times = |field| column.of(|p| p.winner(field).map(|upsert| PgTime(upsert.time)));
    let rows = sqlx::query(include_str!("../sql/patch_sessions.sql"))
        .bind(column.of(|p| p.id))
        .bind(column.of(|p| PgTime(p.latest.time)))
        .bind(column.of(|p| value(p, Customer).and_then(|s| s.customer_id)))
        .bind(column.of(|p| value(p, User).and_then(|s| s.user_id)))
        .bind(column.of(|p| value(p, Title).and_then(|s| s.title.as_deref())))
        .bind(column.of(|p| value(p, ExternalId).and_then(|s| s.external_id.as_deref())))
        .bind(column.of(|p| value(p, Metadata).and_then(|s| json(s.metadata.as_ref()))))
        .bind(times(Customer))
        .bind(times(User))
        .bind(times(Title))
        .bind(times(ExternalId))
        .bind(times(Metadata))
        .fetch_all(conn)
        .await?;
    let (mut changed, mut due) = (HashSet::new(), Vec::new());
    for row in &rows {
        let id = row.try_get("id")?;
        if row.try_get("changed")? {
            changed.insert(id);
        } else {
            due.push(id);
        }
    }
    all_written(due, |id| changed.contains(id))?;
    Ok(changed)
}

/// Fails if a row that an event changes was not written.
fn all_written(due: Vec<Uuid>, is_written: impl Fn(&Uuid) -> bool) -> Result<(), BatchError> {
    if due.iter().all(is_written) {
        Ok(())
    } else {
        Err(BatchError::MissingRow)
    }
}

/// Merges steps, each at most once. The result lists the rows that changed or whose id is
/// taken.
pub async fn merge_steps(
    conn: &mut PgConnection,
    rows: &[StepRow<'_>],
    aliases: &Aliases,
) -> Result<HashMap<Uuid, RowOutcome>, sqlx::Error> {
    let rows: Vec<_> = rows.iter().map(|row| row.part.row(aliases)).collect();
    let bytes = |row: &StepColumns<'_>| {
        let texts = [row.name, row.kind, row.error, row.model];
        let jsons = [row.input, row.output, row.metadata].map(json);
        texts.into_iter().chain(jsons).flatten().map(str::len).sum()
    };
    let mut all = HashMap::with_capacity(rows.len());
    for part in parts(&rows, bytes) {
        let column = Column(part);
        let merged = sqlx::query(include_str!("../sql/merge_steps.sql"))
            .bind(column.of(|r| r.id))
            .bind(column.of(|r| r.run_id))
            .bind(column.of(|r| r.step_type))
            .bind(column.of(|r| r.name))
            .bind(column.of(|r| json(r.input)))
            .bind(column.of(|r| json(r.output)))
            .bind(column.of(|r| r.duration_ms))
            .bind(column.of(|r| time(r.created_at)))
            .bind(column.of(|r| r.parent_step_id))
            .bind(column.of(|r| r.kind))
            .bind(column.of(|r| r.status))
            .bind(column.of(|r| r.error))
            .bind(column.of(|r| r.model))
            .bind(column.of(|r| time(r.started_at)))
            .bind(column.of(|r| time(r.ended_at)))
            .bind(column.of(|r| json(r.metadata)))
            .bind(column.of(|r| r.duration_reported))
            .bind(column.of(|r| r.details_rank))
            .bind(column.of(|r| time(r.details_at)))
            .bind(column.of(|r| r.named_parent_step_id))
            .bind(column.of(|r| r.view));
        all.extend(outcomes(merged.fetch_all(&mut *conn).await?)?);
    }
    Ok(all)
}

/// Merges messages, each at most once. The result lists the rows that changed or whose id is
/// taken.
pub async fn merge_messages(
    conn: &mut PgConnection,
    rows: &[PlannedEvent<'_, Message>],
) -> Result<HashMap<Uuid, RowOutcome>, sqlx::Error> {
    let bytes = |row: &PlannedEvent<'_, Message>| {
        let jsons = [&row.event.tool_calls, &row.event.metadata].map(|j| json(j.as_ref()));
        let texts = [&row.event.content, &row.event.thinking].map(|text| text.as_deref());
        texts.into_iter().chain(jsons).flatten().map(str::len).sum()
    };
    let mut all = HashMap::with_capacity(rows.len());
    for part in parts(rows, bytes) {
        let column = Column(part);
        let merged = sqlx::query(include_str!("../sql/merge_messages.sql"))
            .bind(column.of(|r| r.event.message_id))
            .bind(column.of(|r| r.event.session_id))
            .bind(column.of(|r| r.event.role.as_str()))
            .bind(column.of(|r| r.event.content.as_deref()))
            .bind(column.of(|r| r.event.thinking.as_deref()))
            .bind(column.of(|r| json(r.event.tool_calls.as_ref())))
            .bind(column.of(|r| json(r.event.metadata.as_ref())))
            .bind(column.of(|r| PgTime(r.time)))
            .bind(column.of(|r| r.event.run_id))
            .bind(column.of(|r| r.event.step_id))
            .bind(column.of(|r| r.event.seq))
            .bind(column.of(|r| r.event.sighting.then_some(true)));
        all.extend(outcomes(merged.fetch_all(&mut *conn).await?)?);
    }
    Ok(all)
}

/// Merges token counts, each at most once. The result lists the rows that changed or whose id is
/// taken.
pub async fn merge_token_counts(
    conn: &mut PgConnection,
    rows: &[PlannedEvent<'_, TokenCount>],
) -> Result<HashMap<Uuid, RowOutcome>, sqlx::Error> {
    let bytes =
        |row: &PlannedEvent<'_, TokenCount>| row.event.model.as_ref().map_or(0, String::len);
    let mut all = HashMap::with_capacity(rows.len());
    for part in parts(rows, bytes) {
        let column = Column(part);
        let merged = sqlx::query(include_str!("../sql/merge_token_counts.sql"))
            .bind(column.of(|r| r.event.token_count_id))
            .bind(column.of(|r| r.event.run_id))
            .bind(column.of(|r| r.event.step_id))
            .bind(column.of(|r| r.event.model.as_deref()))
            .bind(column.of(|r| r.event.input))
            .bind(column.of(|r| r.event.output))
            .bind(column.of(|r| r.event.cache_read))
            .bind(column.of(|r| r.event.cache_write))
            .bind(column.of(|r| r.event.reasoning))
            .bind(column.of(|r| r.event.rollup))
            .bind(column.of(|r| PgTime(r.time)));
        all.extend(outcomes(merged.fetch_all(&mut *conn).await?)?);
    }
    Ok(all)
}

/// Merges scores, each at most once. The result lists the rows that changed or whose id is
/// taken.
pub async fn merge_scores(
    conn: &mut PgConnection,
    rows: &[PlannedEvent<'_, Score>],
) -> Result<HashMap<Uuid, RowOutcome>, sqlx::Error> {
    let bytes = |row: &PlannedEvent<'_, Score>| {
        let e = row.event;
        let texts = [&e.label, &e.comment, &e.source].map(|text| text.as_deref());
        let texts = texts.into_iter().chain([json(e.metadata.as_ref())]);
        e.name.len() + texts.flatten().map(str::len).sum::<usize>()
    };
    let mut all = HashMap::with_capacity(rows.len());
    for part in parts(rows, bytes) {
        let column = Column(part);
        let merged = sqlx::query(include_str!("../sql/merge_scores.sql"))
            .bind(column.of(|r| r.event.score_id))
            .bind(column.of(|r| r.event.run_id))
            .bind(column.of(|r| r.event.step_id))
            .bind(column.of(|r| r.event.name.as_str()))
            .bind(column.of(|r| r.event.value.map(FiniteNumber::get)))
            .bind(column.of(|r| r.event.label.as_deref()))
            .bind(column.of(|r| r.event.comment.as_deref()))
            .bind(column.of(|r| r.event.source.as_deref()))
            .bind(column.of(|r| json(r.event.metadata.as_ref())))
            .bind(column.of(|r| PgTime(r.time)));
        all.extend(outcomes(merged.fetch_all(&mut *conn).await?)?);
    }
    Ok(all)
}

/// Splits rows into parts of about [`PART_BYTES`], one per statement.
pub(super) fn parts<R>(rows: &[R], bytes: impl Fn(&R) -> usize) -> impl Iterator<Item = &[R]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = rest.iter().take_while(|row| {
            let first = sum == 0;
            sum += ROW_BYTES + bytes(row);
            first || sum <= PART_BYTES
        });
        let (part, after) = rest.split_at(fits.count());
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// Locks the existing approvals among these, in the order of their ids.
pub async fn lock_approvals(
    conn: &mut PgConnection,
    patches: &[ApprovalPatch<'_>],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../sql/lock_approvals.sql"))
        .bind(Column(patches).of(|p| p.id))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// What a merge did to the request and to the decision of an approval.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct ApprovalOutcome {
    pub request: Option<RowOutcome>,
    pub decision: Option<RowOutcome>,
}

/// Merges requests and decisions. The result lists the rows that changed or whose id is
/// taken.
pub async fn patch_approvals<'a>(
    conn: &mut PgConnection,
    patches: &[ApprovalPatch<'a>],
) -> Result<HashMap<Uuid, ApprovalOutcome>, BatchError> {
    let column = Column(patches);
    let request = |patch: &ApprovalPatch<'a>| patch.request.map(|request| request.event);
    let decision = |patch: &ApprovalPatch<'a>| patch.decision.map(|decision| decision.event);
    let rows = sqlx::query(include_str!("../sql/patch_approvals.sql"))
        .bind(column.of(|p| p.id))
        .bind(column.of(|p| p.run_id))
        .bind(column.of(|p| p.session_id))
        .bind(column.of(|p| time(p.request.map(|request| request.time))))
        .bind(column.of(|p| request(p).and_then(|r| r.step_id)))
        .bind(column.of(|p| request(p).map(|r| r.action_type.as_str())))
        .bind(column.of(|p| request(p).and_then(|r| r.action_description.as_deref())))
        .bind(column.of(|p| request(p).and_then(|r| json(r.action_data.as_ref()))))
        .bind(column.of(|p| time(request(p).and_then(|r| r.expires_at))))
        .bind(column.of(|p| decision(p).map(|d| d.status.as_str())))
        .bind(column.of(|p| time(p.decision.map(|decision| decision.time))))
        .bind(column.of(|p| decision(p).and_then(|d| d.decided_by)))
        .bind(column.of(|p| decision(p).and_then(|d| d.notes.as_deref())))
        .fetch_all(conn)
        .await?;
    let (mut outcomes, mut due) = (HashMap::new(), Vec::new());
    for row in &rows {
        let id = row.try_get("id")?;
        if row.try_get("due")? {
            due.push(id);
            continue;
        }
        let taken = row.try_get("taken")?;
        let outcome = |changed: bool| match (taken, changed) {
            (true, _) => Some(RowOutcome::IdTaken),
            (false, true) => Some(RowOutcome::Changed),
            (false, false) => None,
        };
        let outcome = ApprovalOutcome {
            request: outcome(row.try_get("request_changed")?),
            decision: outcome(row.try_get("decision_changed")?),
        };
        outcomes.insert(id, outcome);
    }
    all_written(due, |id| outcomes.contains_key(id))?;
    Ok(outcomes)
}

/// One column of a set of rows, as an array parameter.
pub(super) struct Column<'a, R>(pub &'a [R]);

impl<'a, R> Column<'a, R> {
    pub(super) fn of<T>(&self, value: impl Fn(&'a R) -> T) -> Vec<T> {
        self.0.iter().map(value).collect()
    }
}

/// JSON as a row holds it.
pub(super) fn json(json: Option<&Json>) -> Option<&str> {
    json.map(Json::stored)
}

pub(super) fn time(time: Option<Timestamp>) -> Option<PgTime> {
    time.map(PgTime)
}

fn outcomes(rows: Vec<sqlx::postgres::PgRow>) -> Result<HashMap<Uuid, RowOutcome>, sqlx::Error> {
    let mut outcomes = HashMap::with_capacity(rows.len());
    for row in &rows {
        let id = row.try_get("id")?;
        match row.try_get("outcome")? {
            "elsewhere" => _ = outcomes.entry(id).or_insert(RowOutcome::IdTaken),
            // The row did not exist before, or an event changes it. If this statement did
            // so, another line of the result says it.
            "new" | "due" => _ = outcomes.entry(id).or_insert(RowOutcome::Missing),
            _ => _ = outcomes.insert(id, RowOutcome::Changed),
        }
    }
    Ok(outcomes)
}
