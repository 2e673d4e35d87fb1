//! The names of the files in the data directory. Nothing here opens them.

use std::path::{Path, PathBuf};

/// The data directory, absolute and without symlinks.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub root: PathBuf,
}

impl Layout {
    /// The prefix of the staging folders of `initdb`.
    pub const STAGING_PREFIX: &str = "postgres.init-";

    pub fn lock(&self) -> PathBuf {
        self.root.join("runtraced.lock")
    }

    pub fn connection(&self) -> PathBuf {
        self.root.join("connection.json")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub fn old_log(&self) -> PathBuf {
        self.root.join("postgres.log.1")
    }

    pub fn sockets(&self) -> PathBuf {
        self.root.join("run")
    }

    pub fn cluster(&self) -> Cluster {
        Cluster(self.root.join("postgres"))
    }

    pub fn staging(&self, suffix: &str) -> Cluster {
        Cluster(self.root.join(format!("{}{suffix}", Self::STAGING_PREFIX)))
    }
}

/// The folder that `initdb` fills, complete or not. It is one folder, so that one rename
/// publishes the cluster.
#[derive(Debug, Clone)]
pub(super) struct Cluster(pub PathBuf);

impl Cluster {
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub fn password(&self) -> PathBuf {
        self.0.join("password")
    }

    pub fn version(&self) -> PathBuf {
        self.data().join("PG_VERSION")
    }

    pub fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }
}
