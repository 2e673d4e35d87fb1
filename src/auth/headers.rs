//! Finds the key in the headers of a request, wherever an SDK puts it.

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::key::{MalformedKey, PresentedKey, has_key_prefix, parse_key};

/// The headers that may hold a key, in search order.
///
/// `authorization` has three forms: `Bearer KEY` (most SDKs), `Basic` with the key as
/// password (Langfuse, Weave), and the bare key (Logfire, Opik). The other headers hold
/// the bare key: `x-api-key` (LangSmith), `api-key` (New Relic), `api_key` (Phoenix,
/// Arize), `wandb-api-key` (Weave).
const HEADERS: [HeaderName; 5] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("api_key"),
    HeaderName::from_static("wandb-api-key"),
];
/// Longer Basic credentials are ignored.
const MAX_BASIC_CHARS: usize = 1_024;

/// Finds the key of a request. Tokens without the prefix of a runtraced key are
/// ignored: SDKs that insist on a key for their own product send dummies.
///
/// # Errors
/// When a token has the prefix of a key but not its form.
pub fn find_key(headers: &HeaderMap) -> Result<Option<PresentedKey>, MalformedKey> {
    for name in &HEADERS {
        for value in headers.get_all(name) {
            let value = value.as_bytes().trim_ascii();
            let token = match scheme(value) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") => rest,
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"basic") => {
                    if let Some(key) = basic(rest) {
                        return key.map(Some);
                    }
                    continue;
                }
                _ => value,
            };
            if has_key_prefix(token) {
                return parse_key(token).map(Some);
            }
        }
    }
    Ok(None)
}

/// Splits a value into its first word and the rest.
fn scheme(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(end);
    Some((scheme, rest.trim_ascii_start()))
}

/// Finds the key in `USER:PASSWORD`, as either part.
fn basic(encoded: &[u8]) -> Option<Result<PresentedKey, MalformedKey>> {
    if encoded.len() > MAX_BASIC_CHARS {
        return None;
    }
    let decoded = STANDARD
        .decode(encoded)
        .or_else(|_| STANDARD_NO_PAD.decode(encoded))
        .ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
    [password, user]
        .into_iter()
        .find(|part| has_key_prefix(part))
        .map(parse_key)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::super::key::NewKey;
    use super::*;

    fn headers(all: &[(&str, &[u8])]) -> HeaderMap {
        let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).unwrap();
        all.iter()
            .map(|(n, value)| (name(n), HeaderValue::from_bytes(value).unwrap()))
            .collect()
    }

    fn found(name: &str, value: &str) -> Result<Option<PresentedKey>, MalformedKey> {
        find_key(&headers(&[(name, value.as_bytes())]))
    }

    #[test]
    fn a_key_is_found_wherever_sdks_put_it() {
        let key = NewKey::generate().unwrap();
        let text = &key.text;
        let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
        for (name, value) in [
            ("authorization", format!("Bearer {text}")),
            ("authorization", format!("bearer   {text} ")),
            ("authorization", text.clone()),
            ("authorization", basic(format!("pk-lf-1:{text}"))),
            ("authorization", basic(format!("{text}:"))),
            (
                "authorization",
                basic(format!("api:{text}")).replace('=', ""),
            ),
            ("x-api-key", text.clone()),
            ("api-key", text.clone()),
            ("api_key", text.clone()),
            ("wandb-api-key", text.clone()),
        ] {
            let read = found(name, &value).unwrap().unwrap();
            assert_eq!(
                (read.id, read.sha256),
                (key.id, key.sha256),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn keys_of_other_products_are_ignored() {
        let dummy = STANDARD.encode("pk-lf-1:sk-lf-2");
        for (name, value) in [
            ("authorization", "Bearer sk-123".to_owned()),
            ("authorization", format!("Basic {dummy}")),
            ("authorization", "Basic !!!".to_owned()),
            ("authorization", "Basic".to_owned()),
            ("x-api-key", "lsv2_pt_1".to_owned()),
            ("x-request-id", NewKey::generate().unwrap().text),
        ] {
            assert_eq!(found(name, &value), Ok(None), "{name}: {value}");
        }
    }

    #[test]
    fn a_malformed_key_is_an_error() {
        for value in ["Bearer rt_", "rt_1_2"] {
            assert_eq!(found("authorization", value), Err(MalformedKey));
        }
        let pair = STANDARD.encode("pk:rt_nonsense");
        assert_eq!(
            found("authorization", &format!("Basic {pair}")),
            Err(MalformedKey)
        );
    }

    #[test]
    fn a_dummy_in_one_header_does_not_hide_the_key_in_another() {
        let key = NewKey::generate().unwrap();
        let both = headers(&[
            ("authorization", b"Bearer dummy"),
            ("x-api-key", key.text.as_bytes()),
        ]);
        assert_eq!(find_key(&both).unwrap().unwrap().id, key.id);
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(name in 0..5_usize, scheme in 0..4_usize, value: Vec<u8>) {
            let scheme = [&b""[..], b"Bearer ", b"Basic ", b"rt_"][scheme];
            let value = [scheme, &value].concat();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(HEADERS[name].clone(), value)]);
                prop_assert!(find_key(&headers).is_err() || find_key(&headers).unwrap().is_none());
            }
        }
    }
}
