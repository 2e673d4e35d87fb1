//! Each connection is an open file; what a process may open by default is often
//! less than what it is allowed to ask for.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises this process' limit of open files as far as it may go, and returns it;
/// `None` where there is none.
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
