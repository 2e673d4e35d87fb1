//! A folder for a spool, and the flags of a daemon that has it.

use std::path::{Path, PathBuf};

use super::watchdog;

/// A folder for a spool, removed in the end.
pub struct SpoolDir(PathBuf);

impl SpoolDir {
    pub fn new() -> Self {
        Self(watchdog::scratch_dir("spool"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Flags of a daemon that spools there, and more; up to a GiB, unless they say otherwise.
    pub fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut flags = vec!["--spool-dir", self.0.to_str().unwrap()];
        if !more.contains(&"--spool-bytes") {
            flags.extend(["--spool-bytes", "1073741824"]);
        }
        flags.extend(more);
        flags
    }
}

impl Drop for SpoolDir {
    fn drop(&mut self) {
        watchdog::remove_scratch_dir(&self.0);
    }
}
