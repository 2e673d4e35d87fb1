//! The files of the page. They are part of the program, and their URLs hold a hash, so that
//! browsers keep them for ever and never mix two versions.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::error::WebError;

/// Names and contents.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/web_assets.rs"));
/// The file that every page of the program is.
const INDEX: &str = "index.html";
/// What `index.html` holds in place of the folder of the other files.
const FOLDER_MARK: &str = "{{assets}}";
/// Hexadecimal digits of the hash.
const HASH_DIGITS: usize = 16;

/// The hash of all files.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut sha = Sha256::new();
    for (name, content) in FILES {
        for part in [name.as_bytes(), content] {
            sha.update((part.len() as u64).to_le_bytes());
            sha.update(part);
        }
    }
    let mut hex: String = sha.finalize().iter().map(|b| format!("{b:02x}")).collect();
    hex.truncate(HASH_DIGITS);
    hex
});

static INDEX_PAGE: LazyLock<String> = LazyLock::new(|| {
    let content = file(INDEX).unwrap_or_default();
    String::from_utf8_lossy(content).replace(FOLDER_MARK, &format!("/assets/{}", *HASH))
});

fn file(name: &str) -> Option<&'static [u8]> {
    let found = FILES.iter().find(|(one, _)| *one == name);
    found.map(|(_, content)| *content)
}

/// The page, whichever of its paths was asked for.
pub(super) async fn index() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let store = HeaderValue::from_static("no-store");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, store)];
    (headers, INDEX_PAGE.as_str()).into_response()
}

/// A file of the page.
pub(super) async fn asset(Path((hash, name)): Path<(String, String)>) -> Response {
    let (true, Some(content)) = (hash == *HASH, file(&name)) else {
        return WebError::NotFound("there is no such file").into_response();
    };
    let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        _ => "text/html; charset=utf-8",
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
    ];
    (StatusCode::OK, headers, content).into_response()
}
