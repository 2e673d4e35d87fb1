//! What the caller may choose about the private Postgres.

use std::{path::PathBuf, time::Duration};

/// How the private Postgres is to be run.
#[derive(Debug, Clone)]
pub struct PrivateConfig {
    /// The folder for everything that belongs to it. Made when missing.
    pub data_dir: PathBuf,
    /// The directory of `postgres` and `initdb`; `None` looks at
    /// `$RUNTRACED_PG_BIN` and then searches the machine.
    pub bin_dir: Option<PathBuf>,
    /// Postgres settings over the built-in ones, such as
    /// `("shared_buffers", "1GB")`. The last of a name counts.
    pub settings: Vec<(String, String)>,
    /// How long a start may take. Long, for crash recovery replays up to
    /// `max_wal_size` of log; a Postgres that ends is noticed at once.
    pub start_timeout: Duration,
    /// How long a stop may take before it is made rougher.
    pub stop_timeout: Duration,
}

impl PrivateConfig {
    /// The defaults for a folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            settings: Vec::new(),
            start_timeout: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(60),
        }
    }
}

/// How Postgres is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Roll back what runs, write a checkpoint, end. The next start is quick.
    Fast,
    /// End at once, as in a crash. Nothing committed is lost: the next start
    /// recovers.
    Immediate,
}

impl StopMode {
    pub(super) fn signal(self) -> &'static str {
        match self {
            Self::Fast => "INT",
            Self::Immediate => "QUIT",
        }
    }
}
