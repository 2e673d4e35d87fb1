//! One run: its skeleton, payloads, conversation, and its events as a file.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use uuid::Uuid;

use super::columns::skeleton_members;
use super::error::{WebError, json_answer};
use super::export::{ExportPart, whole};
use super::messages::MessagePage;
use super::params::{Params, id};
use super::{Shared, WebState};
use crate::query::{
    ConversationOf, MAX_HITS, PayloadItem, PayloadRequest, RowsByTime, SESSION_RUNS,
    find_statement, fullest_session, run_for_psql, run_head, run_row, session_runs_statement,
    session_statement, skeleton_rows, step_digests,
};

const NO_RUN: WebError = WebError::NotFound("there is no such run");

/// `GET /api/runs/ID`.
pub(super) async fn skeleton(
    State(state): Shared,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let params = Params::of(head.uri.query())?;
    let run = id(&run)?;
    let (reader, mut tx) = state.begin_at(&head, run).await?;
    let found = run_head(&mut tx, run).await?.ok_or(NO_RUN)?;
    let rows = skeleton_rows(&mut tx, run).await?;
    let digests = match params.flag("digests") {
        true => Some(step_digests(&mut tx, run).await?),
        false => None,
    };
    drop(tx);
    let found = found.with_relatives(&state.pools, &reader.read_as).await?;
    let sql = Value::from(run_for_psql(run));
    let mut body = format!("{{{},\"sql\":{sql}}}", skeleton_members(&found, &rows));
    if let Some(digests) = digests {
        let digests: serde_json::Map<_, _> = digests
            .into_iter()
            .map(|(step, input, output)| {
                let both = [input, output].map(Option::unwrap_or_default).join(" ");
                (URL_SAFE_NO_PAD.encode(step), Value::from(both))
            })
            .collect();
        body = extended(&body, "digests", &Value::from(digests));
    }
    Ok(json_answer(StatusCode::OK, body))
}

/// `GET /api/runs/ID/payload`.
pub(super) async fn payload(
    State(state): Shared,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let params = Params::of(head.uri.query())?;
    let item = params.get("item").and_then(PayloadItem::named);
    let item = item.ok_or_else(|| {
        WebError::BadRequest("item is not one of run, step, message, approval, score".to_owned())
    })?;
    let run = id(&run)?;
    let asked = PayloadRequest {
        run,
        item,
        id: match (item, params.get("id")) {
            (PayloadItem::Run, _) => run,
            (_, Some(text)) => id(text)?,
            (_, None) => return Err(WebError::BadRequest("id is missing".to_owned())),
        },
        field: params.get("field").map(str::to_owned),
        offset: params
            .parsed("offset", "a whole number")?
            .unwrap_or(0_i64)
            .clamp(0, i64::from(i32::MAX) - 1),
        pretty: params.flag("pretty"),
    };
    let statement = asked
        .statement()
        .ok_or_else(|| WebError::BadRequest("the item has no field of this name".to_owned()))?;
    let (_, mut tx) = state.begin_at(&head, run).await?;
    let found = asked.read(&mut tx).await?;
    let found = found.ok_or(WebError::NotFound("there is no such payload"))?;
    let mut body = found;
    for (name, value) in [
        ("item", Value::from(params.get("item"))),
        ("id", Value::from(asked.id.to_string())),
        ("sql", Value::from(statement.for_psql())),
    ] {
        body = extended(&body, name, &value);
    }
    Ok(json_answer(StatusCode::OK, body))
}

/// A JSON object with one more member.
fn extended(object: &str, name: &str, value: &Value) -> String {
    let open = object.trim_end().strip_suffix('}').unwrap_or(object);
    let comma = if open.trim_end().ends_with('{') {
        ""
    } else {
        ","
    };
    format!("{open}{comma}\"{name}\":{value}}}")
}

/// `GET /api/runs/ID/find`.
pub(super) async fn find(
    State(state): Shared,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let params = Params::of(head.uri.query())?;
    let text = params.get("q");
    let text = text.ok_or_else(|| WebError::BadRequest("q is missing".to_owned()))?;
    let run = id(&run)?;
    let statement = find_statement(run, text);
    let (_, mut tx) = state.begin_at(&head, run).await?;
    let mut hits = statement.json_rows(&mut tx).await?;
    let more = hits.len() > MAX_HITS;
    hits.truncate(MAX_HITS);
    let sql = Value::from(statement.for_psql());
    let body = format!(
        "{{\"hits\":[{}],\"more\":{more},\"sql\":{sql}}}",
        hits.join(",")
    );
    Ok(json_answer(StatusCode::OK, body))
}

/// `GET /api/runs/ID/conversation`.
pub(super) async fn run_conversation(
    State(state): Shared,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let run = id(&run)?;
    let (_, mut tx) = state.begin_at(&head, run).await?;
    run_row(&mut tx, run).await?.ok_or(NO_RUN)?;
    let page = MessagePage::of(&head, ConversationOf::Run(run))?;
    let messages = page.read(&mut tx).await?;
    let body = page.members(messages, &[]);
    Ok(json_answer(StatusCode::OK, format!("{{{body}}}")))
}

/// `GET /api/sessions/ID/conversation`.
pub(super) async fn session_conversation(
    State(state): Shared,
    Path(session): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let session = id(&session)?;
    let reader = &state.reader(&head)?.read_as;
    let page = &MessagePage::of(&head, ConversationOf::Session(session))?;
    let (about, of_session) = (session_statement(session), session_runs_statement(session));
    let (about_it, its_runs) = (&about, &of_session);
    let parts = state.pools.each(|pool| async move {
        let mut tx = pool.begin_shared(reader).await?;
        let found = about_it.json_row(&mut tx).await?;
        let runs = its_runs.json_rows(&mut tx).await?;
        // Where the session is not, it has no messages.
        let messages = match (&found, runs.is_empty()) {
            (None, true) => Vec::new(),
            _ => page.read(&mut tx).await?,
        };
        Ok::<_, sqlx::Error>((found, (runs, messages)))
    });
    let (found, lists): (Vec<_>, Vec<_>) = parts.await?.into_iter().unzip();
    let (runs, messages): (Vec<_>, Vec<_>) = lists.into_iter().unzip();
    let found = fullest_session(found);
    let runs = RowsByTime::Runs.merged(runs, SESSION_RUNS)?;
    if found.is_none() && runs.is_empty() {
        return Err(WebError::NotFound("there is no such session"));
    }
    let messages = RowsByTime::Messages.merged(messages, page.limit + 1)?;
    let body = page.members(messages, &[&about, &of_session]);
    let found = found.unwrap_or_else(|| "null".to_owned());
    let body = format!(
        "{{{body},\"session\":{found},\"runs\":[{}]}}",
        runs.join(",")
    );
    Ok(json_answer(StatusCode::OK, body))
}

/// `GET /api/runs/ID/export`.
pub(super) async fn export(
    State(state): Shared,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let run = id(&run)?;
    let place = state.exports.place().ok_or(WebError::Busy)?;
    let (reader, mut tx) = state.begin_at(&head, run).await?;
    run_row(&mut tx, run).await?.ok_or(NO_RUN)?;
    drop((reader, tx));
    // One page waits for the client while the next one is read.
    let (to, from) = mpsc::channel(1);
    tokio::spawn(send_export(state, head, run, to, place));
    let kind = HeaderValue::from_static("application/x-ndjson");
    let store = HeaderValue::from_static("no-store");
    let name = HeaderValue::try_from(format!("attachment; filename=\"{run}.jsonl\""));
    let name = name.unwrap_or(HeaderValue::from_static("attachment"));
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, store),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(whole(from))).into_response())
}

async fn send_export(
    state: Arc<WebState>,
    head: Parts,
    run: Uuid,
    to: mpsc::Sender<ExportPart>,
    _place: OwnedSemaphorePermit,
) {
    state.send_events(&head, run, &to).await;
}
