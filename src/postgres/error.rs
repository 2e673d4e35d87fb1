//! What can go wrong with the private Postgres. Each message says what to do.

use std::{io, path::PathBuf};

/// Why the private Postgres could not be started, found or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// A second daemon on one folder.
    #[error(
        "another runtraced{holder} uses {}: stop it, or choose another --data-dir",
        dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// ` (process 123)`, or nothing when it is not known.
        holder: String,
    },
    /// No usable PostgreSQL on this machine.
    #[error(
        "no PostgreSQL {} to {} found on this machine{searched}. {advice}, \
         or name its bin directory in RUNTRACED_PG_BIN, \
         or use a server you have: DATABASE_URL=postgresql://user@host/database",
        super::OLDEST,
        super::NEWEST
    )]
    NotInstalled {
        /// What was found but is of no use, ready to print.
        searched: String,
        /// How to install it on this system.
        advice: &'static str,
    },
    /// The named bin directory cannot be used.
    #[error(
        "RUNTRACED_PG_BIN={} cannot be used: {reason}. It must be the directory \
         that holds `postgres` and `initdb` of PostgreSQL {} to {}",
        dir.display(),
        super::OLDEST,
        super::NEWEST
    )]
    BadBinDir {
        /// The directory as given.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster was made by a major version that is not here.
    #[error(
        "{} was made by PostgreSQL {made_by}, but here is {found}: \
         install PostgreSQL {made_by} (or set RUNTRACED_PG_BIN to its bin directory), \
         or move to a new --data-dir with pg_dump and `runtraced restore`",
        dir.display()
    )]
    VersionMismatch {
        /// The cluster's directory.
        dir: PathBuf,
        /// Its major version.
        made_by: u32,
        /// The versions found, ready to print.
        found: String,
    },
    /// The folder belongs to somebody else.
    #[error(
        "{} belongs to user id {owner}: run runtraced as that user, or choose another --data-dir",
        dir.display()
    )]
    WrongOwner {
        /// The directory.
        dir: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// Postgres refuses to run as root, and there is nobody to drop to.
    #[error(
        "Postgres does not run as root, and there is neither a user `postgres` nor `nobody` \
         to run it as: add one (useradd --system postgres), or start runtraced as a normal user"
    )]
    NoUser,
    /// The unprivileged user cannot get at a path.
    #[error(
        "Postgres runs as user `{user}`, which cannot use {}{because}: \
         choose another place (for data: --data-dir /var/lib/runtraced), \
         or open it (chmod o+x)",
        path.display()
    )]
    OutOfReach {
        /// Who cannot.
        user: String,
        /// What it needs.
        path: PathBuf,
        /// Which parent is in the way, ready to print.
        because: String,
    },
    /// `initdb` failed.
    #[error("initdb could not make the cluster: {output}")]
    Initdb {
        /// The last lines it wrote.
        output: String,
    },
    /// Postgres ended instead of starting.
    #[error("Postgres ended while starting. The end of {}:\n{tail}", log.display())]
    Exited {
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Postgres takes too long to accept connections.
    #[error(
        "Postgres does not accept connections after {seconds} s; it is left running, for it may \
         be recovering from a crash: start runtraced again to go on waiting. \
         The end of {}:\n{tail}",
        log.display()
    )]
    NotReady {
        /// How long was waited, in seconds.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Postgres does not end.
    #[error(
        "Postgres (process {pid}) did not stop within {seconds} s: stop it with kill -QUIT {pid}"
    )]
    NotStopped {
        /// The postmaster.
        pid: u32,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// There is no private Postgres running in the folder.
    #[error(
        "no private Postgres runs in {}: start one with `runtraced serve --data-dir {}`, \
         or give DATABASE_URL",
        dir.display(),
        dir.display()
    )]
    NotRunning {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file of ours has a content that is not ours.
    #[error("{} is damaged ({reason}): remove it and start runtraced again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server runs but refuses what is asked of it.
    #[error("the private Postgres refused to {what}: {source}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        source: sqlx::Error,
    },
    /// A file or process operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The work on the folder was cut off because the runtime shuts down.
    #[error("starting Postgres was cut off because runtraced is shutting down")]
    CutOff,
}

impl PrivateError {
    /// For `map_err`: an [`Io`](Self::Io) error that names its path.
    pub(super) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
