//! One server of the store: its writers, its spool and its gate. A server that is away does not stop the others while its spool
//! takes events. Events that wait for it in memory take from the budget of all.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::batch::MIN_UNIT_BYTES;
use super::held::HeldUnits;
use super::isolation::Isolation;
use super::parked::ParkedUnits;
use super::replay::{Replayer, ReplayerParts};
use super::route::RoutingTable;
use super::shard::{BatchLimits, Shard};
use super::spooler::{SpoolConfig, Spooler};
use super::unit::Unit;
use super::{Gate, Suspects};
use crate::event::Event;
use crate::store::{ShardCounts, WhenAway, Writer, WriterConfig};

/// The settings of what is written to one server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The number of shards. Each has its own thread and connection.
    pub writers: usize,
    /// The settings of each writer.
    pub writer: WriterConfig,
    /// The spool for events while the server is away. Without it, they wait.
    pub spool: Option<SpoolConfig>,
    /// Around what the threads log.
    pub span: Span,
}

/// What all servers share.
#[derive(Clone, Debug)]
pub(super) struct CommonParts {
    /// How many servers there are.
    pub servers: usize,
    pub limits: BatchLimits,
    pub budget: Arc<Semaphore>,
    pub budget_bytes: usize,
    pub suspects: Arc<Suspects>,
    /// Cancelled when the replayers must stop.
    pub draining: CancellationToken,
    /// Cancelled by a thread that ends.
    pub writer_ended: CancellationToken,
}

/// Takes the events of one server to its writers.
#[derive(Debug)]
pub(super) struct ServerLane {
    shards: Vec<Sender<Box<Unit>>>,
    routes: Arc<RoutingTable>,
    pub gate: Arc<Gate>,
    /// The counts of each shard, and of the replayer.
    pub counts: Vec<Arc<ShardCounts>>,
}

impl ServerLane {
    /// Starts the threads. They end when the lane is dropped and all of its events are settled, or when
    /// they must give up.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        config: ServerConfig,
        common: &CommonParts,
        threads: &mut Vec<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        let ServerConfig {
            writers,
            mut writer,
            spool,
            span,
        } = config;
        let writers = writers.max(1);
        let capacity = common.budget_bytes / MIN_UNIT_BYTES + 1;
        let mut counts: Vec<Arc<ShardCounts>> = (0..writers).map(|_| Arc::default()).collect();
        let gate = Arc::<Gate>::default();
        let histograms = writer.histograms.clone();
        let own_spans = writer.own_spans.clone();
        if spool.is_some() {
            writer.when_away = WhenAway::ReturnError;
        }
        let routes = Arc::new(RoutingTable::new(writers));
        // Disconnected when the last shard has ended.
        let (running, shards_running) = crossbeam_channel::bounded(1);
        let mut shards = Vec::with_capacity(writers);
        let ended = &common.writer_ended;
        for (number, counts) in (0_i32..).zip(&counts) {
            let (sender, receiver) = match common.servers {
                1 => crossbeam_channel::bounded(capacity),
                // Each would take the memory for all that the budget admits.
                _ => crossbeam_channel::unbounded(),
            };
            let spooler = spool.as_ref().map(|spool| Spooler {
                config: spool.clone(),
                gate: gate.clone(),
                spooled: counts.spooled.clone(),
                histograms: histograms.clone(),
                _running: running.clone(),
            });
            let shard = Shard {
                queue: receiver,
                writer: Writer::new(writer.clone(), number, counts.clone()),
                routes: routes.clone(),
                limits: common.limits,
                histograms: histograms.clone(),
                own_spans: own_spans.clone(),
                timeout: spool
                    .as_ref()
                    .map_or(writer.commit_timeout, |spool| spool.after),
                spooler,
                held: HeldUnits::default(),
                parked: ParkedUnits::default(),
                isolation: Isolation::new(common.suspects.clone()),
                retry_at: Instant::now(),
            };
            let name = format!("writer-{number}");
            threads.push(spawn(name, &span, ended, |runtime| shard.run(runtime))?);
            shards.push(sender);
        }
        drop(running);
        if let Some(spool) = spool {
            let found = spool.spool.found_events();
            let replayed = Arc::new(ShardCounts::replayer(&counts, found));
            let number = i32::try_from(writers).unwrap_or(i32::MAX);
            let id = spool.spool.id();
            let replayer = Replayer::new(ReplayerParts {
                writer: Writer::replayer(writer, number, replayed.clone(), id),
                config: spool,
                limits: common.limits,
                gate: gate.clone(),
                counts: replayed.clone(),
                shard_counts: counts.clone(),
                shards: shards_running,
                histograms,
                own_spans,
                draining: common.draining.clone(),
                budget: common.budget.clone(),
                budget_bytes: common.budget_bytes,
            });
            counts.push(replayed);
            threads.push(spawn("replayer".into(), &span, ended, |runtime| {
                replayer.run(runtime);
            })?);
        }
        Ok(Self {
            shards,
            routes,
            gate,
            counts,
        })
    }

    /// Cuts events into units, and returns those that are not empty, each with its shard. `empty` makes
    /// a unit for so many events.
    pub fn cut(
        &self,
        events: Vec<(u32, Event)>,
        empty: impl Fn(usize) -> Unit,
    ) -> Vec<(usize, Unit)> {
        let cut = self.routes.cut();
        self.routes
            .learn_sessions(cut, events.iter().map(|(_, event)| event));
        let part_of = |(_, event): &(u32, Event)| self.routes.part_of(cut, event);
        let parts: Vec<usize> = events.iter().map(part_of).collect();
        let mut counts = vec![0; cut.parts];
        parts.iter().for_each(|&part| counts[part] += 1);
        let unit = |(part, count)| empty(count).of_part(part);
        let mut units: Vec<Unit> = counts.into_iter().enumerate().map(unit).collect();
        for ((index, event), part) in events.into_iter().zip(parts) {
            units[part].push(index, event);
        }
        let filled = units.into_iter().filter(|unit| !unit.is_empty());
        filled
            .map(|unit| (cut.shard_of(unit.part()), unit))
            .collect()
    }

    /// Gives a unit to a shard.
    pub fn send(&self, shard: usize, unit: Unit) {
        self.counts[shard]
            .received
            .fetch_add(unit.len() as u64, Relaxed);
        // The queue has room for all that the budget admits. If the writer is gone, dropping the
        // unit fails the ticket.
        let _ = self.shards[shard].try_send(Box::new(unit));
    }
}

/// Starts a thread with its own runtime. Cancels `ended` when the thread ends, also by a
/// panic.
fn spawn(
    name: String,
    span: &Span,
    ended: &CancellationToken,
    run: impl FnOnce(&Runtime) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let ended = ended.clone().drop_guard();
    let span = span.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        let _ended = ended;
        span.in_scope(|| run(&runtime));
    })
}
