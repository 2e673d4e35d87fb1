//! Who reads: the operator on this machine, a key, or a user with a token.
//!
//! This decides only as whom the database is asked. Which rows that shows is decided by the
//! policies of the tables.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::WebState;
use super::error::WebError;
use super::peer::FromOperator;
use crate::auth::{Identity, KEY_PREFIX, KeyAccess};
use crate::query::ReadAs;

/// The cookie that holds the key of somebody who has logged in.
pub(super) const COOKIE: &str = "runtraced_key";
/// The same with TLS: browsers take a cookie of such a name only from this very host, over TLS.
const HOST_COOKIE: &str = "__Host-runtraced_key";
/// How long a browser keeps the cookie.
const COOKIE_SECONDS: u32 = 30 * 86_400;

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

/// Middleware in front of the check of keys: a request to the API without credentials gets
/// those of its cookie.
pub async fn use_cookie(mut request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let headers = request.headers();
    if is_api && !headers.contains_key(header::AUTHORIZATION) {
        let key =
            cookie(headers).and_then(|key| HeaderValue::try_from(format!("Bearer {key}")).ok());
        if let Some(key) = key {
            request.headers_mut().insert(header::AUTHORIZATION, key);
        }
    }
    next.run(request).await
}

/// The key in the cookie of a request.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|one| one.trim().split_once('='))
        .find(|(name, value)| [COOKIE, HOST_COOKIE].contains(name) && value.starts_with(KEY_PREFIX))
        .map(|(_, value)| value)
}

/// `Set-Cookie` with a key, or without one, which deletes the cookie. `secure`: TLS only.
pub(super) fn set_cookie(key: Option<&str>, secure: bool) -> String {
    let (name, secure) = match secure {
        true => (HOST_COOKIE, "; Secure"),
        false => (COOKIE, ""),
    };
    let (key, seconds) = key.map_or(("", 0), |key| (key, COOKIE_SECONDS));
    format!("{name}={key}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_among_other_cookies() {
        let found = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(value));
            cookie(&headers).map(str::to_owned)
        };
        assert_eq!(
            found("a=b; runtraced_key=rt_1_2; c=d").as_deref(),
            Some("rt_1_2")
        );
        assert_eq!(found("__Host-runtraced_key=rt_1").as_deref(), Some("rt_1"));
        assert_eq!(found("runtraced_key=; x_runtraced_key=rt_1"), None);
        assert_eq!(found("runtraced_key=other"), None);
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_sites() {
        let set = set_cookie(Some("rt_1"), true);
        for part in [
            "__Host-runtraced_key=rt_1; Path=/;",
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
        ] {
            assert!(set.contains(part), "{part}");
        }
        assert!(set_cookie(None, false).contains("Max-Age=0"));
    }
}
