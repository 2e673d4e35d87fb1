//! What the head of a request says: whether it may send events, and how they come.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};

use super::error::EventsError;
use crate::ingest::body::Compression;
use crate::pipeline::Durability;

/// Content types of other formats: whoever sends one is at the wrong place. All others are
/// taken, because few tools let people choose one.
const OTHER_FORMATS: [&str; 7] = [
    "application/grpc",
    "application/protobuf",
    "application/x-protobuf",
    "application/vnd.google.protobuf",
    "application/xml",
    "multipart/",
    "text/xml",
];

/// How the events of a request come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventsRequest {
    pub(super) compression: Compression,
    pub(super) min_durability: Durability,
}

impl EventsRequest {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// If its body must not be read.
    pub(super) fn of(head: &Parts) -> Result<Self, EventsError> {
        if head.method != Method::POST {
            return Err(EventsError::Method);
        }
        if is_from_other_site(head) {
            return Err(EventsError::OtherSite);
        }
        if names_other_format(&head.headers) {
            return Err(EventsError::ContentType);
        }
        let named = head.headers.get(header::CONTENT_ENCODING);
        Ok(Self {
            compression: Compression::named(named.map_or(&b""[..], HeaderValue::as_bytes))?,
            min_durability: min_durability(head.uri.query().unwrap_or_default())?,
        })
    }
}

/// Whether a browser says that the page of another site sends the request. Browsers send
/// types that forms have without asking first, so a site could write here.
fn is_from_other_site(head: &Parts) -> bool {
    let text = |name: header::HeaderName| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    if !matches!(site, None | Some("same-origin" | "none")) {
        return true;
    }
    let Some(origin) = text(header::ORIGIN) else {
        return false;
    };
    let own = head.uri.authority().map(|authority| authority.as_str());
    let own = own.or_else(|| text(header::HOST)).unwrap_or_default();
    let named = origin.split_once("://").map(|(_, named)| named);
    !named.is_some_and(|named| named.eq_ignore_ascii_case(own))
}

fn names_other_format(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map_or(&b""[..], HeaderValue::as_bytes);
    let begins = |other: &&str| {
        let start = kind.get(..other.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(other.as_bytes()))
    };
    OTHER_FORMATS.iter().any(begins)
}

fn min_durability(query: &str) -> Result<Durability, EventsError> {
    let mut wanted = Durability::Spooled;
    for pair in query.split('&') {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("durability", value) if value.eq_ignore_ascii_case("spooled") => {
                wanted = Durability::Spooled;
            }
            ("durability", value) if value.eq_ignore_ascii_case("committed") => {
                wanted = Durability::Committed;
            }
            ("durability", _) => return Err(EventsError::Durability),
            _ => {}
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    fn read(
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<EventsRequest, EventsError> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        EventsRequest::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn every_type_that_curl_and_sdks_send_is_taken() {
        for kind in [
            "application/x-www-form-urlencoded",
            "application/x-ndjson",
            "application/json; charset=utf-8",
            "text/plain;charset=UTF-8",
            "application/octet-stream",
            "",
        ] {
            assert!(
                read("POST", "/v1/events", &[("content-type", kind)]).is_ok(),
                "{kind}"
            );
        }
        for kind in [
            "application/x-protobuf",
            "Multipart/form-data; boundary=x",
            "application/grpc+proto",
        ] {
            let refused = read("POST", "/v1/events", &[("content-type", kind)]);
            assert_eq!(refused, Err(EventsError::ContentType), "{kind}");
        }
        assert!(read("POST", "/v1/events", &[]).is_ok());
        assert_eq!(read("GET", "/v1/events", &[]), Err(EventsError::Method));
    }

    #[test]
    fn the_durability_is_a_parameter() {
        let wanted = |query: &str| {
            read("POST", &format!("/v1/events{query}"), &[]).map(|read| read.min_durability)
        };
        assert_eq!(wanted(""), Ok(Durability::Spooled));
        assert_eq!(
            wanted("?x=1&durability=committed"),
            Ok(Durability::Committed)
        );
        assert_eq!(wanted("?durability=SPOOLED"), Ok(Durability::Spooled));
        for odd in ["?durability", "?durability=", "?durability=fast"] {
            assert_eq!(wanted(odd), Err(EventsError::Durability), "{odd}");
        }
    }

    #[test]
    fn a_page_of_another_site_sends_nothing() {
        let send = |headers: &[(&str, &str)]| {
            let host = [("host", "127.0.0.1:4318")];
            read("POST", "/v1/events", &[&host, headers].concat()).map(|_| ())
        };
        assert_eq!(send(&[]), Ok(()));
        assert_eq!(send(&[("origin", "http://127.0.0.1:4318")]), Ok(()));
        assert_eq!(send(&[("sec-fetch-site", "same-origin")]), Ok(()));
        for headers in [
            [("origin", "http://evil.example")],
            [("origin", "null")],
            [("origin", "http://127.0.0.1:4319")],
            [("sec-fetch-site", "cross-site")],
            [("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(send(&headers), Err(EventsError::OtherSite), "{headers:?}");
        }
    }
}
