//! Events as JSON over plain HTTP: `POST /v1/events`, one event a line or an array.
//!
//! What happens to an event is what `Submit` does with it: the same checks, budgets and
//! answers. Only the body and the answer have another form. Another layer checks keys before
//! requests get here.

mod answer;
mod error;
mod request;
mod take;
mod written;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;

pub use self::answer::EventsAnswer;
pub use self::error::EventsError;
pub use self::take::EventsIngest;
use super::settle::Unsettled;
use crate::auth::Denied;

/// The path of the endpoint.
const PATH: &str = "/v1/events";

/// Whether a path of the HTTP port is that of events.
#[must_use]
pub fn is_events_path(path: &str) -> bool {
    path == PATH
}

/// Answers a request to [`is_events_path`].
pub async fn answer_events(ingest: EventsIngest, request: Request) -> Response<Body> {
    match ingest.take(request).await {
        Ok(answer) => answer.response(),
        Err(error) => error.response(),
    }
}

/// Answers a request that failed authorization.
pub fn answer_denied_events(denied: Denied) -> Response<Body> {
    EventsError::Denied(denied).response()
}

/// Answers a request that was not read.
pub(super) fn answer_unread_events(why: Unsettled) -> Response<Body> {
    EventsError::Unsettled(why).response()
}
