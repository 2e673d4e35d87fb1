//! The configuration of the private Postgres.

use std::{path::PathBuf, time::Duration};

/// The default of [`PrivateConfig::start_timeout`].
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// The default of [`PrivateConfig::stop_timeout`].
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How to run the private Postgres.
#[derive(Debug, Clone)]
pub struct PrivateConfig {
    /// The folder for all files of the private Postgres. It is created if missing.
    pub data_dir: PathBuf,
    /// The directory of `postgres` and `initdb`. `None`: use `$RUNTRACED_PG_BIN`, or
    /// search the machine.
    pub bin_dir: Option<PathBuf>,
    /// Postgres settings that override the built-in ones, such as
    /// `("shared_buffers", "1GB")`. The last value of a name wins.
    pub settings: Vec<(String, String)>,
    /// How long a start may take. The default is long, because crash recovery replays up
    /// to `max_wal_size` of WAL. A server that exits is noticed at once.
    pub start_timeout: Duration,
    /// How long a stop may take before stronger signals are sent.
    pub stop_timeout: Duration,
}

impl PrivateConfig {
    /// The default configuration for a folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            settings: Vec::new(),
            start_timeout: START_TIMEOUT,
            stop_timeout: STOP_TIMEOUT,
        }
    }
}

/// How Postgres stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Rolls back open transactions and writes a checkpoint. The next start is quick.
    Fast,
    /// Exits at once, as in a crash. No commit is lost; the next start recovers.
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
