//! The path from the ingest handlers to the store: admission by bytes; for each server of the store a
//! lane, with one queue and one writer thread per shard; and the outcome back to the handler.
//!
//! SQL and protocols do not belong here. Everything is bounded: an admitted batch holds
//! its weight in the memory budget until it is settled.

mod batch;
mod gate;
mod held;
mod isolation;
mod lane;
mod parked;
mod part_size;
mod replay;
mod route;
mod shard;
mod spooler;
mod spread;
mod suspects;
mod ticket;
mod unit;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use batch::{Batch, BatchOutcome, Durability};
pub use gate::Gate;
pub use lane::ServerConfig;
use lane::{CommonParts, ServerLane};
pub use shard::BatchLimits;
pub use spooler::SpoolConfig;
use spread::{by_server, copied_bytes};
pub use suspects::Suspects;
use ticket::{BudgetShare, Tracker};
pub use ticket::{DroppedUnsettled, Ticket};
use unit::Unit;

use crate::histograms::{Histograms, WritePhase};
use crate::store::ShardCounts;

/// Batches that must be committed take at most this fraction of the memory budget: half.
/// The other half stays free for batches that can be spooled.
const COMMITTED_BUDGET_FRACTION: usize = 2;

/// The settings of the pipeline.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// The servers of the store, in their order.
    pub servers: Vec<ServerConfig>,
    /// The budget for bytes of events that are admitted and not settled.
    pub memory_budget_bytes: usize,
    /// When a writer stops gathering units and commits.
    pub limits: BatchLimits,
    /// What is measured.
    pub histograms: Arc<Histograms>,
    /// Cancelled when the replayers must stop.
    pub draining: CancellationToken,
}

/// Takes batches from the handlers and passes them to the writers.
#[derive(Debug)]
pub struct Pipeline {
    lanes: Vec<ServerLane>,
    counts: Arc<[Arc<ShardCounts>]>,
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    /// A second budget for batches that must be committed: half of the first. Such
    /// batches wait while Postgres is away, and must not block those that can be spooled.
    committed_budget: Arc<Semaphore>,
    committed_budget_bytes: usize,
    suspects: Arc<Suspects>,
    histograms: Arc<Histograms>,
}

/// The memory budget is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory budget is full")]
pub struct Full;

impl Pipeline {
    /// Starts the writer threads. They end when the pipeline is dropped and all admitted
    /// events are settled, or when they must give up. A thread that ends cancels
    /// `writer_ended`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        config: PipelineConfig,
        writer_ended: &CancellationToken,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let budget_bytes = config.memory_budget_bytes;
        let common = CommonParts {
            servers: config.servers.len(),
            limits: config.limits,
            budget: Arc::new(Semaphore::new(budget_bytes)),
            budget_bytes,
            suspects: Arc::default(),
            draining: config.draining,
            writer_ended: writer_ended.clone(),
        };
        let mut threads = Vec::new();
        let lanes: std::io::Result<Vec<ServerLane>> = config
            .servers
            .into_iter()
            .map(|server| ServerLane::start(server, &common, &mut threads))
            .collect();
        let lanes = lanes?;
        let committed_budget_bytes = budget_bytes / COMMITTED_BUDGET_FRACTION;
        let pipeline = Self {
            counts: lanes.iter().flat_map(|lane| lane.counts.clone()).collect(),
            lanes,
            budget: common.budget,
            budget_bytes,
            committed_budget: Arc::new(Semaphore::new(committed_budget_bytes)),
            committed_budget_bytes,
            suspects: common.suspects,
            histograms: config.histograms,
        };
        Ok((pipeline, threads))
    }

    /// Admits a batch; waits while the memory budget is full. The batch is settled with
    /// at least `min_durability`.
    ///
    /// # Errors
    /// When the pipeline is shutting down.
    pub async fn admit(
        &self,
        batch: Batch,
        min_durability: Durability,
    ) -> Result<Ticket, DroppedUnsettled> {
        let begin = Instant::now();
        let committed = match min_durability {
            Durability::Spooled => None,
            Durability::Committed => {
                let weight = self.weight(&batch, self.committed_budget_bytes);
                let budget = self.committed_budget.clone();
                let permit = budget.acquire_many_owned(weight).await;
                Some(permit.map_err(|_| DroppedUnsettled)?)
            }
        };
        let weight = self.weight(&batch, self.budget_bytes);
        let permit = self.budget.clone().acquire_many_owned(weight).await;
        let share = BudgetShare {
            _budget: permit.map_err(|_| DroppedUnsettled)?,
            _committed_budget: committed,
        };
        self.histograms.phase(WritePhase::Admit, begin.elapsed());
        Ok(self.enqueue(batch, min_durability, share))
    }

    /// Like [`Self::admit`], but does not wait.
    ///
    /// # Errors
    /// When the memory budget is full.
    pub fn try_admit(&self, batch: Batch, min_durability: Durability) -> Result<Ticket, Full> {
        let committed = match min_durability {
            Durability::Spooled => None,
            Durability::Committed => {
                let weight = self.weight(&batch, self.committed_budget_bytes);
                let budget = self.committed_budget.clone();
                let permit = budget.try_acquire_many_owned(weight);
                Some(permit.map_err(|_| Full)?)
            }
        };
        let weight = self.weight(&batch, self.budget_bytes);
        let permit = self.budget.clone().try_acquire_many_owned(weight);
        let share = BudgetShare {
            _budget: permit.map_err(|_| Full)?,
            _committed_budget: committed,
        };
        Ok(self.enqueue(batch, min_durability, share))
    }

    /// The gate of each server: whether its events go to Postgres or to the spool.
    #[must_use]
    pub fn gates(&self) -> Vec<Arc<Gate>> {
        self.lanes.iter().map(|lane| lane.gate.clone()).collect()
    }

    /// What is measured.
    #[must_use]
    pub fn histograms(&self) -> Arc<Histograms> {
        self.histograms.clone()
    }

    /// The clients whose events Postgres refuses.
    #[must_use]
    pub fn suspects(&self) -> Arc<Suspects> {
        self.suspects.clone()
    }

    /// The counts of each shard, and of the replayers.
    #[must_use]
    pub fn counts(&self) -> Arc<[Arc<ShardCounts>]> {
        self.counts.clone()
    }

    /// The memory budget, for metrics.
    #[must_use]
    pub fn budget(&self) -> Arc<Semaphore> {
        self.budget.clone()
    }

    fn enqueue(&self, batch: Batch, min_durability: Durability, share: BudgetShare) -> Ticket {
        let refused = batch.refused.len() as u64;
        add(&self.counts[0].received, refused);
        add(&self.counts[0].refused, refused);
        let empty =
            |events| Unit::new(batch.client, min_durability, events).of_request(batch.request);
        let spread = by_server(batch.events, self.lanes.len());
        let units: Vec<(&ServerLane, usize, Unit)> = self
            .lanes
            .iter()
            .zip(spread)
            .flat_map(|(lane, events)| {
                let units = lane.cut(events, empty).into_iter();
                units.map(move |(shard, unit)| (lane, shard, unit))
            })
            .collect();
        let exemplar = batch.request.and_then(|ids| ids.exemplar());
        let clock = self.histograms.admitted(batch.source, exemplar);
        let (tracker, ticket) = Tracker::new(units.len(), batch.refused, share, clock);
        for (lane, shard, unit) in units {
            lane.send(shard, unit.tracked_by(tracker.clone()));
        }
        ticket
    }

    /// The weight of a batch, at most `max_bytes`: a batch heavier than the whole budget takes
    /// all of it.
    fn weight(&self, batch: &Batch, max_bytes: usize) -> u32 {
        let copies = copied_bytes(&batch.events, self.lanes.len());
        let bytes = batch.weight_bytes().saturating_add(copies);
        u32::try_from(bytes.min(max_bytes)).unwrap_or(u32::MAX)
    }
}

fn add(counter: &std::sync::atomic::AtomicU64, count: u64) {
    counter.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::own_spans::OwnSpans;
    use crate::store::{WhenAway, WriterConfig};

    fn server() -> ServerConfig {
        ServerConfig {
            writers: 2,
            writer: WriterConfig {
                database: sqlx::postgres::PgConnectOptions::new_without_pgpass(),
                instance: Uuid::nil(),
                run_timeout_ms: 1,
                commit_timeout: Duration::from_secs(1),
                when_away: WhenAway::Wait,
                render: |_| String::new(),
                give_up: CancellationToken::new(),
                histograms: Arc::default(),
                own_spans: OwnSpans::default(),
            },
            spool: None,
            span: tracing::Span::none(),
        }
    }

    #[test]
    fn a_writer_that_ends_is_noticed() {
        let config = PipelineConfig {
            memory_budget_bytes: 1 << 20,
            limits: BatchLimits {
                max_events: 1,
                max_bytes: 1,
                linger: Duration::ZERO,
            },
            histograms: Arc::default(),
            servers: vec![server(), server()],
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
