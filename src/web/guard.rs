//! What every request of the web must keep to, whoever sends it: a browser must not be made
//! to send one by another site.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::WebError;
use super::params::is_text;
use super::peer::OpenTo;
use crate::auth::is_public_name;

/// Scripts, styles, pictures and connections from here only, no frames, no HTML from text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
/// What proxies add to the requests that they pass on, besides `X-Forwarded-…`.
const FORWARDED: [&str; 9] = [
    "cf-connecting-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
];

/// Notes on a request that its client calls the daemon by a name that a site may have, though only
/// programs on this machine can reach it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByPublicName;

/// Middleware: refuses requests that another site made a browser send, notes which come from
/// the operator, and adds the headers.
pub(super) async fn guard(
    State(open_to): State<OpenTo>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.uri().path().starts_with("/api/") {
        if is_local(request.version(), request.uri(), request.headers()) {
            open_to.note_operator(&mut request).await;
        }
        let named = authority(request.uri(), request.headers());
        if open_to != OpenTo::Nobody && named.is_none_or(is_public_name) {
            request.extensions_mut().insert(ByPublicName);
        }
    }
    let refusal = refusal(request.method(), request.uri(), request.headers());
    let mut response = match refusal {
        Some(reason) => WebError::Forbidden(reason).into_response(),
        None if !is_text(request.uri().path()) => {
            WebError::BadRequest("the path is not UTF-8".to_owned()).into_response()
        }
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refusal(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let own = authority(uri, headers);
    if let Some(origin) = headers.get(header::ORIGIN) {
        let named = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        let same =
            named.is_some_and(|(_, named)| own.is_some_and(|own| own.eq_ignore_ascii_case(named)));
        if !same {
            return Some("the origin is another site");
        }
    }
    let is_api = uri.path().starts_with("/api/");
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if is_api && !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Some("the request comes from another site");
    }
    // Forms of other sites cannot send this type without asking first.
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(b"application/json")
    });
    if *method == Method::POST && !is_json {
        return Some("the content type must be application/json");
    }
    None
}

/// The host and port that the client named.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let host = || {
        headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
    };
    uri.authority()
        .map(|authority| authority.as_str())
        .or_else(host)
}

/// Whether the client named this machine's loopback address, and no proxy says that it passed
/// the request on. A site whose name points to 127.0.0.1 names itself instead. Browsers do not
/// speak HTTP/1.0; nginx does unless told otherwise, and says nothing else.
fn is_local(version: Version, uri: &Uri, headers: &HeaderMap) -> bool {
    let is_forwarded = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-forwarded-") || FORWARDED.contains(&name)
    };
    if version < Version::HTTP_11 || headers.keys().any(is_forwarded) {
        return false;
    }
    let Some(authority) = authority(uri, headers) else {
        return false;
    };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_loopback = |ip: std::net::IpAddr| ip.is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        let here = Uri::from_static("/");
        let asked = |all: &HeaderMap| is_local(Version::HTTP_11, &here, all);
        let local = |host: &'static str| asked(&headers(&[("host", host)]));
        for host in [
            "127.0.0.1:4318",
            "localhost",
            "LOCALHOST:80",
            "[::1]:4318",
            "127.8.0.1",
        ] {
            assert!(local(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4318",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
        ] {
            assert!(!local(host), "{host}");
        }
        for name in [
            "forwarded",
            "via",
            "x-real-ip",
            "x-forwarded-for",
            "x-forwarded-proto",
        ] {
            let proxied = headers(&[("host", "localhost"), (name, "1")]);
            assert!(!asked(&proxied), "{name}");
        }
        assert!(!asked(&HeaderMap::new()));
        let local = headers(&[("host", "localhost")]);
        assert!(!is_local(Version::HTTP_10, &here, &local));
    }

    #[test]
    fn requests_of_other_sites_are_refused() {
        let refused = |method: Method, path: &'static str, all: &[(&'static str, &'static str)]| {
            refusal(&method, &Uri::from_static(path), &headers(all)).is_some()
        };
        let host = ("host", "127.0.0.1:4318");
        let json = ("content-type", "application/json");
        let own = ("origin", "http://127.0.0.1:4318");
        assert!(!refused(Method::GET, "/api/runs", &[host, own]));
        assert!(!refused(Method::POST, "/api/login", &[host, own, json]));
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:4319",
            "http://localhost:4318",
        ] {
            assert!(
                refused(Method::GET, "/api/runs", &[host, ("origin", origin)]),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site"] {
            assert!(refused(
                Method::GET,
                "/api/runs",
                &[host, ("sec-fetch-site", site)]
            ));
            assert!(
                !refused(Method::GET, "/runs/1", &[host, ("sec-fetch-site", site)]),
                "a link"
            );
        }
        assert!(refused(Method::POST, "/api/login", &[host, own]));
        assert!(refused(
            Method::POST,
            "/api/login",
            &[host, ("content-type", "text/plain")]
        ));
    }
}
