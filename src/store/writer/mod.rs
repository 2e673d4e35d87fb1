//! A shard's writer: the ladder from the fast append down to the dead letter.
//!
//! Append → on a unique violation merge → on bad data halve, down to the one
//! event that Postgres refuses → dead letter. When the database is away the
//! writer waits for it, or says so where somebody else can keep the events.

mod connection;
mod dead_letters;
mod ledger;
mod nagle;
mod outage;
mod session;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::connection::connect;
use self::dead_letters::DeadLetter;
pub use self::dead_letters::{drop_dead_letters, mark_replayed};
use self::ledger::Ledger;
pub use self::ledger::{CountsReading, ShardCounts, SpoolIdentity};
pub use self::nagle::turn_off as turn_off_nagle;
use self::outage::Outage;
pub use self::outage::WhenAway;
use self::session::Database;
use super::batch::{BatchError, RunTotalsCache, write_batch};
use super::error::{FailureClass, classify_failure, reason};
use super::outcome::{EventOutcome, OutcomeCounts};
use super::plan::Rung;
use crate::event::{Event, Refusal, RefusalCode};

/// What a writer needs to know.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// Where Postgres is.
    pub database: PgConnectOptions,
    /// This run of the daemon, for the ledger.
    pub instance: Uuid,
    /// After this much silence a run counts as abandoned.
    pub run_timeout_ms: i64,
    /// A transaction that takes longer is given up.
    pub commit_timeout: Duration,
    /// What a writer does when the database is away.
    pub when_away: WhenAway,
    /// The JSON form of an event, for dead letters.
    pub render: fn(&Event) -> String,
    /// Ends the waiting for a database that is away.
    pub give_up: CancellationToken,
}

/// Not all of a batch was written.
#[derive(Debug, thiserror::Error)]
#[error("the database is away")]
pub struct PartlyWritten {
    /// The outcomes of the batch's events; `None` of those that are not written.
    pub outcomes: Vec<Option<EventOutcome>>,
    /// The database's error; `None` if the writer was told to give up.
    pub source: Option<sqlx::Error>,
}

/// Why a part of a batch is not written.
enum Unwritten {
    /// Postgres refuses some event of it.
    Refused(sqlx::Error),
    /// It names one id too often; never so of a single event.
    Repetitive,
    /// The database is away.
    Away(sqlx::Error),
}

/// Writes the batches of one shard over one connection.
#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    shard: i32,
    counts: Arc<ShardCounts>,
    database: Database,
    /// The last batch met rows that were there already: a client that resends
    /// one batch resends its neighbours too, so the next is merged at once.
    merging: bool,
    /// Policies bind this role, so that it may never append.
    guarded: bool,
    /// What the ledger says; `None` while that is not known: a transaction that
    /// failed may have committed all the same.
    written: Option<CountsReading>,
    /// The spool it replays, if it is a replayer.
    spool: Option<SpoolIdentity>,
    taken_over: bool,
}

impl Writer {
    /// A writer that connects when it first writes.
    #[must_use]
    pub fn new(config: WriterConfig, shard: i32, counts: Arc<ShardCounts>) -> Self {
        Self {
            database: Database::new(config.database.clone(), config.commit_timeout),
            config,
            shard,
            counts,
            merging: false,
            guarded: false,
            written: Some(CountsReading::default()),
            spool: None,
            taken_over: false,
        }
    }

    /// A writer of what was spooled. It has been acknowledged, so what is refused
    /// is kept as a dead letter. Its counts are those of the spool.
    #[must_use]
    pub fn replayer(
        config: WriterConfig,
        shard: i32,
        counts: Arc<ShardCounts>,
        spool: SpoolIdentity,
    ) -> Self {
        Self {
            spool: Some(spool),
            ..Self::new(config, shard, counts)
        }
    }

    /// Writes a batch and returns the outcome of each of its events, once that is
    /// durable.
    ///
    /// # Errors
    /// With the outcomes of those that were written: at once, whatever it waits for,
    /// when told to give up; and when the database is away, if it is not to wait.
    pub async fn write(&mut self, events: &[&Event]) -> Result<Vec<EventOutcome>, PartlyWritten> {
        let give_up = self.config.give_up.clone();
        let mut outcomes = vec![None; events.len()];
        let source = tokio::select! {
            written = self.write_all(events, &mut outcomes) => written.err(),
            // What it stands amid has taken the connection with it.
            () = give_up.cancelled() => None,
        };
        if source.is_none() && outcomes.iter().all(Option::is_some) {
            // Each event was in exactly one part that ended, or is buried.
            return Ok(outcomes.into_iter().flatten().collect());
        }
        Err(PartlyWritten { outcomes, source })
    }

    /// Transactions that take longer are given up, from now on.
    pub fn set_deadline(&mut self, deadline: Duration) {
        let deadline = self.longest(deadline);
        self.database.set_deadline(deadline);
    }

    /// That much time, or as much as the configuration gives at most.
    #[must_use]
    pub fn longest(&self, wanted: Duration) -> Duration {
        wanted.min(self.config.commit_timeout)
    }

    /// Whether it was told to give up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.config.give_up.is_cancelled()
    }

    /// Fills in the outcomes of events as they are settled.
    async fn write_all(
        &mut self,
        events: &[&Event],
        outcomes: &mut [Option<EventOutcome>],
    ) -> Result<(), sqlx::Error> {
        let mut rung = if self.merging || self.guarded {
            Rung::Merge
        } else {
            Rung::Append
        };
        let mut refused = Vec::new();
        // Parts of the batch that are still to be written, the first one last.
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
                    refused.push(DeadLetter::new(start, events[start], &error, payload));
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
        self.merging = rung == Rung::Merge && events.iter().zip(outcomes.iter()).any(repeated);
        self.write_dead_letters(&refused, outcomes).await
    }

    /// Writes the counts if they have changed since the last transaction.
    ///
    /// # Errors
    /// When the database is away; the next transaction carries them.
    pub async fn write_counts(&mut self) -> Result<(), sqlx::Error> {
        if Some(self.counts.read()) == self.written && (self.spool.is_none() || self.taken_over) {
            return Ok(());
        }
        self.probe().await
    }

    /// Writes the counts in any case, which proves that the database can commit.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn probe(&mut self) -> Result<(), sqlx::Error> {
        let reading = self.counts.read();
        let ledger = self.ledger();
        self.transaction(async |tx, _| Ok(ledger.write(tx, reading).await?))
            .await
            .map_err(BatchError::into_sql)?;
        self.wrote(reading);
        Ok(())
    }

    /// One transaction; until it has committed, what the ledger says is not known.
    async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection, &mut RunTotalsCache) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        self.written = None;
        self.database.transaction(work).await
    }

    fn ledger(&self) -> Ledger {
        Ledger {
            instance: self.config.instance,
            shard: self.shard,
            take_over: self.spool.filter(|_| !self.taken_over),
        }
    }

    /// A transaction with these counts has committed.
    fn wrote(&mut self, reading: CountsReading) {
        self.written = Some(reading);
        self.taken_over = true;
    }

    /// One transaction, tried until the database takes or refuses it.
    async fn write_part(
        &mut self,
        events: &[&Event],
        rung: &mut Rung,
    ) -> Result<Vec<EventOutcome>, Unwritten> {
        let mut outage = Outage::default();
        loop {
            let error = match self.attempt(events, *rung).await {
                Ok(outcomes) => {
                    outage.over();
                    return Ok(outcomes);
                }
                Err(BatchError::Raced) => continue,
                Err(BatchError::Repetitive) => return Err(Unwritten::Repetitive),
                Err(BatchError::Sql(error)) => error,
            };
            match classify_failure(&error) {
                FailureClass::Exists if *rung == Rung::Append => *rung = Rung::Merge,
                FailureClass::Guarded if *rung == Rung::Append => {
                    self.guarded = true;
                    *rung = Rung::Merge;
                }
                FailureClass::Exists | FailureClass::BadData => {
                    return Err(Unwritten::Refused(error));
                }
                FailureClass::Conflict => {}
                FailureClass::Unavailable | FailureClass::Guarded => outage
                    .wait(error, self.config.when_away)
                    .await
                    .map_err(Unwritten::Away)?,
            }
        }
    }

    /// One batch, its counts with it.
    async fn attempt(
        &mut self,
        events: &[&Event],
        rung: Rung,
    ) -> Result<Vec<EventOutcome>, BatchError> {
        let run_timeout_ms = self.config.run_timeout_ms;
        let (ledger, counts) = (self.ledger(), self.counts.clone());
        let render = self.spool.map(|_| self.config.render);
        let (written, tally, reading) = self
            .transaction(async |tx, known| {
                let mut batch = write_batch(tx, events, rung, run_timeout_ms, known).await?;
                if let Some(render) = render {
                    keep_refused(tx, events, &mut batch.outcomes, render).await?;
                }
                let tally = OutcomeCounts::of(&batch.outcomes);
                let reading = counts.read_with(tally);
                ledger.write(tx, reading).await?;
                Ok((batch, tally, reading))
            })
            .await?;
        self.database.insert(written.sums);
        self.counts.add(tally);
        self.wrote(reading);
        Ok(written.outcomes)
    }

    /// Keeps the events that Postgres refuses, in one transaction if it takes
    /// them so.
    async fn write_dead_letters(
        &mut self,
        refused: &[DeadLetter],
        outcomes: &mut [Option<EventOutcome>],
    ) -> Result<(), sqlx::Error> {
        let mut parts = vec![refused];
        let mut outage = Outage::default();
        while let Some(letters) = parts.pop().filter(|letters| !letters.is_empty()) {
            let Err(error) = self.keep(letters).await else {
                outage.over();
                tracing::info!(events = letters.len(), "events kept as dead letters");
                for letter in letters {
                    let refusal = Refusal::new(RefusalCode::DeadLettered, letter.reason.as_str());
                    outcomes[letter.index] = Some(EventOutcome::DeadLettered(refusal));
                }
                continue;
            };
            match classify_failure(&error) {
                FailureClass::Unavailable | FailureClass::Guarded => {
                    outage.wait(error, self.config.when_away).await?;
                    parts.push(letters);
                }
                FailureClass::Conflict => parts.push(letters),
                FailureClass::Exists | FailureClass::BadData => match letters {
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

    /// An event that can neither be stored nor kept; its client is told so.
    fn report_unstorable(&self, letter: &DeadLetter, error: &sqlx::Error) -> EventOutcome {
        tracing::error!(error = %reason(error), "an event that Postgres refuses cannot be kept either");
        let told = format!("{}; it could not be kept as a dead letter", letter.reason);
        let outcome = EventOutcome::Refused(Refusal::new(RefusalCode::DeadLettered, told));
        self.counts.add(OutcomeCounts::of([&outcome]));
        outcome
    }

    async fn keep(&mut self, letters: &[DeadLetter]) -> Result<(), sqlx::Error> {
        let ledger = self.ledger();
        let tally = OutcomeCounts {
            dead_lettered: letters.len() as u64,
            ..OutcomeCounts::default()
        };
        let reading = self.counts.read_with(tally);
        self.transaction(async |tx, _| {
            dead_letters::keep(tx, letters).await?;
            Ok(ledger.write(tx, reading).await?)
        })
        .await
        .map_err(BatchError::into_sql)?;
        self.counts.add(tally);
        self.wrote(reading);
        Ok(())
    }
}

/// Refused events of a client that has had its ack are kept as dead letters.
async fn keep_refused(
    conn: &mut PgConnection,
    events: &[&Event],
    outcomes: &mut [EventOutcome],
    render: fn(&Event) -> String,
) -> Result<(), sqlx::Error> {
    let mut letters = Vec::new();
    for (index, (event, outcome)) in events.iter().zip(outcomes).enumerate() {
        if let EventOutcome::Refused(refusal) = outcome {
            letters.push(DeadLetter::refused(index, event, refusal, render(event)));
            *outcome = EventOutcome::DeadLettered(refusal.clone());
        }
    }
    if letters.is_empty() {
        return Ok(());
    }
    dead_letters::keep(conn, &letters).await
}
