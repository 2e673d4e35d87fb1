//! The list of runs.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::Shared;
use super::error::{WebError, json_answer};
use super::params::{Params, write_cursor};
use crate::query::RunPage;

/// `GET /api/runs`.
pub(super) async fn list(State(state): Shared, request: Request) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let search = Params::of(head.uri.query())?.run_search()?;
    let reader = state.reader(&head)?;
    let page = search.page_of_all(&state.pools, &reader.read_as).await?;
    let sql = Value::from(page.statement.for_psql());
    let body = format!("{{{},\"sql\":{sql}}}", page_members(&page));
    Ok(json_answer(StatusCode::OK, body))
}

/// A page as the members of a JSON object.
pub(super) fn page_members(page: &RunPage) -> String {
    let rows: Vec<&str> = page.rows.iter().map(|(_, row)| row.as_str()).collect();
    let next = page.next.as_ref();
    let next = next.map(|place| write_cursor(place.key.as_deref(), place.id));
    format!(
        "\"rows\":[{}],\"next\":{},\"searched_back_to\":{}",
        rows.join(","),
        Value::from(next),
        Value::from(page.searched_back_to.clone())
    )
}
