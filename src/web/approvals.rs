//! Approvals: the queue, and deciding.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use sqlx::Row as _;
use uuid::Uuid;

use super::access::{ReaderKind, WebReader};
use super::account::json_body;
use super::error::{WebError, json_answer};
use super::params::{Params, id, read_cursor, write_cursor};
use super::{Shared, WebState};
use crate::query::{
    ApprovalPlace, ReadAs, ReadPool, ReadTransaction, SqlText, approval_statement, approvals_order,
    approvals_statement, pending_statement,
};
use crate::store::{self, DecidedBy};

/// Characters of the note of a decision.
const MAX_NOTE_CHARS: usize = 10_000;

/// Whose name stands by a decision of whoever needs no key.
const OPERATOR: &str = "operator on the page";

pub(super) const NO_APPROVAL: WebError = WebError::NotFound("there is no such approval");

/// `GET /api/approvals`.
pub(super) async fn queue(State(state): Shared, request: Request) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let params = Params::of(head.uri.query())?;
    let limit = params.limit(50)?;
    let after = match params.get("cursor").map(read_cursor).transpose()? {
        Some((Some(at), id)) => Some(ApprovalPlace { at, id }),
        _ => None,
    };
    let status = params.all("status");
    let reader = &state.reader(&head)?.read_as;
    let statement = &approvals_statement(&status, after.as_ref(), limit + 1);
    let waiting = &pending_statement();
    let parts = state.pools.each(|pool| async move {
        let mut tx = pool.begin(reader).await?;
        let rows = statement.json_rows(&mut tx).await?;
        let pending = waiting.rows(&mut tx).await?;
        let pending = pending.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok::<_, sqlx::Error>((rows, pending.try_get::<i64, _>("pending")?))
    });
    let (rows, pending): (Vec<_>, Vec<_>) = parts.await?.into_iter().unzip();
    let pending: i64 = pending.into_iter().sum();
    let mut rows = approvals_order(&status).merged(rows, limit + 1)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = match (more, rows.last()) {
        (true, Some(last)) => approval_cursor(last),
        _ => None,
    };
    let shown = approvals_statement(&status, after.as_ref(), limit);
    let sql = SqlText::all_for_psql(&[&shown, waiting]);
    let body = format!(
        "{{\"rows\":[{}],\"next\":{},\"pending\":{pending},\"sql\":{}}}",
        rows.join(","),
        Value::from(next),
        Value::from(sql)
    );
    Ok(json_answer(StatusCode::OK, body))
}

fn approval_cursor(row: &str) -> Option<String> {
    let row: Value = serde_json::from_str(row).ok()?;
    let id = Uuid::try_parse(row["id"].as_str()?).ok()?;
    let at = row["created_at"].as_str().unwrap_or("-infinity");
    Some(write_cursor(Some(at), id))
}

#[derive(Deserialize)]
struct Decision {
    decision: String,
    note: Option<String>,
    /// The `revision` that the person has seen.
    #[serde(default)]
    shown: String,
}

/// `POST /api/approvals/ID/decision`.
pub(super) async fn decide(
    State(state): Shared,
    Path(approval): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, body) = request.into_parts();
    let reader = state.reader(&head)?;
    if !reader.may_decide {
        let reason = "the key may not decide; create one with runtraced keys create --decide";
        return Err(WebError::Forbidden(reason));
    }
    let approval = id(&approval)?;
    let decision: Decision = json_body(Request::from_parts(head, body)).await?;
    if !["approved", "rejected"].contains(&decision.decision.as_str()) {
        let reason = "decision is not one of approved, rejected";
        return Err(WebError::BadRequest(reason.to_owned()));
    }
    if decision.shown.is_empty() {
        let reason = "shown is missing: send the revision of the approval that the person saw";
        return Err(WebError::BadRequest(reason.to_owned()));
    }
    let is_long = |note: &String| note.chars().count() > MAX_NOTE_CHARS;
    if decision.note.as_ref().is_some_and(is_long) {
        return Err(WebError::TooLarge);
    }
    let pool = state.place_of_shown(&reader.read_as, approval, &decision.shown);
    let pool = pool.await?;
    let decided = state.write_decision(&pool, &reader, approval, &decision);
    let decided = decided.await?;
    let mut tx = pool.begin(&reader.read_as).await?;
    let now = approval_statement(approval)
        .json_row(&mut tx)
        .await?
        .ok_or(NO_APPROVAL)?;
    if decided {
        return Ok(json_answer(
            StatusCode::OK,
            format!("{{\"approval\":{now}}}"),
        ));
    }
    let found: Value = serde_json::from_str(&now).unwrap_or_default();
    Err(match found["status"].as_str() {
        Some("approved" | "rejected") => WebError::Decided(now),
        Some("expired") => WebError::Expired(now),
        _ if found["overdue"] == true => WebError::Expired(now),
        _ if found["revision"] != decision.shown => WebError::Changed(now),
        _ => {
            WebError::Forbidden("the policies of the database do not let you decide this approval")
        }
    })
}

impl WebState {
    /// The server of the approval that a person has seen. Another customer may have written one with the same id to another
    /// server: then what was shown says which one is meant.
    async fn place_of_shown(
        &self,
        reader: &ReadAs,
        approval: Uuid,
        shown: &str,
    ) -> Result<ReadPool, WebError> {
        let (mut found, failed) = self.approvals_of(reader, approval).await;
        let is_shown = |(_, row): &(ReadPool, String)| {
            let row: Value = serde_json::from_str(row).unwrap_or_default();
            row["revision"] == shown
        };
        match (found.iter().position(is_shown), failed) {
            (Some(place), _) => Ok(found.swap_remove(place).0),
            (None, Some(error)) => Err(error.into()),
            (None, None) => found
                .into_iter()
                .next()
                .map(|(pool, _)| pool)
                .ok_or(NO_APPROVAL),
        }
    }

    /// What the servers have under the id of an approval, as far as the reader may see it; and why a server cannot say.
    pub(super) async fn approvals_of(
        &self,
        reader: &ReadAs,
        approval: Uuid,
    ) -> (Vec<(ReadPool, String)>, Option<sqlx::Error>) {
        let statement = &approval_statement(approval);
        let ask = |pool: ReadPool| async move {
            let mut tx = pool.begin(reader).await?;
            statement.json_row(&mut tx).await
        };
        self.pools.holders(ask).await
    }

    /// Writes a decision, as the daemon for the owner of a key, and as the user for a user.
    /// Returns whether it stands.
    async fn write_decision(
        &self,
        pool: &ReadPool,
        reader: &WebReader,
        approval: Uuid,
        decision: &Decision,
    ) -> Result<bool, WebError> {
        let is_user = reader.kind == ReaderKind::User;
        let decided_by = match reader.kind {
            ReaderKind::User => None,
            ReaderKind::Operator => Some(DecidedBy::operator(OPERATOR)),
            ReaderKind::Key { id, .. } => Some(DecidedBy {
                key: Some(id),
                name: self.key_name(reader).await?.unwrap_or_default(),
            }),
        };
        let write_as = match is_user {
            true => reader.read_as.clone(),
            false => ReadAs::Daemon,
        };
        let mut tx: ReadTransaction = pool.begin_write(&ReadAs::Daemon).await?;
        store::check_schema(&mut tx).await?;
        drop(tx);
        let mut tx = pool.begin_write(&write_as).await?;
        let note = decision
            .note
            .as_ref()
            .map(|note| note.replace('\0', "\u{fffd}"));
        let decided = store::decide_approval(
            &mut tx,
            approval,
            &decision.decision,
            note.as_deref(),
            decided_by.as_ref(),
            &decision.shown,
        )
        .await;
        match decided {
            Ok(decided) => {
                tx.commit().await?;
                self.approvals.look();
                Ok(decided)
            }
            // The trigger refuses what a user may not decide, or the user's role may not.
            Err(error) if is_user && store::sqlstate(&error) == "42501" => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
