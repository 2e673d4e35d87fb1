//! A shard's writer and its write ladder.
//!
//! 1. Append the batch with COPY.
//! 2. If a row exists already, merge the batch.
//! 3. If Postgres refuses the data, say so: the caller splits the batch, down to single
//!    events.
//! 4. Store each event that Postgres refuses alone as a dead letter.
//!
//! While the database is away, the writer waits for it or returns the error, as
//! [`WhenAway`] says.

mod dead_letters;
mod ledger;
mod outage;
mod refused;
mod replay;
mod session;
mod told;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::dead_letters::{NewDeadLetter, drop_dead_letters, mark_replayed};
pub use self::ledger::{CountsReading, ShardCounts};
use self::ledger::{Ledger, SpoolRecord};
pub use self::outage::WhenAway;
use self::outage::{ConflictHistory, Outage};
pub use self::refused::{RefusedPart, Unwritten};
pub use self::replay::ReplayError;
use self::session::LazySession;
use self::told::{committed, rolled_back};
use super::batch::{
    BatchError, EarlySessions, GoneIds, RunTotalsCache, write_by_month, write_by_slot,
    write_unless_gone,
};
use super::error::{FailureClass, classify_failure, is_lock_timeout};
use super::layout::TraceLayout;
use super::outcome::{EventOutcome, OutcomeCounts};
use super::plan::Rung;
use crate::event::Event;
use crate::histograms::{Histograms, PhaseTimes, WritePhase};
use crate::own_spans::{OwnSpans, WorkPart};

/// A row of the ledger that is older may be that of a daemon that has ended.
const LEDGER_AGE: Duration = Duration::from_secs(86_400);

/// The configuration of a writer.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// How to connect to Postgres.
    pub database: PgConnectOptions,
    /// The id of this daemon process, for the ledger.
    pub instance: Uuid,
    /// A run without events for this time is abandoned.
    pub run_timeout_ms: i64,
    /// A transaction that takes longer is cancelled.
    pub commit_timeout: Duration,
    /// What a writer does when the database is away.
    pub when_away: WhenAway,
    /// Renders an event as JSON, for dead letters.
    pub render: fn(&Event) -> String,
    /// Cancels all waiting for the database.
    pub give_up: CancellationToken,
    /// What transactions take.
    pub histograms: Arc<Histograms>,
    /// Tells of transactions.
    pub own_spans: OwnSpans,
}

/// Why some events were not written.
enum Failure {
    /// Postgres refuses some of them.
    Refused(RefusedPart),
    /// Other writers were in the way at every attempt.
    Conflict(sqlx::Error),
    /// The database is away.
    Unavailable(sqlx::Error),
}

/// Writes the batches of one shard over one connection.
#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    shard: i32,
    counts: Arc<ShardCounts>,
    session: LazySession,
    /// Whether the next batch starts with a merge. Set if the last batch had rows that
    /// existed already: a client that resends one batch resends the next ones too.
    merge_next: bool,
    /// Whether COPY is forbidden to this role by row-level security.
    copy_forbidden: bool,
    /// How the database keeps rows. `None`: to be asked, because a transaction failed.
    layout: Option<TraceLayout>,
    conflicts: ConflictHistory,
    /// The counts in the ledger; `None` if unknown, because a failed transaction may
    /// have committed.
    in_ledger: Option<CountsReading>,
    /// When the ledger was last written.
    ledger_at: Instant,
    /// The spool that this writer replays, if it is a replayer.
    spool: Option<SpoolRecord>,
    /// Transactions that were not told yet. Empty while that is switched off.
    transactions: Vec<WorkPart>,
}

impl Writer {
    /// Creates a writer. It connects with its first transaction.
    #[must_use]
    pub fn new(config: WriterConfig, shard: i32, counts: Arc<ShardCounts>) -> Self {
        Self {
            session: LazySession::new(config.database.clone(), config.commit_timeout),
            config,
            shard,
            counts,
            merge_next: false,
            copy_forbidden: false,
            layout: None,
            conflicts: ConflictHistory::default(),
            in_ledger: Some(CountsReading::default()),
            ledger_at: Instant::now(),
            spool: None,
            transactions: Vec::new(),
        }
    }

    /// Writes events in one transaction and returns the outcome of each. It retries until
    /// the database commits or refuses them.
    ///
    /// # Errors
    /// If Postgres refuses some of the events; if the writer is told to give up, at once;
    /// and if the database is away and the writer must not wait.
    pub async fn write(&mut self, events: &[&Event]) -> Result<Vec<EventOutcome>, Unwritten> {
        let give_up = self.config.give_up.clone();
        tokio::select! {
            written = self.write_or_wait(events) => written,
            // Dropping an open transaction closes its connection.
            () = give_up.cancelled() => Err(Unwritten::Away(None)),
        }
    }

    /// A dead letter of an event that Postgres refused alone; `index` is its position in
    /// its batch.
    #[must_use]
    pub fn dead_letter(&self, index: usize, event: &Event, part: &RefusedPart) -> NewDeadLetter {
        NewDeadLetter::new(index, event, part, (self.config.render)(event))
    }

    /// Sets the deadline of the following transactions, up to the configured timeout.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.session.set_deadline(self.cap_deadline(deadline));
    }

    /// Limits a deadline to the configured commit timeout.
    #[must_use]
    pub fn cap_deadline(&self, deadline: Duration) -> Duration {
        deadline.min(self.config.commit_timeout)
    }

    /// How many slots the database has, as far as the last transaction told; 0: none.
    #[must_use]
    pub fn slots(&self) -> usize {
        match self.layout {
            Some(TraceLayout::InSlots(slots)) => slots.get().into(),
            _ => 0,
        }
    }

    /// Whether the writer was told to give up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.config.give_up.is_cancelled()
    }

    /// Writes the counts to the ledger if they have changed since the last transaction, and once
    /// a day.
    ///
    /// # Errors
    /// If the database is away. The next transaction writes the counts.
    pub async fn write_counts(&mut self) -> Result<(), sqlx::Error> {
        let spool = self.spool.as_ref();
        let taken_over = spool.is_none_or(|spool| spool.take_over.is_none());
        let is_fresh = self.ledger_at.elapsed() < LEDGER_AGE;
        if Some(self.counts.read()) == self.in_ledger && taken_over && is_fresh {
            return Ok(());
        }
        self.probe().await
    }

    /// Writes the counts to the ledger, which proves that the database can commit.
    ///
    /// # Errors
    /// If the database cannot commit.
    pub async fn probe(&mut self) -> Result<(), sqlx::Error> {
        let reading = self.counts.read();
        let ledger = self.ledger();
        self.transaction(async |tx, _| Ok(ledger.write(tx, reading).await?))
            .await
            .map_err(BatchError::into_sql)?;
        self.ledger_written(reading);
        Ok(())
    }

    /// Runs one transaction. Until it has committed, the counts in the ledger are unknown.
    async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection, &mut RunTotalsCache) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        self.in_ledger = None;
        self.session.transaction(work).await
    }

    fn ledger(&self) -> Ledger {
        Ledger {
            instance: self.config.instance,
            shard: self.shard,
            spool: self.spool.clone(),
        }
    }

    /// Records that a transaction with these counts has committed.
    fn ledger_written(&mut self, reading: CountsReading) {
        self.in_ledger = Some(reading);
        self.ledger_at = Instant::now();
        if let Some(spool) = &mut self.spool {
            spool.take_over = None;
        }
    }

    async fn write_or_wait(&mut self, events: &[&Event]) -> Result<Vec<EventOutcome>, Unwritten> {
        let mut outage = Outage::default();
        loop {
            let error = match self.write_whole(events).await {
                Ok(outcomes) => {
                    outage.end();
                    return Ok(outcomes);
                }
                Err(Failure::Refused(part)) => return Err(Unwritten::Refused(part)),
                Err(Failure::Conflict(error)) => {
                    return Err(Unwritten::Refused(RefusedPart::conflict(&error)));
                }
                Err(Failure::Unavailable(error)) => error,
            };
            outage
                .wait(error, self.config.when_away)
                .await
                .map_err(|error| Unwritten::Away(Some(error)))?;
        }
    }

    /// Writes events in one transaction, on the first rung that takes them. After conflicts
    /// it tries again, a few times.
    async fn write_whole(&mut self, events: &[&Event]) -> Result<Vec<EventOutcome>, Failure> {
        let mut rung = if self.merge_next || self.copy_forbidden {
            Rung::Merge
        } else {
            Rung::Append
        };
        let mut retries = self.conflicts.attempts(events.len());
        let mut gone = GoneIds::default();
        loop {
            let (error, event) = match self.attempt(events, &gone, rung).await {
                Ok(outcomes) => {
                    self.conflicts.succeeded(&retries);
                    self.merge_next = rung == Rung::Merge && has_repeated(events, &outcomes);
                    return Ok(outcomes);
                }
                Err(BatchError::Gone(more)) if gone.add(&more) => continue,
                Err(BatchError::MissingRow) if retries.wait().await => continue,
                Err(
                    error @ (BatchError::MissingRow | BatchError::NeedsSplit | BatchError::Gone(_)),
                ) => {
                    self.conflicts.failed(events.len());
                    return Err(Failure::Refused(RefusedPart::without_error(&error)));
                }
                Err(BatchError::Sql(error)) => (error, None),
                Err(BatchError::RefusedRow { source, event }) => (source, Some(event)),
            };
            match classify_failure(&error) {
                FailureClass::RowExists if rung == Rung::Append => rung = Rung::Merge,
                FailureClass::CopyForbidden if rung == Rung::Append => {
                    self.copy_forbidden = true;
                    rung = Rung::Merge;
                }
                FailureClass::RowExists | FailureClass::BadData => {
                    return Err(Failure::Refused(RefusedPart::new(&error, event)));
                }
                FailureClass::Conflict if retries.wait().await => {}
                FailureClass::Conflict => {
                    self.conflicts.failed(events.len());
                    return Err(Failure::Conflict(error));
                }
                FailureClass::Unavailable
                | FailureClass::NeedsPerson
                | FailureClass::CopyForbidden => {
                    return Err(Failure::Unavailable(error));
                }
            }
        }
    }

    /// Writes events and their counts in one transaction, and notes how that went.
    async fn attempt(
        &mut self,
        events: &[&Event],
        gone: &GoneIds,
        rung: Rung,
    ) -> Result<Vec<EventOutcome>, BatchError> {
        let begin = Instant::now();
        match self.commit(events, gone, rung).await {
            Ok((outcomes, times, written)) => {
                self.note(|| committed(rung, begin, times, written));
                Ok(outcomes)
            }
            Err(error) => {
                self.note(|| rolled_back(rung, begin, &error));
                Err(error)
            }
        }
    }

    /// Makes the sessions that events name, before the batch. This only saves others from waiting: if
    /// the database refuses it, or somebody holds a session, the batch itself tells.
    async fn make_sessions(&mut self, events: &[&Event]) -> Result<(), BatchError> {
        let Some(sessions) = EarlySessions::of(events) else {
            return Ok(());
        };
        let make = async |tx: &mut PgConnection, _: &mut _| sessions.make(tx).await;
        match self.session.transaction(make).await {
            Err(BatchError::Sql(error))
                if classify_failure(&error) == FailureClass::Unavailable
                    && !is_lock_timeout(&error) =>
            {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// Writes events and their counts in one transaction. Also returns what its phases took,
    /// and when the last one ended.
    async fn commit(
        &mut self,
        events: &[&Event],
        gone: &GoneIds,
        rung: Rung,
    ) -> Result<(Vec<EventOutcome>, PhaseTimes, Instant), BatchError> {
        let run_timeout_ms = self.config.run_timeout_ms;
        let (ledger, shard_counts) = (self.ledger(), self.counts.clone());
        let render = self.spool.is_some().then_some(self.config.render);
        let known = self.layout.take();
        if let Some(TraceLayout::InSlots(_)) = known {
            self.make_sessions(events).await?;
        }
        let (written, counts, reading, ended, layout) = self
            .transaction(async |tx, cache| {
                let layout = match known {
                    Some(layout) => layout,
                    None => TraceLayout::find(tx).await?,
                };
                let mut batch = match layout {
                    TraceLayout::Plain => {
                        write_unless_gone(tx, events, gone, rung, run_timeout_ms, cache).await?
                    }
                    TraceLayout::ByMonth => {
                        write_by_month(tx, events, gone, rung, run_timeout_ms, cache).await?
                    }
                    TraceLayout::InSlots(_) => {
                        write_by_slot(tx, layout, events, gone, rung, run_timeout_ms, cache).await?
                    }
                };
                if let Some(render) = render {
                    dead_letter_refused(tx, events, &mut batch.outcomes, render).await?;
                }
                let counts = OutcomeCounts::of(&batch.outcomes);
                let reading = shard_counts.read_with(counts);
                let ended = Instant::now();
                ledger.write(tx, reading).await?;
                Ok((batch, counts, reading, ended, layout))
            })
            .await?;
        self.layout = Some(layout);
        let histograms = &self.config.histograms;
        histograms.phases(written.times);
        histograms.phase(WritePhase::Commit, ended.elapsed());
        self.session.cache_run_totals(written.run_totals);
        self.counts.add(counts);
        self.counts.add_contents(written.contents);
        self.ledger_written(reading);
        Ok((written.outcomes, written.times, ended))
    }
}

/// Whether a merged batch has events that were stored before.
fn has_repeated(events: &[&Event], outcomes: &[EventOutcome]) -> bool {
    let mut pairs = events.iter().zip(outcomes);
    pairs.any(|(event, outcome)| event.is_surely_new() && *outcome == EventOutcome::Duplicate)
}

/// Stores refused events as dead letters if their client has had its ack already.
async fn dead_letter_refused(
    conn: &mut PgConnection,
    events: &[&Event],
    outcomes: &mut [EventOutcome],
    render: fn(&Event) -> String,
) -> Result<(), sqlx::Error> {
    let mut letters = Vec::new();
    for (index, (event, outcome)) in events.iter().zip(outcomes).enumerate() {
        if let EventOutcome::Refused(refusal) = outcome {
            let payload = render(event);
            letters.push(NewDeadLetter::refused(index, event, refusal, payload));
            *outcome = EventOutcome::DeadLettered(refusal.clone());
        }
    }
    if letters.is_empty() {
        return Ok(());
    }
    dead_letters::insert(conn, &letters).await
}
