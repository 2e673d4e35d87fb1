//! Counts every event once, for the metrics and for the table `ingest_ledger`.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::store::outcome::{ContentBytes, OutcomeCounts};

/// The events of one shard by outcome, since the daemon started.
///
/// The endpoint counts `received`. All other counts change when an event is settled, so
/// `received` minus their sum is the number of events in flight. A spooled event moves
/// from its shard's counts to the replayer's counts, which are those of the spool.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ShardCounts {
    pub received: AtomicU64,
    pub committed: AtomicU64,
    pub duplicate: AtomicU64,
    pub refused: AtomicU64,
    /// Events handed to the spool. One atomic addition moves an event from the shard's
    /// counts to the replayer's.
    pub spooled: Arc<AtomicU64>,
    pub dead_lettered: AtomicU64,
    pub ignored: AtomicU64,
    /// Bytes, as in [`ContentBytes`].
    pub content_values: AtomicU64,
    pub content_new: AtomicU64,
    /// For the replayer: the `spooled` counts of all shards.
    shards_spooled: Option<Box<[Arc<AtomicU64>]>>,
}

/// The values of [`ShardCounts`] at one time.
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
    /// The counts of the replayer. They begin with the events that the spool held when it
    /// was opened.
    #[must_use]
    pub fn replayer(shards: &[Arc<Self>], found_events: u64) -> Self {
        Self {
            received: AtomicU64::new(found_events),
            shards_spooled: Some(shards.iter().map(|shard| shard.spooled.clone()).collect()),
            ..Self::default()
        }
    }

    /// For the replayer: sets how many events earlier daemons have left in the spool.
    pub fn set_found(&self, events: u64) {
        self.received.store(events, Relaxed);
    }

    /// The number of events that were committed or are duplicates.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.committed.load(Relaxed) + self.duplicate.load(Relaxed)
    }

    /// Adds the outcomes of a committed transaction.
    pub fn add(&self, outcomes: OutcomeCounts) {
        self.committed.fetch_add(outcomes.committed, Relaxed);
        self.duplicate.fetch_add(outcomes.duplicate, Relaxed);
        self.refused.fetch_add(outcomes.refused, Relaxed);
        self.dead_lettered
            .fetch_add(outcomes.dead_lettered, Relaxed);
        self.ignored.fetch_add(outcomes.ignored, Relaxed);
    }

    /// Adds the contents of a committed transaction.
    pub fn add_contents(&self, bytes: ContentBytes) {
        self.content_values.fetch_add(bytes.values, Relaxed);
        self.content_new.fetch_add(bytes.new, Relaxed);
    }

    /// The contents of all shards and the replayer.
    #[must_use]
    pub fn content_bytes(all: &[Arc<Self>]) -> ContentBytes {
        let sum =
            |of: fn(&Self) -> &AtomicU64| all.iter().map(|counts| of(counts).load(Relaxed)).sum();
        ContentBytes {
            values: sum(|counts| &counts.content_values),
            new: sum(|counts| &counts.content_new),
        }
    }

    /// Reads the counts. It reads `received` last, so the sum of the outcomes never
    /// exceeds `received`.
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
        if let Some(shards) = &self.shards_spooled {
            let from_shards: u64 = shards.iter().map(|spooled| spooled.load(Acquire)).sum();
            reading.received = self.received.load(Acquire) + from_shards;
            reading.spooled = reading.received.saturating_sub(reading.settled());
        } else {
            let spooled = self.spooled.load(Acquire);
            reading.received = self.received.load(Acquire).saturating_sub(spooled);
        }
        reading
    }

    /// Reads the counts and adds the outcomes of a transaction that has not committed yet.
    #[must_use]
    pub fn read_with(&self, outcomes: OutcomeCounts) -> CountsReading {
        let mut reading = self.read();
        reading.committed += outcomes.committed;
        reading.duplicate += outcomes.duplicate;
        reading.refused += outcomes.refused;
        reading.dead_lettered += outcomes.dead_lettered;
        reading.ignored += outcomes.ignored;
        if self.shards_spooled.is_some() {
            reading.spooled = reading
                .received
                .saturating_sub(reading.settled() - reading.spooled);
        }
        reading
    }

    /// The sum over all shards and the replayer. An event that moves between them during
    /// the call counts once.
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
    /// The number of events that are not in flight any more.
    fn settled(self) -> u64 {
        self.committed
            + self.duplicate
            + self.refused
            + self.spooled
            + self.dead_lettered
            + self.ignored
    }

    /// The number of events that are received and not settled.
    #[must_use]
    pub fn in_flight(self) -> u64 {
        self.received.saturating_sub(self.settled())
    }
}

/// The spool that a replayer's counts belong to, as the ledger keeps it.
#[derive(Clone, Debug)]
pub(super) struct SpoolRecord {
    /// The spool's id.
    pub id: Uuid,
    /// The number of events that earlier daemons left in it, until their counts are taken
    /// over.
    pub take_over: Option<u64>,
    /// How far it is replayed: JSON that only the replayer reads.
    pub progress: Option<Arc<str>>,
}

/// A row of `ingest_ledger`: the counts of one shard of this daemon process.
#[derive(Clone)]
pub(super) struct Ledger {
    /// The id of this daemon process.
    pub instance: Uuid,
    pub shard: i32,
    /// The spool, in the row of a replayer.
    pub spool: Option<SpoolRecord>,
}

impl Ledger {
    /// Writes the counts, in the same transaction that settles the counted events.
    pub async fn write(
        self,
        conn: &mut PgConnection,
        reading: CountsReading,
    ) -> Result<(), sqlx::Error> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let statement = match self.spool {
            None => include_str!("../sql/write_ledger.sql"),
            Some(_) => include_str!("../sql/write_spool_ledger.sql"),
        };
        let mut query = sqlx::query(statement)
            .bind(self.instance)
            .bind(self.shard)
            .bind(count(reading.received))
            .bind(count(reading.committed))
            .bind(count(reading.duplicate))
            .bind(count(reading.refused))
            .bind(count(reading.spooled))
            .bind(count(reading.dead_lettered))
            .bind(count(reading.ignored));
        let Some(spool) = &self.spool else {
            query.execute(conn).await?;
            return Ok(());
        };
        query = query.bind(spool.id).bind(spool.progress.as_deref());
        let inserted: bool = query.fetch_one(&mut *conn).await?.try_get(0)?;
        match spool.take_over {
            Some(found) => {
                sqlx::query(include_str!("../sql/take_over_spool.sql"))
                    .bind(spool.id)
                    .bind(self.instance)
                    .bind(count(found))
                    .execute(conn)
                    .await?;
                Ok(())
            }
            // The row is gone: this may be another database than before.
            None if inserted => Err(sqlx::Error::RowNotFound),
            None => Ok(()),
        }
    }
}
