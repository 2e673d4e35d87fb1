//! Parses arbitrary bytes as a tenant key, and as the value of each header that can carry a
//! key. The first byte chooses the header.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use runtraced::auth::{find_key, parse_key};

const HEADERS: [&str; 5] = [
    "authorization",
    "x-api-key",
    "api-key",
    "api_key",
    "wandb-api-key",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, value)) = bytes.split_first() else {
        return;
    };
    let read = parse_key(value);
    assert!(read.is_err() || value.starts_with(b"rt_") && value.is_ascii());
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    let name = HeaderName::from_static(HEADERS[usize::from(*choice) % HEADERS.len()]);
    let headers = HeaderMap::from_iter([(name, value)]);
    if let Ok(key) = read {
        // A valid key must be found in every header.
        assert_eq!(find_key(&headers), Ok(Some(key)));
    } else {
        let _ = find_key(&headers);
    }
});
