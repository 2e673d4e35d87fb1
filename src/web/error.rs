//! Why a request of the web fails, as its answer says it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::auth::Denied;
use crate::store;

/// The SQLSTATEs of a statement and of a transaction that took too long.
const TOO_LONG: [&str; 2] = ["57014", "25P04"];
/// The class of values that Postgres cannot read, such as a malformed time.
const DATA_EXCEPTION: &str = "22";
/// The SQLSTATEs of a role that is missing, or that the daemon may not take.
const NO_ROLE: [&str; 2] = ["42501", "22023"];

/// Why a request fails.
#[derive(Debug)]
pub(super) enum WebError {
    BadRequest(String),
    /// No right to read came with the request.
    LoginNeeded,
    Forbidden(&'static str),
    NotFound(&'static str),
    /// The path has no such method.
    NoMethod,
    /// The approval is decided already. Holds it as JSON.
    Decided(String),
    /// The approval is no longer what was shown. Holds it as JSON.
    Changed(String),
    /// The approval has expired. Holds it as JSON.
    Expired(String),
    TooLarge,
    /// The body did not arrive in time.
    Slow,
    Busy,
    Denied(Denied),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for WebError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Denied> for WebError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl WebError {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, "bad_request", reason.clone()),
            Self::LoginNeeded => (
                StatusCode::UNAUTHORIZED,
                "login_needed",
                "a key that may read is needed; create one with runtraced keys create --read --name NAME"
                    .to_owned(),
            ),
            Self::Forbidden(reason) => (StatusCode::FORBIDDEN, "forbidden", (*reason).to_owned()),
            Self::NotFound(reason) => (StatusCode::NOT_FOUND, "not_found", (*reason).to_owned()),
            Self::NoMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "the path takes other methods only; the header allow has them".to_owned(),
            ),
            Self::Decided(_) => (
                StatusCode::CONFLICT,
                "decided",
                "the approval is decided already".to_owned(),
            ),
            Self::Changed(_) => (
                StatusCode::CONFLICT,
                "changed",
                "the request was changed after it was shown; look at it again".to_owned(),
            ),
            Self::Expired(_) => (
                StatusCode::GONE,
                "expired",
                "the approval has expired".to_owned(),
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "the request is too large".to_owned(),
            ),
            Self::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                "slow",
                "the request did not arrive in time".to_owned(),
            ),
            Self::Busy => (
                StatusCode::TOO_MANY_REQUESTS,
                "busy",
                "too many requests are open; try again later".to_owned(),
            ),
            Self::Denied(denied) => {
                let code = match denied.http_status() {
                    StatusCode::UNAUTHORIZED => "login_needed",
                    StatusCode::FORBIDDEN => "forbidden",
                    StatusCode::BAD_REQUEST => "bad_request",
                    StatusCode::TOO_MANY_REQUESTS => "busy",
                    _ => "unavailable",
                };
                (denied.http_status(), code, denied.to_string())
            }
            Self::Database(error) => database(error),
        }
    }
}

fn database(error: &sqlx::Error) -> (StatusCode, &'static str, String) {
    let state = store::sqlstate(error);
    let unfit = matches!(error, sqlx::Error::Configuration(_));
    if TOO_LONG.contains(&state.as_str()) {
        let reason = "the database took too long; narrow the time or the filters";
        return (StatusCode::GATEWAY_TIMEOUT, "too_slow", reason.to_owned());
    }
    if unfit || NO_ROLE.contains(&state.as_str()) {
        // ERROR: until a person helps, nobody with such a right can read.
        tracing::error!(error = %store::reason(error), "the web cannot read");
        let reason = "the daemon may not read for this request; runtraced doctor says why";
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            reason.to_owned(),
        );
    }
    if state.starts_with(DATA_EXCEPTION) {
        let reason = format!("a value cannot be read: {}", store::reason(error));
        return (StatusCode::BAD_REQUEST, "bad_request", reason);
    }
    tracing::debug!(error = %store::reason(error), "a read failed");
    let reason = "the database cannot be read now; try again later";
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        reason.to_owned(),
    )
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let (status, code, reason) = self.parts();
        let mut body = json!({ "error": reason, "code": code }).to_string();
        if let Self::Decided(approval) | Self::Changed(approval) | Self::Expired(approval) = &self {
            body.pop();
            body.push_str(&format!(",\"approval\":{approval}}}"));
        }
        let mut response = json_answer(status, body);
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            let retry = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, retry);
        }
        response
    }
}

/// An answer in JSON.
pub(super) fn json_answer(status: StatusCode, body: String) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}
