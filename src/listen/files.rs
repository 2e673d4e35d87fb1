//! The limit of open files. Each connection is an open file, and the default limit is
//! often lower than what the process may ask for.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files of this process to its hard limit. Returns the new
/// limit, or `None` for no limit.
#[must_use]
pub fn raise_file_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.maximum,
        Err(_) => before,
    }
}
