//! Between the front doors and the store: admission by bytes, one queue per
//! shard, one writer thread per shard, and the answer back to the handler.
//!
//! No SQL and no protocol here. Nothing is unbounded: what is admitted holds
//! its weight in the byte budget until it is settled.

mod batch;
mod shard;
mod ticket;

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use batch::{Batch, BatchOutcome, Durability};
pub use shard::BatchLimits;
use shard::{Unit, run_shard};
use ticket::Tracker;
pub use ticket::{Dropped, Ticket};

use crate::store::{ShardCounts, Writer, WriterConfig};

/// Each queue has room for as many units as the budget can hold at this least
/// weight, so that a send never blocks.
const MIN_UNIT_BYTES: usize = 256;

/// How the pipeline is built.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// How many shards, each with its own thread and connection.
    pub writers: usize,
    /// How many bytes of events may be admitted and not yet settled.
    pub memory_budget_bytes: usize,
    /// When a writer stops gathering and commits.
    pub limits: BatchLimits,
    /// For each writer.
    pub writer: WriterConfig,
}

/// The way from a handler to the writers.
#[derive(Debug)]
pub struct Pipeline {
    shards: Vec<Sender<Unit>>,
    counts: Arc<[Arc<ShardCounts>]>,
    budget: Arc<Semaphore>,
    budget_bytes: usize,
}

/// The budget is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory budget is full")]
pub struct Full;

impl Pipeline {
    /// Starts the writer threads. They end when the pipeline is dropped and
    /// what was admitted is settled, or when told to give up; whenever one
    /// does, `writer_ended` is cancelled.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        config: PipelineConfig,
        writer_ended: &CancellationToken,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let writers = config.writers.max(1);
        let capacity = config.memory_budget_bytes / MIN_UNIT_BYTES + 1;
        let counts: Arc<[Arc<ShardCounts>]> = (0..writers).map(|_| Arc::default()).collect();
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for (number, counts) in (0_i32..).zip(counts.iter()) {
            let (sender, receiver) = crossbeam_channel::bounded(capacity);
            let writer = Writer::new(config.writer.clone(), number, counts.clone());
            let limits = config.limits;
            // Cancels when dropped, by a panic too.
            let ended = writer_ended.clone().drop_guard();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            threads.push(
                std::thread::Builder::new()
                    .name(format!("writer-{number}"))
                    .spawn(move || {
                        let _ended = ended;
                        run_shard(&runtime, &receiver, writer, limits);
                    })?,
            );
            shards.push(sender);
        }
        let budget_bytes = config.memory_budget_bytes;
        let budget = Arc::new(Semaphore::new(budget_bytes));
        Ok((
            Self {
                shards,
                counts,
                budget,
                budget_bytes,
            },
            threads,
        ))
    }

    /// Admits a batch, waiting for room in the budget.
    ///
    /// # Errors
    /// When the pipeline is shutting down.
    pub async fn admit(&self, batch: Batch) -> Result<Ticket, Dropped> {
        let weight = self.weight(&batch);
        let permit = self
            .budget
            .clone()
            .acquire_many_owned(weight)
            .await
            .map_err(|_| Dropped)?;
        Ok(self.enqueue(batch, permit))
    }

    /// Admits a batch if there is room now.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_admit(&self, batch: Batch) -> Result<Ticket, Full> {
        let weight = self.weight(&batch);
        let permit = self
            .budget
            .clone()
            .try_acquire_many_owned(weight)
            .map_err(|_| Full)?;
        Ok(self.enqueue(batch, permit))
    }

    /// The counts of each shard.
    #[must_use]
    pub fn counts(&self) -> Arc<[Arc<ShardCounts>]> {
        self.counts.clone()
    }

    /// The byte budget, for metrics.
    #[must_use]
    pub fn budget(&self) -> Arc<Semaphore> {
        self.budget.clone()
    }

    /// A batch heavier than the whole budget is taken alone.
    fn weight(&self, batch: &Batch) -> u32 {
        let bytes = batch.weight_bytes().min(self.budget_bytes);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn enqueue(&self, batch: Batch, permit: OwnedSemaphorePermit) -> Ticket {
        let mut units: Vec<Unit> = Vec::new();
        units.resize_with(self.shards.len(), Unit::default);
        let refused = batch.refused.len() as u64;
        add(&self.counts[0].received, refused);
        add(&self.counts[0].refused, refused);
        for (index, event) in batch.events {
            let route = event.run_id().or(event.session_id()).unwrap_or_default();
            units[self.shard_of(route)].push(index, event);
        }
        let parts = units.iter().filter(|unit| !unit.is_empty()).count();
        let (tracker, ticket) = Tracker::new(parts, batch.refused, permit);
        for ((unit, sender), counts) in units.into_iter().zip(&self.shards).zip(self.counts.iter())
        {
            if !unit.is_empty() {
                add(&counts.received, unit.len() as u64);
                // The queue has room for all that the budget admits; if the
                // writer is gone, dropping the unit tells the ticket.
                let _ = sender.try_send(unit.tracked_by(tracker.clone()));
            }
        }
        ticket
    }

    /// Everything of one run, or of one session without a run, has one writer.
    fn shard_of(&self, id: Uuid) -> usize {
        // Ids are mostly random in their last bytes (UUIDv7 too); mixing makes
        // do with those that are not (UUIDv1, hand-made ones).
        let (high, low) = id.as_u64_pair();
        let mixed = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mixed) * self.shards.len() as u128) >> 64) as usize
    }
}

fn add(counter: &std::sync::atomic::AtomicU64, count: u64) {
    counter.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_writer_that_ends_is_noticed() {
        let config = PipelineConfig {
            writers: 2,
            memory_budget_bytes: 1 << 20,
            limits: BatchLimits {
                max_events: 1,
                max_bytes: 1,
                linger: Duration::ZERO,
            },
            writer: WriterConfig {
                database: sqlx::postgres::PgConnectOptions::new_without_pgpass(),
                instance: Uuid::nil(),
                run_timeout_ms: 1,
                commit_timeout: Duration::from_secs(1),
                render: |_| String::new(),
                give_up: CancellationToken::new(),
            },
        };
        let ended = CancellationToken::new();
        let (pipeline, threads) = Pipeline::start(config, &ended).unwrap();
        assert!(!ended.is_cancelled());
        drop(pipeline);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(ended.is_cancelled());
    }
}
