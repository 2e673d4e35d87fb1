//! Who am I, log in, log out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::time::timeout;

use super::access::{ReaderKind, WebReader, session_cookie, set_cookie};
use super::error::{WebError, json_answer};
use super::{Shared, WebState};
use crate::auth::KeyAccess;
use crate::query::{ReadAs, SqlText};

/// The largest body of a request.
const MAX_BODY_BYTES: usize = 64 << 10;
/// The largest body of a request of somebody who may be anybody.
const MAX_LOGIN_BYTES: usize = 4 << 10;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a request as JSON.
pub(super) async fn json_body<T: DeserializeOwned>(request: Request) -> Result<T, WebError> {
    json_body_up_to(MAX_BODY_BYTES, request).await
}

async fn json_body_up_to<T: DeserializeOwned>(
    most: usize,
    request: Request,
) -> Result<T, WebError> {
    let body = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), most)).await;
    let body = body.map_err(|_| WebError::Slow)?;
    let body = body.map_err(|_| WebError::TooLarge)?;
    serde_json::from_slice(&body)
        .map_err(|error| WebError::BadRequest(format!("the body cannot be read: {error}")))
}

/// `GET /api/me`.
pub(super) async fn me(State(state): Shared, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answer = match state.reader(&head) {
        Ok(reader) => state.describe(&reader).await,
        Err(_) => json!({
            "reader": "none", "name": null, "customer_id": null, "user_id": null,
            "may": { "read": false, "decide": false }, "login": "needed", "sql_as": null,
        }),
    };
    let mut answer = answer;
    answer["version"] = Value::from(env!("CARGO_PKG_VERSION"));
    json_answer(StatusCode::OK, answer.to_string())
}

impl WebState {
    async fn describe(&self, reader: &WebReader) -> Value {
        let mut answer = json!({
            "name": null, "customer_id": null, "user_id": null,
            "may": { "read": true, "decide": reader.may_decide },
            "sql_as": reader.read_as.for_psql(),
        });
        let (kind, login) = match &reader.kind {
            ReaderKind::Operator => {
                answer["name"] = Value::from("operator");
                ("all", "none")
            }
            ReaderKind::Key { customer, .. } => {
                let name = self.key_name(reader).await.ok().flatten();
                answer["name"] = name.map_or(Value::Null, Value::from);
                answer["customer_id"] = json!(customer);
                (
                    if customer.is_some() {
                        "customer"
                    } else {
                        "all"
                    },
                    "key",
                )
            }
            ReaderKind::User => {
                if let ReadAs::Claims { claims, .. } = &reader.read_as {
                    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
                    answer["user_id"] = claims["sub"].clone();
                    answer["name"] = claims["email"].clone();
                }
                ("user", "token")
            }
        };
        answer["reader"] = Value::from(kind);
        answer["login"] = Value::from(login);
        answer
    }

    /// The name of a reader's key, for people. `None`: there is no such key any more.
    pub(super) async fn key_name(&self, reader: &WebReader) -> Result<Option<String>, sqlx::Error> {
        let ReaderKind::Key { id, .. } = reader.kind else {
            return Ok(None);
        };
        let mut tx = self.pools.first().begin(&ReadAs::Daemon).await?;
        let mut sql = SqlText::new("SELECT k.name FROM ingest_keys AS k WHERE k.id = ");
        sql.bind(&id.to_string(), "uuid");
        let rows = sql.rows(&mut tx).await?;
        rows.first().map(|row| row.try_get("name")).transpose()
    }
}

#[derive(Deserialize)]
struct LoginRequest {
    key: String,
}

/// `POST /api/login`.
pub(super) async fn log_in(
    State(state): State<Arc<WebState>>,
    request: Request,
) -> Result<Response, WebError> {
    // A key that was made just now is looked up for the connection.
    let extensions = request.extensions().clone();
    let old = session_cookie(request.headers()).map(str::to_owned);
    let login: LoginRequest = json_body_up_to(MAX_LOGIN_BYTES, request).await?;
    let key = login.key.trim();
    let bearer = HeaderValue::try_from(format!("Bearer {key}"));
    let bearer = bearer.map_err(|_| WebError::LoginNeeded)?;
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
    let identity = state.authenticator.identify(&headers, &extensions).await?;
    match identity.access() {
        Some(KeyAccess::Read | KeyAccess::Decide) => {
            if let Some(old) = old {
                state.sessions.end(&old);
            }
            let session = state.sessions.begin(identity).ok_or(WebError::Busy)?;
            Ok(cookie_answer(&set_cookie(Some(&session), state.tls)))
        }
        Some(KeyAccess::Write) | None => Err(WebError::LoginNeeded),
    }
}

/// `POST /api/logout`.
pub(super) async fn log_out(State(state): Shared, headers: HeaderMap) -> Response {
    if let Some(session) = session_cookie(&headers) {
        state.sessions.end(session);
    }
    cookie_answer(&set_cookie(None, state.tls))
}

fn cookie_answer(cookie: &str) -> Response {
    // A session has only characters that a header may have.
    match HeaderValue::from_str(cookie) {
        Ok(cookie) => {
            let store = HeaderValue::from_static("no-store");
            let headers = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, store)];
            (StatusCode::NO_CONTENT, headers).into_response()
        }
        Err(_) => WebError::LoginNeeded.into_response(),
    }
}
