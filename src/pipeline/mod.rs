//! The path from the ingest handlers to the store: admission by bytes, one queue and one
//! writer thread per shard, and the outcome back to the handler.
//!
//! SQL and protocols do not belong here. Everything is bounded: an admitted batch holds
//! its weight in the memory budget until it is settled.

mod batch;
mod gate;
mod held;
mod isolation;
mod parked;
mod part_size;
mod replay;
mod route;
mod shard;
mod spooler;
mod suspects;
mod ticket;
mod unit;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use batch::MIN_UNIT_BYTES;
pub use batch::{Batch, BatchOutcome, Durability};
pub use gate::Gate;
use held::HeldUnits;
use isolation::Isolation;
use parked::ParkedUnits;
use replay::{Replayer, ReplayerParts};
use route::RoutingTable;
pub use shard::BatchLimits;
use shard::Shard;
pub use spooler::SpoolConfig;
use spooler::Spooler;
pub use suspects::Suspects;
use ticket::{BudgetShare, Tracker};
pub use ticket::{DroppedUnsettled, Ticket};
use unit::Unit;

use crate::event::Event;
use crate::histograms::{Histograms, WritePhase};
use crate::store::{ShardCounts, WhenAway, Writer, WriterConfig};

/// Batches that must be committed take at most this fraction of the memory budget: half.
/// The other half stays free for batches that can be spooled.
const COMMITTED_BUDGET_FRACTION: usize = 2;

/// The settings of the pipeline.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// The number of shards. Each has its own thread and connection.
    pub writers: usize,
    /// The budget for bytes of events that are admitted and not settled.
    pub memory_budget_bytes: usize,
    /// When a writer stops gathering units and commits.
    pub limits: BatchLimits,
    /// The settings of each writer.
    pub writer: WriterConfig,
    /// The spool for events while Postgres is away. Without it, they wait.
    pub spool: Option<SpoolConfig>,
    /// Cancelled when the replayer must stop.
    pub draining: CancellationToken,
}

/// Takes batches from the handlers and passes them to the writers.
#[derive(Debug)]
pub struct Pipeline {
    shards: Vec<Sender<Box<Unit>>>,
    routes: Arc<RoutingTable>,
    counts: Arc<[Arc<ShardCounts>]>,
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    /// A second budget for batches that must be committed: half of the first. Such
    /// batches wait while Postgres is away, and must not block those that can be spooled.
    committed_budget: Arc<Semaphore>,
    committed_budget_bytes: usize,
    gate: Arc<Gate>,
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
        let writers = config.writers.max(1);
        let capacity = config.memory_budget_bytes / MIN_UNIT_BYTES + 1;
        let mut counts: Vec<Arc<ShardCounts>> = (0..writers).map(|_| Arc::default()).collect();
        let budget_bytes = config.memory_budget_bytes;
        let budget = Arc::new(Semaphore::new(budget_bytes));
        let gate = Arc::<Gate>::default();
        let suspects = Arc::<Suspects>::default();
        let mut writer_config = config.writer;
        let histograms = writer_config.histograms.clone();
        let own_spans = writer_config.own_spans.clone();
        if config.spool.is_some() {
            writer_config.when_away = WhenAway::ReturnError;
        }
        let routes = Arc::new(RoutingTable::new(writers));
        // Disconnected when the last shard has ended.
        let (running, shards_running) = crossbeam_channel::bounded(1);
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for (number, counts) in (0_i32..).zip(&counts) {
            let (sender, receiver) = crossbeam_channel::bounded(capacity);
            let spooler = config.spool.as_ref().map(|spool| Spooler {
                config: spool.clone(),
                gate: gate.clone(),
                spooled: counts.spooled.clone(),
                histograms: histograms.clone(),
                _running: running.clone(),
            });
            let shard = Shard {
                queue: receiver,
                writer: Writer::new(writer_config.clone(), number, counts.clone()),
                routes: routes.clone(),
                limits: config.limits,
                histograms: histograms.clone(),
                own_spans: own_spans.clone(),
                timeout: config
                    .spool
                    .as_ref()
                    .map_or(writer_config.commit_timeout, |spool| spool.after),
                spooler,
                held: HeldUnits::default(),
                parked: ParkedUnits::default(),
                isolation: Isolation::new(suspects.clone()),
                retry_at: Instant::now(),
            };
            let name = format!("writer-{number}");
            threads.push(spawn(name, writer_ended, |runtime| shard.run(runtime))?);
            shards.push(sender);
        }
        drop(running);
        if let Some(spool) = config.spool {
            let found = spool.spool.found_events();
            let replayed = Arc::new(ShardCounts::replayer(&counts, found));
            let number = i32::try_from(writers).unwrap_or(i32::MAX);
            let id = spool.spool.id();
            let replayer = Replayer::new(ReplayerParts {
                writer: Writer::replayer(writer_config, number, replayed.clone(), id),
                config: spool,
                limits: config.limits,
                gate: gate.clone(),
                counts: replayed.clone(),
                shard_counts: counts.clone(),
                shards: shards_running,
                histograms: histograms.clone(),
                own_spans,
                draining: config.draining,
                budget: budget.clone(),
                budget_bytes,
            });
            counts.push(replayed);
            threads.push(spawn("replayer".into(), writer_ended, |runtime| {
                replayer.run(runtime);
            })?);
        }
        let committed_budget_bytes = budget_bytes / COMMITTED_BUDGET_FRACTION;
        let pipeline = Self {
            routes,
            shards,
            counts: counts.into(),
            budget,
            budget_bytes,
            committed_budget: Arc::new(Semaphore::new(committed_budget_bytes)),
            committed_budget_bytes,
            gate,
            suspects,
            histograms,
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
                let weight = weight(&batch, self.committed_budget_bytes);
                let budget = self.committed_budget.clone();
                let permit = budget.acquire_many_owned(weight).await;
                Some(permit.map_err(|_| DroppedUnsettled)?)
            }
        };
        let weight = weight(&batch, self.budget_bytes);
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
                let weight = weight(&batch, self.committed_budget_bytes);
                let budget = self.committed_budget.clone();
                let permit = budget.try_acquire_many_owned(weight);
                Some(permit.map_err(|_| Full)?)
            }
        };
        let weight = weight(&batch, self.budget_bytes);
        let permit = self.budget.clone().try_acquire_many_owned(weight);
        let share = BudgetShare {
            _budget: permit.map_err(|_| Full)?,
            _committed_budget: committed,
        };
        Ok(self.enqueue(batch, min_durability, share))
    }

    /// The gate: whether events go to Postgres or to the spool.
    #[must_use]
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
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

    /// The counts of each shard, and of the replayer.
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
        let cut = self.routes.cut();
        self.routes
            .learn_sessions(cut, batch.events.iter().map(|(_, event)| event));
        let part_of = |(_, event): &(u32, Event)| self.routes.part_of(cut, event);
        let parts: Vec<usize> = batch.events.iter().map(part_of).collect();
        let mut counts = vec![0; cut.parts];
        parts.iter().for_each(|&part| counts[part] += 1);
        let unit = |(part, count)| {
            Unit::new(batch.client, min_durability, count)
                .of_request(batch.request)
                .of_part(part)
        };
        let mut units: Vec<Unit> = counts.into_iter().enumerate().map(unit).collect();
        for ((index, event), part) in batch.events.into_iter().zip(parts) {
            units[part].push(index, event);
        }
        let parts = units.iter().filter(|unit| !unit.is_empty()).count();
        let exemplar = batch.request.and_then(|ids| ids.exemplar());
        let clock = self.histograms.admitted(batch.source, exemplar);
        let (tracker, ticket) = Tracker::new(parts, batch.refused, share, clock);
        for unit in units.into_iter().filter(|unit| !unit.is_empty()) {
            let shard = cut.shard_of(unit.part());
            add(&self.counts[shard].received, unit.len() as u64);
            // The queue has capacity for all that the budget admits. If the writer is
            // gone, dropping the unit fails the ticket.
            let _ = self.shards[shard].try_send(Box::new(unit.tracked_by(tracker.clone())));
        }
        ticket
    }
}

/// The weight of a batch, at most `max_bytes`: a batch heavier than the whole budget takes
/// all of it.
fn weight(batch: &Batch, max_bytes: usize) -> u32 {
    u32::try_from(batch.weight_bytes().min(max_bytes)).unwrap_or(u32::MAX)
}

/// Starts a thread with its own runtime. Cancels `ended` when the thread ends, also by a
/// panic.
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
    use crate::own_spans::OwnSpans;

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
                histograms: Arc::default(),
                own_spans: OwnSpans::default(),
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
