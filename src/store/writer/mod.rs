//! A shard's writer and its write ladder.
//!
//! 1. Append the batch with COPY.
//! 2. If a row exists already, merge the batch.
//! 3. If Postgres refuses the data, split the batch in halves, down to single events.
//! 4. Store each event that Postgres refuses as a dead letter.
//!
//! While the database is away, the writer waits for it or returns the error, as
//! [`WhenAway`] says.

mod dead_letters;
mod ledger;
mod outage;
mod replay;
mod session;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::dead_letters::NewDeadLetter;
pub use self::dead_letters::{drop_dead_letters, mark_replayed};
pub use self::ledger::{CountsReading, ShardCounts};
use self::ledger::{Ledger, SpoolRecord};
use self::outage::Outage;
pub use self::outage::WhenAway;
pub use self::replay::ReplayError;
use self::session::LazySession;
use super::batch::{BatchError, RunTotalsCache, write_batch};
use super::error::{FailureClass, classify_failure, reason};
use super::outcome::{EventOutcome, OutcomeCounts};
use super::plan::Rung;
use crate::event::{Event, Refusal, RefusalCode};

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
}

/// A batch was written in part or not at all.
#[derive(Debug, thiserror::Error)]
#[error("the database is away")]
pub struct PartlyWritten {
    /// The outcomes of the batch's events; `None` for events that are not written.
    pub outcomes: Vec<Option<EventOutcome>>,
    /// The database's error; `None` if the writer was told to give up.
    pub source: Option<sqlx::Error>,
}

/// Why a part of a batch was not written.
enum Unwritten {
    /// Postgres refuses some event of the part.
    Refused(sqlx::Error),
    /// The part is too large for one transaction. A single event never is.
    NeedsSplit,
    /// The database is away.
    Away(sqlx::Error),
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
    /// The counts in the ledger; `None` if unknown, because a failed transaction may
    /// have committed.
    in_ledger: Option<CountsReading>,
    /// The spool that this writer replays, if it is a replayer.
    spool: Option<SpoolRecord>,
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
            in_ledger: Some(CountsReading::default()),
            spool: None,
        }
    }

    /// Writes a batch and returns the outcome of each event, once all are durable.
    ///
    /// # Errors
    /// If the writer is told to give up, at once; and if the database is away and the
    /// writer must not wait. The error has the outcomes of the events that were written.
    pub async fn write(&mut self, events: &[&Event]) -> Result<Vec<EventOutcome>, PartlyWritten> {
        let give_up = self.config.give_up.clone();
        let mut outcomes = vec![None; events.len()];
        let source = tokio::select! {
            written = self.write_all(events, &mut outcomes) => written.err(),
            // Dropping an open transaction closes its connection.
            () = give_up.cancelled() => None,
        };
        if source.is_none() && outcomes.iter().all(Option::is_some) {
            return Ok(outcomes.into_iter().flatten().collect());
        }
        Err(PartlyWritten { outcomes, source })
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

    /// Whether the writer was told to give up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.config.give_up.is_cancelled()
    }

    /// Writes a batch down the ladder and fills in the outcomes as events are settled.
    async fn write_all(
        &mut self,
        events: &[&Event],
        outcomes: &mut [Option<EventOutcome>],
    ) -> Result<(), sqlx::Error> {
        let mut rung = if self.merge_next || self.copy_forbidden {
            Rung::Merge
        } else {
            Rung::Append
        };
        let mut refused = Vec::new();
        // The parts still to be written. The first one is last.
        let mut parts = vec![(0, events.len())];
        while let Some((start, end)) = parts.pop() {
            match self.write_part(&events[start..end], &mut rung).await {
                Ok(written) => {
                    for (slot, outcome) in outcomes[start..end].iter_mut().zip(written) {
                        *slot = Some(outcome);
                    }
                }
                Err(Unwritten::Away(error)) => return Err(error),
                Err(Unwritten::Refused(error)) if end - start == 1 => {
                    let payload = (self.config.render)(events[start]);
                    refused.push(NewDeadLetter::new(start, events[start], &error, payload));
                }
                Err(_) => {
                    let middle = start.midpoint(end);
                    parts.push((middle, end));
                    parts.push((start, middle));
                }
            }
        }
        let repeated = |(event, outcome): (&&Event, &Option<EventOutcome>)| {
            event.is_surely_new() && *outcome == Some(EventOutcome::Duplicate)
        };
        self.merge_next = rung == Rung::Merge && events.iter().zip(outcomes.iter()).any(repeated);
        self.write_dead_letters(&refused, outcomes).await
    }

    /// Writes the counts to the ledger if they have changed since the last transaction.
    ///
    /// # Errors
    /// If the database is away. The next transaction writes the counts.
    pub async fn write_counts(&mut self) -> Result<(), sqlx::Error> {
        let spool = self.spool.as_ref();
        let taken_over = spool.is_none_or(|spool| spool.take_over.is_none());
        if Some(self.counts.read()) == self.in_ledger && taken_over {
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
        if let Some(spool) = &mut self.spool {
            spool.take_over = None;
        }
    }

    /// Writes a part of a batch in one transaction. It retries until the database commits
    /// or refuses the part.
    async fn write_part(
        &mut self,
        events: &[&Event],
        rung: &mut Rung,
    ) -> Result<Vec<EventOutcome>, Unwritten> {
        let mut outage = Outage::default();
        loop {
            let error = match self.attempt(events, *rung).await {
                Ok(outcomes) => {
                    outage.end();
                    return Ok(outcomes);
                }
                Err(BatchError::ConcurrentInsert) => continue,
                Err(BatchError::NeedsSplit) => return Err(Unwritten::NeedsSplit),
                Err(BatchError::Sql(error)) => error,
            };
            match classify_failure(&error) {
                FailureClass::RowExists if *rung == Rung::Append => *rung = Rung::Merge,
                FailureClass::CopyForbidden if *rung == Rung::Append => {
                    self.copy_forbidden = true;
                    *rung = Rung::Merge;
                }
                FailureClass::RowExists | FailureClass::BadData => {
                    return Err(Unwritten::Refused(error));
                }
                FailureClass::Conflict => {}
                FailureClass::Unavailable | FailureClass::CopyForbidden => outage
                    .wait(error, self.config.when_away)
                    .await
                    .map_err(Unwritten::Away)?,
            }
        }
    }

    /// Writes events and their counts in one transaction.
    async fn attempt(
        &mut self,
        events: &[&Event],
        rung: Rung,
    ) -> Result<Vec<EventOutcome>, BatchError> {
        let run_timeout_ms = self.config.run_timeout_ms;
        let (ledger, shard_counts) = (self.ledger(), self.counts.clone());
        let render = self.spool.is_some().then_some(self.config.render);
        let (written, counts, reading) = self
            .transaction(async |tx, cache| {
                let mut batch = write_batch(tx, events, rung, run_timeout_ms, cache).await?;
                if let Some(render) = render {
                    dead_letter_refused(tx, events, &mut batch.outcomes, render).await?;
                }
                let counts = OutcomeCounts::of(&batch.outcomes);
                let reading = shard_counts.read_with(counts);
                ledger.write(tx, reading).await?;
                Ok((batch, counts, reading))
            })
            .await?;
        self.session.cache_run_totals(written.run_totals);
        self.counts.add(counts);
        self.ledger_written(reading);
        Ok(written.outcomes)
    }

    /// Stores the events that Postgres refuses as dead letters: all in one transaction,
    /// or in several if Postgres refuses that.
    async fn write_dead_letters(
        &mut self,
        refused: &[NewDeadLetter],
        outcomes: &mut [Option<EventOutcome>],
    ) -> Result<(), sqlx::Error> {
        let mut parts = vec![refused];
        let mut outage = Outage::default();
        while let Some(letters) = parts.pop().filter(|letters| !letters.is_empty()) {
            let Err(error) = self.insert_dead_letters(letters).await else {
                outage.end();
                tracing::info!(
                    events = letters.len(),
                    "Postgres refused events; they are stored as dead letters"
                );
                for letter in letters {
                    let refusal = Refusal::new(RefusalCode::DeadLettered, letter.reason.as_str());
                    outcomes[letter.index] = Some(EventOutcome::DeadLettered(refusal));
                }
                continue;
            };
            match classify_failure(&error) {
                FailureClass::Unavailable | FailureClass::CopyForbidden => {
                    outage.wait(error, self.config.when_away).await?;
                    parts.push(letters);
                }
                FailureClass::Conflict => parts.push(letters),
                FailureClass::RowExists | FailureClass::BadData => match letters {
                    [letter] => {
                        outcomes[letter.index] = Some(self.report_unstorable(letter, &error))
                    }
                    letters => {
                        let (first, second) = letters.split_at(letters.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok(())
    }

    /// Refuses an event that cannot even be stored as a dead letter.
    fn report_unstorable(&self, letter: &NewDeadLetter, error: &sqlx::Error) -> EventOutcome {
        // ERROR: the event is not stored anywhere.
        tracing::error!(
            error = %reason(error),
            "Postgres refuses an event and cannot store it as a dead letter"
        );
        let message = format!("{}; it could not be stored as a dead letter", letter.reason);
        let outcome = EventOutcome::Refused(Refusal::new(RefusalCode::DeadLettered, message));
        self.counts.add(OutcomeCounts::of([&outcome]));
        outcome
    }

    /// Inserts dead letters and counts them, in one transaction.
    async fn insert_dead_letters(&mut self, letters: &[NewDeadLetter]) -> Result<(), sqlx::Error> {
        let ledger = self.ledger();
        let counts = OutcomeCounts {
            dead_lettered: letters.len() as u64,
            ..OutcomeCounts::default()
        };
        let reading = self.counts.read_with(counts);
        self.transaction(async |tx, _| {
            dead_letters::insert(tx, letters).await?;
            Ok(ledger.write(tx, reading).await?)
        })
        .await
        .map_err(BatchError::into_sql)?;
        self.counts.add(counts);
        self.ledger_written(reading);
        Ok(())
    }
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
