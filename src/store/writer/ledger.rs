//! The counts of promise 6, for metrics and for `ingest_ledger`.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::outcome::OutcomeCounts;

/// What one shard did with the events it received, since the daemon started.
///
/// `received` is counted at the door, the rest when an event is settled, so
/// `received` less the rest is what is in flight. An event that is spooled
/// leaves its shard for the replayer, whose counts are those of the spool.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ShardCounts {
    pub received: AtomicU64,
    pub committed: AtomicU64,
    pub duplicate: AtomicU64,
    pub refused: AtomicU64,
    /// Handed to the spool; one addition moves an event from here to the replayer.
    pub spooled: Arc<AtomicU64>,
    pub dead_lettered: AtomicU64,
    pub ignored: AtomicU64,
    /// Of the replayer: what each shard handed over.
    handed_over: Option<Box<[Arc<AtomicU64>]>>,
}

/// One reading of [`ShardCounts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CountsReading {
    pub received: u64,
    pub committed: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub spooled: u64,
    pub dead_lettered: u64,
    pub ignored: u64,
}

impl ShardCounts {
    /// The counts of the replayer, which begins with the events found in the spool.
    #[must_use]
    pub fn replayer(shards: &[Arc<Self>], found: u64) -> Self {
        Self {
            received: AtomicU64::new(found),
            handed_over: Some(shards.iter().map(|shard| shard.spooled.clone()).collect()),
            ..Self::default()
        }
    }

    /// Counts what a committed transaction did.
    pub fn add(&self, tally: OutcomeCounts) {
        self.committed.fetch_add(tally.committed, Relaxed);
        self.duplicate.fetch_add(tally.duplicate, Relaxed);
        self.refused.fetch_add(tally.refused, Relaxed);
        self.dead_lettered.fetch_add(tally.dead_lettered, Relaxed);
    }

    /// The counts now. Outcomes are read before `received`, so that their sum
    /// never exceeds it.
    #[must_use]
    pub fn read(&self) -> CountsReading {
        let mut reading = CountsReading {
            committed: self.committed.load(Acquire),
            duplicate: self.duplicate.load(Acquire),
            refused: self.refused.load(Acquire),
            spooled: 0,
            dead_lettered: self.dead_lettered.load(Acquire),
            ignored: self.ignored.load(Acquire),
            received: 0,
        };
        if let Some(shards) = &self.handed_over {
            let handed_over: u64 = shards.iter().map(|shard| shard.load(Acquire)).sum();
            reading.received = self.received.load(Acquire) + handed_over;
            reading.spooled = reading.received.saturating_sub(reading.settled());
        } else {
            let handed_over = self.spooled.load(Acquire);
            reading.received = self.received.load(Acquire).saturating_sub(handed_over);
        }
        reading
    }

    /// As they will be when a transaction with this tally has committed.
    #[must_use]
    pub fn read_with(&self, tally: OutcomeCounts) -> CountsReading {
        let mut reading = self.read();
        reading.committed += tally.committed;
        reading.duplicate += tally.duplicate;
        reading.refused += tally.refused;
        reading.dead_lettered += tally.dead_lettered;
        if self.handed_over.is_some() {
            reading.spooled = reading
                .received
                .saturating_sub(reading.settled() - reading.spooled);
        }
        reading
    }

    /// The sum over all shards and the replayer. An event that moves between
    /// them meanwhile counts once.
    #[must_use]
    pub fn sum(all: &[Arc<Self>]) -> CountsReading {
        let mut sum = CountsReading::default();
        for counts in all {
            let reading = counts.read();
            sum.committed += reading.committed;
            sum.duplicate += reading.duplicate;
            sum.refused += reading.refused;
            sum.spooled += reading.spooled;
            sum.dead_lettered += reading.dead_lettered;
            sum.ignored += reading.ignored;
        }
        sum.received = all.iter().map(|counts| counts.received.load(Acquire)).sum();
        sum
    }
}

impl CountsReading {
    /// All that is no longer in flight.
    fn settled(self) -> u64 {
        self.committed
            + self.duplicate
            + self.refused
            + self.spooled
            + self.dead_lettered
            + self.ignored
    }

    /// Received and not settled.
    #[must_use]
    pub fn in_flight(self) -> u64 {
        self.received.saturating_sub(self.settled())
    }
}

/// Which spool a replayer's counts are of.
#[derive(Clone, Copy, Debug)]
pub struct SpoolIdentity {
    /// The spool.
    pub id: Uuid,
    /// Events that earlier daemons left in it.
    pub found: u64,
}

/// Where the counts of one shard are written.
#[derive(Clone, Copy)]
pub(super) struct Ledger {
    /// This run of the daemon.
    pub instance: Uuid,
    pub shard: i32,
    /// What is to be taken over from earlier daemons with it.
    pub take_over: Option<SpoolIdentity>,
}

impl Ledger {
    /// Writes the counts; part of the transaction that they speak of.
    pub async fn write(
        self,
        conn: &mut PgConnection,
        reading: CountsReading,
    ) -> Result<(), sqlx::Error> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        sqlx::query(include_str!("../sql/write_ledger.sql"))
            .bind(self.instance)
            .bind(self.shard)
            .bind(count(reading.received))
            .bind(count(reading.committed))
            .bind(count(reading.duplicate))
            .bind(count(reading.refused))
            .bind(count(reading.spooled))
            .bind(count(reading.dead_lettered))
            .bind(count(reading.ignored))
            .execute(&mut *conn)
            .await?;
        match self.take_over {
            Some(spool) => self.take_over_spool(conn, spool).await,
            None => Ok(()),
        }
    }

    /// Takes over what earlier daemons left in the spool.
    async fn take_over_spool(
        self,
        conn: &mut PgConnection,
        spool: SpoolIdentity,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("../sql/take_over_spool.sql"))
            .bind(spool.id)
            .bind(self.instance)
            .bind(self.shard)
            .bind(i64::try_from(spool.found).unwrap_or(i64::MAX))
            .execute(conn)
            .await?;
        Ok(())
    }
}
