//! Reads the folder of a user's dialect files.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use crate::ingest::otlp::map::{DialectError, DialectText, Dialects};

/// A larger file is no dialect.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why the dialects cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DialectFault {
    /// The folder or a file cannot be read.
    #[error("{0}: {1}")]
    Unreadable(String, io::Error),
    /// A file is too large.
    #[error("{0} is larger than 1MiB, no dialect is")]
    TooLarge(String),
    /// A file is wrong.
    #[error(transparent)]
    Wrong(#[from] DialectError),
}

/// The built-in dialects and those in the `.toml` files of a folder.
///
/// # Errors
/// If the folder or a file cannot be read, or a file is wrong.
pub fn read_dialects(dir: Option<&Path>) -> Result<Arc<Dialects>, DialectFault> {
    let Some(dir) = dir else {
        return Ok(Dialects::built_in());
    };
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |error| DialectFault::Unreadable(path, error)
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let path = entry.map_err(unreadable(dir))?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    // The same order everywhere, so that all daemons report the same fault.
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let file = path.display().to_string();
        let size = fs::metadata(&path).map_err(unreadable(&path))?.len();
        if size > MAX_FILE_BYTES {
            return Err(DialectFault::TooLarge(file));
        }
        let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
        texts.push(DialectText { file, text });
    }
    Ok(Arc::new(Dialects::compile(texts)?))
}
