//! Who reads: the operator on this machine, a key, or a user with a token.
//!
//! This decides only as whom the database is asked. Which rows that shows is decided by the
//! policies of the tables.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::WebState;
use super::error::WebError;
use super::peer::FromOperator;
use super::sessions::{SESSION_LIFE, WebSessions};
use crate::auth::{Identity, KeyAccess};
use crate::query::ReadAs;

/// The cookie that holds the session of somebody who has logged in.
const COOKIE: &str = "runtraced_session";
/// The same with TLS: browsers take a cookie of such a name only from this very host, over TLS.
const HOST_COOKIE: &str = "__Host-runtraced_session";

/// The kinds of readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReaderKind {
    /// Whoever runs the daemon: it asks them for no key.
    Operator,
    /// The owner of a key.
    Key { id: Uuid, customer: Option<Uuid> },
    /// A user of the product.
    User,
}

/// Who reads.
#[derive(Clone, Debug)]
pub(super) struct WebReader {
    pub(super) kind: ReaderKind,
    pub(super) read_as: ReadAs,
    /// Whether the reader may try to decide approvals.
    pub(super) may_decide: bool,
}

impl WebState {
    /// Who sent the request.
    ///
    /// # Errors
    /// If the request comes without a right to read.
    pub(super) fn reader(&self, head: &Parts) -> Result<WebReader, WebError> {
        self.reader_of_key(head)
            .or_else(|| self.reader_of_token(&head.headers).map(Ok))
            .or_else(|| {
                let operator = head.extensions.get::<FromOperator>();
                operator.map(|FromOperator| {
                    Ok(WebReader {
                        kind: ReaderKind::Operator,
                        read_as: ReadAs::Daemon,
                        may_decide: true,
                    })
                })
            })
            .unwrap_or(Err(WebError::LoginNeeded))
    }

    /// The reader whom the layer of keys has identified.
    fn reader_of_key(&self, head: &Parts) -> Option<Result<WebReader, WebError>> {
        let identity: &Identity = head.extensions.get()?;
        let id = identity.key_id()?;
        let access = identity.access()?;
        if access == KeyAccess::Write {
            let reason = "the key may only send events; read with a key made with --read";
            return Some(Err(WebError::Forbidden(reason)));
        }
        let customer = identity.tenant().map(uuid::NonNilUuid::get);
        Some(Ok(WebReader {
            kind: ReaderKind::Key { id, customer },
            read_as: match customer {
                None => ReadAs::Daemon,
                Some(customer) => {
                    self.under_claims(json!({ "runtraced_customer": customer }).to_string())
                }
            },
            may_decide: access == KeyAccess::Decide,
        }))
    }

    fn reader_of_token(&self, headers: &HeaderMap) -> Option<WebReader> {
        let keys = self.jwt.as_ref()?;
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let claims = keys.claims(token.trim())?;
        Some(WebReader {
            kind: ReaderKind::User,
            read_as: self.under_claims(claims),
            may_decide: true,
        })
    }

    fn under_claims(&self, claims: String) -> ReadAs {
        ReadAs::Claims {
            role: self.read_role.clone(),
            claims,
        }
    }
}

/// Middleware in front of the check of keys: a request to the API without credentials is from
/// whoever has the session of its cookie.
pub async fn use_session(
    State(sessions): State<WebSessions>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let headers = request.headers();
    if is_api && !headers.contains_key(header::AUTHORIZATION) {
        let identity = session_cookie(headers).and_then(|session| sessions.identity(session));
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
    }
    next.run(request).await
}

/// The session in the cookie of a request.
pub(super) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|one| one.trim().split_once('='))
        .find(|(name, value)| [COOKIE, HOST_COOKIE].contains(name) && !value.is_empty())
        .map(|(_, value)| value)
}

/// `Set-Cookie` with a session, or without one, which deletes the cookie. `secure`: TLS only.
pub(super) fn set_cookie(session: Option<&str>, secure: bool) -> String {
    let (name, secure) = match secure {
        true => (HOST_COOKIE, "; Secure"),
        false => (COOKIE, ""),
    };
    let (session, seconds) = session.map_or(("", 0), |id| (id, SESSION_LIFE.as_secs()));
    format!("{name}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let found = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(value));
            session_cookie(&headers).map(str::to_owned)
        };
        assert_eq!(
            found("a=b; runtraced_session=1_2; c=d").as_deref(),
            Some("1_2")
        );
        assert_eq!(found("__Host-runtraced_session=1").as_deref(), Some("1"));
        assert_eq!(found("runtraced_session=; x_runtraced_session=1"), None);
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_sites() {
        let set = set_cookie(Some("1"), true);
        for part in [
            "__Host-runtraced_session=1; Path=/;",
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
        ] {
            assert!(set.contains(part), "{part}");
        }
        assert!(set_cookie(None, false).contains("Max-Age=0"));
    }
}
