//! Between the front doors and the store: admission by bytes, one queue per
//! shard, one writer thread per shard, and the answer back to the handler.
//!
//! No SQL and no protocol here. Nothing is unbounded: what is admitted holds
//! its weight in the byte budget until it is settled.

mod batch;
mod gate;
mod parked;
mod replay;
mod route;
mod shard;
mod spooler;
mod ticket;
mod unit;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use batch::{Batch, BatchOutcome, Durability};
pub use gate::Gate;
use parked::Parked;
use replay::Replayer;
use route::Routes;
pub use shard::BatchLimits;
use shard::Shard;
pub use spooler::SpoolConfig;
use spooler::Spooler;
use ticket::{BudgetShare, Tracker};
pub use ticket::{DroppedUnsettled, Ticket};
use unit::Unit;

use crate::event::Event;
use crate::store::{ShardCounts, SpoolIdentity, WhenAway, Writer, WriterConfig};

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
    /// Where events go when Postgres is away; without it they wait.
    pub spool: Option<SpoolConfig>,
    /// Cancelled when no more is to be replayed.
    pub draining: CancellationToken,
}

/// The way from a handler to the writers.
#[derive(Debug)]
pub struct Pipeline {
    shards: Vec<Sender<Box<Unit>>>,
    routes: Routes,
    counts: Arc<[Arc<ShardCounts>]>,
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    /// The part of the budget for batches that wait for Postgres whatever the
    /// spool could take: they are not to hold back the others.
    waiting: Arc<Semaphore>,
    waiting_bytes: usize,
    gate: Arc<Gate>,
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
        let mut counts: Vec<Arc<ShardCounts>> = (0..writers).map(|_| Arc::default()).collect();
        let budget_bytes = config.memory_budget_bytes;
        let budget = Arc::new(Semaphore::new(budget_bytes));
        let gate = Arc::<Gate>::default();
        let mut writer_config = config.writer;
        if config.spool.is_some() {
            writer_config.when_away = WhenAway::ReturnError;
        }
        // Disconnected when the last shard has ended.
        let (running, shards_running) = crossbeam_channel::bounded(1);
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for (number, counts) in (0_i32..).zip(&counts) {
            let (sender, receiver) = crossbeam_channel::bounded(capacity);
            let spooler = config.spool.as_ref().map(|spool| Spooler {
                config: spool.clone(),
                gate: gate.clone(),
                spooled: counts.spooled.clone(),
                _running: running.clone(),
            });
            let shard = Shard {
                queue: receiver,
                writer: Writer::new(writer_config.clone(), number, counts.clone()),
                limits: config.limits,
                timeout: config
                    .spool
                    .as_ref()
                    .map_or(writer_config.commit_timeout, |spool| spool.after),
                spooler,
                parked: Parked::default(),
                retry_at: Instant::now(),
            };
            let name = format!("writer-{number}");
            threads.push(spawn(name, writer_ended, |runtime| shard.run(runtime))?);
            shards.push(sender);
        }
        drop(running);
        if let Some(spool) = config.spool {
            let identity = SpoolIdentity {
                id: spool.spool.id(),
                found_events: spool.spool.found_events(),
            };
            let replayed = Arc::new(ShardCounts::replayer(&counts, identity.found_events));
            let number = i32::try_from(writers).unwrap_or(i32::MAX);
            let replayer = Replayer {
                writer: Writer::replayer(writer_config, number, replayed.clone(), identity),
                timeout: spool.after,
                config: spool,
                gate: gate.clone(),
                shards: shards_running,
                draining: config.draining,
                budget: budget.clone(),
                budget_bytes,
            };
            counts.push(replayed);
            threads.push(spawn("replayer".into(), writer_ended, |runtime| {
                replayer.run(runtime);
            })?);
        }
        let waiting_bytes = budget_bytes / 2;
        let pipeline = Self {
            routes: Routes::new(shards.len()),
            shards,
            counts: counts.into(),
            budget,
            budget_bytes,
            waiting: Arc::new(Semaphore::new(waiting_bytes)),
            waiting_bytes,
            gate,
        };
        Ok((pipeline, threads))
    }

    /// Admits a batch, waiting for room in the budget. It is settled with the
    /// durability `least` or better.
    ///
    /// # Errors
    /// When the pipeline is shutting down.
    pub async fn admit(&self, batch: Batch, least: Durability) -> Result<Ticket, DroppedUnsettled> {
        let waiting = match least {
            Durability::Spooled => None,
            Durability::Committed => {
                let weight = weight(&batch, self.waiting_bytes);
                let room = self.waiting.clone().acquire_many_owned(weight).await;
                Some(room.map_err(|_| DroppedUnsettled)?)
            }
        };
        let weight = weight(&batch, self.budget_bytes);
        let budget = self.budget.clone().acquire_many_owned(weight).await;
        let room = BudgetShare {
            _budget: budget.map_err(|_| DroppedUnsettled)?,
            _waiting: waiting,
        };
        Ok(self.enqueue(batch, least, room))
    }

    /// The same if there is room now.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_admit(&self, batch: Batch, least: Durability) -> Result<Ticket, Full> {
        let waiting = match least {
            Durability::Spooled => None,
            Durability::Committed => {
                let weight = weight(&batch, self.waiting_bytes);
                let room = self.waiting.clone().try_acquire_many_owned(weight);
                Some(room.map_err(|_| Full)?)
            }
        };
        let weight = weight(&batch, self.budget_bytes);
        let budget = self.budget.clone().try_acquire_many_owned(weight);
        let room = BudgetShare {
            _budget: budget.map_err(|_| Full)?,
            _waiting: waiting,
        };
        Ok(self.enqueue(batch, least, room))
    }

    /// Whether events go to the spool because Postgres is away.
    #[must_use]
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
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

    fn enqueue(&self, batch: Batch, least: Durability, room: BudgetShare) -> Ticket {
        let refused = batch.refused.len() as u64;
        add(&self.counts[0].received, refused);
        add(&self.counts[0].refused, refused);
        self.routes
            .learn(batch.events.iter().map(|(_, event)| event));
        let shard_of = |(_, event): &(u32, Event)| self.routes.shard_of(event);
        let shards: Vec<usize> = batch.events.iter().map(shard_of).collect();
        let mut counts = vec![0; self.shards.len()];
        shards.iter().for_each(|&shard| counts[shard] += 1);
        let units = counts.into_iter().map(|count| Unit::new(least, count));
        let mut units: Vec<Unit> = units.collect();
        for ((index, event), shard) in batch.events.into_iter().zip(shards) {
            units[shard].push(index, event);
        }
        let parts = units.iter().filter(|unit| !unit.is_empty()).count();
        let (tracker, ticket) = Tracker::new(parts, batch.refused, room);
        for ((unit, sender), counts) in units.into_iter().zip(&self.shards).zip(self.counts.iter())
        {
            if !unit.is_empty() {
                add(&counts.received, unit.len() as u64);
                // The queue has room for all that the budget admits; if the
                // writer is gone, dropping the unit tells the ticket.
                let _ = sender.try_send(Box::new(unit.tracked_by(tracker.clone())));
            }
        }
        ticket
    }
}

/// A batch heavier than the whole budget is taken alone.
fn weight(batch: &Batch, most_bytes: usize) -> u32 {
    u32::try_from(batch.weight_bytes().min(most_bytes)).unwrap_or(u32::MAX)
}

/// A thread with a runtime of its own. When it ends, by a panic too, `ended` is
/// cancelled.
fn spawn(
    name: String,
    ended: &CancellationToken,
    run: impl FnOnce(&Runtime) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let ended = ended.clone().drop_guard();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        let _ended = ended;
        run(&runtime);
    })
}

fn add(counter: &std::sync::atomic::AtomicU64, count: u64) {
    counter.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

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
                when_away: WhenAway::Wait,
                render: |_| String::new(),
                give_up: CancellationToken::new(),
            },
            spool: None,
            draining: CancellationToken::new(),
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
