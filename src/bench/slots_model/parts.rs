//! CPU time of each part of the daemon and of Postgres, from /proc.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sqlx::PgConnection;
use tokio::time::sleep;

use crate::bench::measure::BenchHarness;
use crate::bench::process::{cpu_seconds, thread_cpu_seconds};

/// What the daemon calls the threads of its writers begins so.
const WRITER_THREADS: &str = "writer-";
/// What the daemon calls its connections: those of writers have the name alone.
const DAEMON: &str = "runtraced";
/// The benchmark's own connections.
const BENCH: &str = "runtraced bench";
/// How long a session may take to end, and its process after that.
const END_LIMIT: Duration = Duration::from_secs(2);
const END_OF_PROCESS: Duration = Duration::from_millis(50);
/// SQLSTATE: the role may not write a checkpoint.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Who uses processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuPart {
    /// Threads of the daemon that plan and encode transactions.
    DaemonWriters,
    /// All other threads of the daemon: they receive, check and answer, and work in the background.
    DaemonRest,
    /// Server processes of the writers.
    WriterSessions,
    /// Server processes of the daemon's other connections.
    BackgroundSessions,
    /// The process that writes the log ahead of commits. Commits write it too.
    WalWriter,
    /// The processes that write changed pages.
    PageWriters,
    /// Autovacuum and the first process of Postgres.
    Upkeep,
}

impl CpuPart {
    /// All parts.
    pub const ALL: [Self; 7] = [
        Self::DaemonWriters,
        Self::DaemonRest,
        Self::WriterSessions,
        Self::BackgroundSessions,
        Self::WalWriter,
        Self::PageWriters,
        Self::Upkeep,
    ];

    /// What people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::DaemonWriters => "daemon: writers",
            Self::DaemonRest => "daemon: all else",
            Self::WriterSessions => "Postgres: processes of writers",
            Self::BackgroundSessions => "Postgres: background processes",
            Self::WalWriter => "Postgres: WAL writer",
            Self::PageWriters => "Postgres: checkpointer, page writer",
            Self::Upkeep => "Postgres: autovacuum and the rest",
        }
    }

    /// Whether it is a part of the daemon, and not of Postgres.
    pub fn is_of_daemon(self) -> bool {
        matches!(self, Self::DaemonWriters | Self::DaemonRest)
    }

    /// The part of a server process; `None`: it is somebody else's.
    fn of_process(process: &ServerProcess) -> Option<Self> {
        Some(match process.kind.as_str() {
            "client backend" if !process.is_here || process.name == BENCH => return None,
            "client backend" if process.name == DAEMON => Self::WriterSessions,
            "client backend" if process.name.starts_with(DAEMON) => Self::BackgroundSessions,
            "client backend" => return None,
            "walwriter" => Self::WalWriter,
            "checkpointer" | "background writer" => Self::PageWriters,
            _ => Self::Upkeep,
        })
    }
}

/// A row of `pg_stat_activity`.
#[derive(Debug)]
struct ServerProcess {
    kind: String,
    name: String,
    is_here: bool,
}

/// What was used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartReading {
    /// Seconds, in the order of [`CpuPart::ALL`].
    pub seconds: [f64; CpuPart::ALL.len()],
    /// Bytes of write-ahead log.
    pub log_bytes: f64,
}

impl PartReading {
    /// What was used since an earlier reading. Processes that have ended meanwhile may make a part less
    /// than nothing.
    pub fn since(self, earlier: Self) -> Self {
        let mut seconds = self.seconds;
        for (now, before) in seconds.iter_mut().zip(earlier.seconds) {
            *now = (*now - before).max(0.0);
        }
        Self {
            seconds,
            log_bytes: self.log_bytes - earlier.log_bytes,
        }
    }
}

/// Reads what a daemon and its Postgres use.
#[derive(Debug)]
pub(super) struct PartWatch {
    conn: PgConnection,
    daemon: u32,
    postmaster: u32,
}

impl PartWatch {
    /// Connects. The connection stays open between readings: the time of a session that ends would be
    /// counted as [`CpuPart::Upkeep`].
    ///
    /// # Errors
    /// When Postgres is unreachable or on another machine.
    pub async fn open(bench: &BenchHarness) -> anyhow::Result<Self> {
        let postmaster = bench.watched.postmaster;
        let postmaster = postmaster.context("--slots-model needs a Postgres on this machine")?;
        ensure!(
            cpu_seconds(postmaster, true) > 0.0 || cpu_seconds(bench.watched.daemon, false) > 0.0,
            "--slots-model needs /proc, which only Linux has"
        );
        let mut watch = Self {
            conn: bench.scratch.connect().await?,
            daemon: bench.watched.daemon,
            postmaster,
        };
        watch.wait_for_others().await?;
        Ok(watch)
    }

    /// Waits until the benchmark's other sessions have ended, which takes a moment after their connections.
    async fn wait_for_others(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let others: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = $1 AND pid <> pg_backend_pid()",
            )
            .bind(BENCH)
            .fetch_one(&mut self.conn)
            .await?;
            // A process that is no longer listed still has to end.
            sleep(END_OF_PROCESS).await;
            if others == 0 || begin.elapsed() > END_LIMIT {
                return Ok(());
            }
        }
    }

    /// Reads all parts.
    ///
    /// # Errors
    /// When Postgres is unreachable.
    pub async fn read(&mut self) -> anyhow::Result<PartReading> {
        let processes: Vec<(i32, String, String, bool)> = sqlx::query_as(
            "SELECT pid, coalesce(backend_type, '') AS kind, coalesce(application_name, '') AS name, \
                    coalesce(datname = current_database(), false) AS is_here \
             FROM pg_stat_activity",
        )
        .fetch_all(&mut self.conn)
        .await?;
        let log_bytes = sqlx::query_scalar(
            "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::double precision",
        )
        .fetch_one(&mut self.conn)
        .await?;
        let mut seconds = [0.0; CpuPart::ALL.len()];
        let mut add = |part: CpuPart, more: f64| seconds[part as usize] += more;
        let writers = thread_cpu_seconds(self.daemon, WRITER_THREADS);
        add(CpuPart::DaemonWriters, writers);
        add(
            CpuPart::DaemonRest,
            cpu_seconds(self.daemon, false) - writers,
        );
        add(CpuPart::Upkeep, cpu_seconds(self.postmaster, true));
        for (pid, kind, name, is_here) in processes {
            let process = ServerProcess {
                kind,
                name,
                is_here,
            };
            if let (Some(part), Ok(pid)) = (CpuPart::of_process(&process), pid.try_into()) {
                add(part, cpu_seconds(pid, false));
            }
        }
        Ok(PartReading { seconds, log_bytes })
    }

    /// Has the changed pages written, so that what they cost is in the next reading.
    ///
    /// # Errors
    /// When Postgres is unreachable.
    pub async fn checkpoint(&mut self) -> anyhow::Result<()> {
        match sqlx::raw_sql("CHECKPOINT").execute(&mut self.conn).await {
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) =>
            {
                Ok(())
            }
            done => Ok(done.map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart() {
        let part = |kind: &str, name: &str, is_here| {
            CpuPart::of_process(&ServerProcess {
                kind: kind.to_owned(),
                name: name.to_owned(),
                is_here,
            })
        };
        let backend = |name, is_here| part("client backend", name, is_here);
        assert_eq!(backend("runtraced", true), Some(CpuPart::WriterSessions));
        assert_eq!(
            backend("runtraced sweeper", true),
            Some(CpuPart::BackgroundSessions)
        );
        assert_eq!(backend("runtraced bench", true), None);
        assert_eq!(backend("psql", true), None);
        assert_eq!(backend("runtraced", false), None);
        assert_eq!(part("walwriter", "", false), Some(CpuPart::WalWriter));
        assert_eq!(part("checkpointer", "", false), Some(CpuPart::PageWriters));
        assert_eq!(part("autovacuum worker", "", true), Some(CpuPart::Upkeep));
    }

    #[test]
    fn parts_have_their_own_places() {
        for (place, part) in CpuPart::ALL.into_iter().enumerate() {
            assert_eq!(part as usize, place);
        }
    }
}
