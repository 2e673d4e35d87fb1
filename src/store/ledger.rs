//! The counts of promise 6, for metrics and for `ingest_ledger`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sqlx::PgConnection;
use uuid::Uuid;

use super::outcome::Tally;

/// What one shard did with the events it received, since the daemon started.
///
/// `received` is counted at the door, the rest when an event is settled, so
/// `received` less the rest is what is in flight.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ShardCounts {
    pub received: AtomicU64,
    pub committed: AtomicU64,
    pub duplicate: AtomicU64,
    pub refused: AtomicU64,
    pub spooled: AtomicU64,
    pub dead_lettered: AtomicU64,
    pub ignored: AtomicU64,
}

/// One reading of [`ShardCounts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Reading {
    pub received: u64,
    pub committed: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub spooled: u64,
    pub dead_lettered: u64,
    pub ignored: u64,
}

impl ShardCounts {
    /// Counts what a committed transaction did.
    pub fn add(&self, tally: Tally) {
        self.committed.fetch_add(tally.committed, Relaxed);
        self.duplicate.fetch_add(tally.duplicate, Relaxed);
        self.refused.fetch_add(tally.refused, Relaxed);
        self.dead_lettered.fetch_add(tally.dead_lettered, Relaxed);
    }

    /// The counts now. Outcomes are read before `received`, so that their sum
    /// never exceeds it.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut reading = Reading {
            committed: self.committed.load(Relaxed),
            duplicate: self.duplicate.load(Relaxed),
            refused: self.refused.load(Relaxed),
            spooled: self.spooled.load(Relaxed),
            dead_lettered: self.dead_lettered.load(Relaxed),
            ignored: self.ignored.load(Relaxed),
            received: 0,
        };
        reading.received = self.received.load(Relaxed);
        reading
    }
}

impl Reading {
    /// As it will be when a transaction with this tally has committed.
    #[must_use]
    pub fn with(mut self, tally: Tally) -> Self {
        self.committed += tally.committed;
        self.duplicate += tally.duplicate;
        self.refused += tally.refused;
        self.dead_lettered += tally.dead_lettered;
        self
    }
}

/// Writes a shard's counts; part of the transaction that they speak of.
pub(super) async fn write_ledger(
    conn: &mut PgConnection,
    instance: Uuid,
    shard: i32,
    reading: Reading,
) -> Result<(), sqlx::Error> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query(include_str!("sql/write_ledger.sql"))
        .bind(instance)
        .bind(shard)
        .bind(count(reading.received))
        .bind(count(reading.committed))
        .bind(count(reading.duplicate))
        .bind(count(reading.refused))
        .bind(count(reading.spooled))
        .bind(count(reading.dead_lettered))
        .bind(count(reading.ignored))
        .execute(conn)
        .await?;
    Ok(())
}
