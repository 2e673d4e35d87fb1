//! What was deleted, by table.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Number of rows by table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are the tables
pub struct RowCounts {
    pub runs: u64,
    pub steps: u64,
    pub contents: u64,
    pub shared_contents: u64,
    pub messages: u64,
    pub token_counts: u64,
    pub scores: u64,
    pub aliases: u64,
    pub approvals: u64,
    pub sessions: u64,
    pub dead_letters: u64,
}

impl RowCounts {
    /// The tables, in the order of [`Self::values`].
    pub const TABLES: [&str; 11] = [
        "agent_runs",
        "agent_steps",
        "agent_contents",
        "agent_shared_contents",
        "agent_messages",
        "agent_token_counts",
        "agent_scores",
        "agent_step_aliases",
        "approvals",
        "agent_sessions",
        "ingest_dead_letters",
    ];

    /// The number of rows of each of [`Self::TABLES`].
    #[must_use]
    pub fn values(self) -> [u64; Self::TABLES.len()] {
        [
            self.runs,
            self.steps,
            self.contents,
            self.shared_contents,
            self.messages,
            self.token_counts,
            self.scores,
            self.aliases,
            self.approvals,
            self.sessions,
            self.dead_letters,
        ]
    }

    /// Reads what a statement counts. Tables that it does not name have no rows.
    pub(super) fn read(row: &PgRow) -> Self {
        let count = |name: &str| {
            let count: i64 = row.try_get(name).unwrap_or_default();
            count.unsigned_abs()
        };
        Self {
            runs: count("runs"),
            steps: count("steps"),
            contents: count("contents"),
            shared_contents: count("shared_contents"),
            messages: count("messages"),
            token_counts: count("token_counts"),
            scores: count("scores"),
            aliases: count("aliases"),
            approvals: count("approvals"),
            sessions: count("sessions"),
            dead_letters: count("dead_letters"),
        }
    }

    /// The greatest of the numbers.
    pub(super) fn most(self) -> u64 {
        self.values().into_iter().max().unwrap_or_default()
    }
}

impl AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.contents += other.contents;
        self.shared_contents += other.shared_contents;
        self.messages += other.messages;
        self.token_counts += other.token_counts;
        self.scores += other.scores;
        self.aliases += other.aliases;
        self.approvals += other.approvals;
        self.sessions += other.sessions;
        self.dead_letters += other.dead_letters;
    }
}

/// What the reaper has done since the daemon started, and what it has seen.
#[derive(Debug, Default)]
pub struct ReapCounts {
    rows: [AtomicU64; RowCounts::TABLES.len()],
    busy_micros: AtomicU64,
    oldest_s: AtomicU64,
    table_bytes: Mutex<Vec<(String, i64)>>,
}

impl ReapCounts {
    /// The tables and how many rows of them were deleted.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let rows = RowCounts::TABLES.into_iter().zip(&self.rows);
        rows.map(|(table, rows)| (table, rows.load(Relaxed)))
    }

    /// How long the database has worked on it.
    #[must_use]
    pub fn busy(&self) -> Duration {
        Duration::from_micros(self.busy_micros.load(Relaxed))
    }

    /// How long the run that has not changed for longest is unchanged.
    #[must_use]
    pub fn oldest(&self) -> Duration {
        Duration::from_secs(self.oldest_s.load(Relaxed))
    }

    /// The tables and their size with their indexes, as last seen.
    #[must_use]
    pub fn table_bytes(&self) -> Vec<(String, i64)> {
        let bytes = self.table_bytes.lock();
        bytes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, rows: RowCounts) {
        for (count, rows) in self.rows.iter().zip(rows.values()) {
            count.fetch_add(rows, Relaxed);
        }
    }

    pub(super) fn add_busy(&self, busy: Duration) {
        let micros = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
        self.busy_micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn set_oldest(&self, seconds: f64) {
        self.oldest_s.store(seconds.max(0.0) as u64, Relaxed);
    }

    pub(super) fn set_table_bytes(&self, bytes: Vec<(String, i64)>) {
        *self
            .table_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = bytes;
    }
}
