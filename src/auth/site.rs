//! Sites that a browser on this machine shows. One whose name points to 127.0.0.1 is, for the
//! browser, the same site as the daemon, and says so. Only its name gives it away.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// Last parts of names that nobody can register: names of this machine and its network.
const PRIVATE: [&str; 6] = ["localhost", "local", "internal", "lan", "home.arpa", "test"];

/// Whether a browser shows a site with a public name, and its page sends the request.
pub(super) fn is_from_public_site(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let named = origin.and_then(|origin| origin.split_once("://"));
    named.is_some_and(|(_, authority)| is_public_name(authority))
}

/// Whether a host, perhaps with a port, is a name that a site may have. Addresses are none.
#[must_use]
pub fn is_public_name(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(_) => return false,
        None => authority.split(':').next().unwrap_or_default(),
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_private = |end: &&str| {
        let rest = host.strip_suffix(*end);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    // A name of one part is that of a machine or a container.
    host.contains('.') && host.parse::<IpAddr>().is_err() && !PRIVATE.iter().any(is_private)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn names_of_sites_are_told_from_those_of_machines() {
        for public in [
            "evil.example",
            "evil.example:4318",
            "EVIL.Example.",
            "127.0.0.1.evil.example",
            "notlocal.example",
        ] {
            assert!(is_public_name(public), "{public}");
        }
        for private in [
            "localhost",
            "localhost:4318",
            "runtraced",
            "runtraced:4318",
            "127.0.0.1:4318",
            "10.0.0.7",
            "[::1]:4318",
            "host.docker.internal:4318",
            "mac.local",
            "a.localhost.",
            "traces.lan",
            "pi.home.arpa",
            "",
        ] {
            assert!(!is_public_name(private), "{private}");
        }
    }

    #[test]
    fn the_origin_tells_of_the_site() {
        let from = |origin: &'static str| {
            let origin = (header::ORIGIN, HeaderValue::from_static(origin));
            is_from_public_site(&HeaderMap::from_iter([origin]))
        };
        assert!(from("http://evil.example:4318"));
        assert!(!from("http://127.0.0.1:4318"));
        assert!(!from("null"));
        assert!(!is_from_public_site(&HeaderMap::new()));
    }
}
