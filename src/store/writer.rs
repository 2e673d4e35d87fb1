//! A shard's writer: the ladder from the fast append down to the dead letter.
//!
//! Append → on a unique violation merge → on bad data halve, down to the one
//! event that Postgres refuses → dead letter. When the database is away the
//! writer waits for it; nothing is answered until then.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::{BatchError, write_batch};
use super::connection::connect;
use super::dead_letters::{self, DeadLetter};
use super::error::{Verdict, judge, reason};
use super::ledger::{Reading, ShardCounts, write_ledger};
use super::outage::Outage;
use super::outcome::{Fate, Tally};
use super::plan::Rung;
use crate::event::{Event, Refusal, RefusalCode};

/// After a unique violation this many batches are merged at once: a client that
/// resends one batch resends its neighbours too.
const MERGED_BATCHES_AFTER_VIOLATION: u32 = 16;

/// What a writer needs to know.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// Where Postgres is.
    pub database: PgConnectOptions,
    /// This run of the daemon, for the ledger.
    pub instance: Uuid,
    /// After this much silence a run counts as abandoned.
    pub run_timeout_ms: i64,
    /// A transaction that takes longer is given up and tried again.
    pub commit_timeout: Duration,
    /// The JSON form of an event, for dead letters.
    pub render: fn(&Event) -> String,
    /// Ends the waiting for a database that is away.
    pub give_up: CancellationToken,
}

/// The daemon is going down and the database did not come back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gave up waiting for the database")]
pub struct GaveUp;

/// Why a part of a batch is halved.
enum Unwritten {
    /// Postgres refuses some event of it.
    Refused(sqlx::Error),
    /// It names one id too often; never so of a single event.
    Repetitive,
}

/// Writes the batches of one shard over one connection.
#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    shard: i32,
    counts: Arc<ShardCounts>,
    conn: Option<PgConnection>,
    merge_next: u32,
    written: Reading,
}

impl Writer {
    /// A writer that connects when it first writes.
    #[must_use]
    pub fn new(config: WriterConfig, shard: i32, counts: Arc<ShardCounts>) -> Self {
        let written = Reading::default();
        Self {
            config,
            shard,
            counts,
            conn: None,
            merge_next: 0,
            written,
        }
    }

    /// Writes a batch and returns the fate of each of its events, once that is
    /// durable. Waits as long as the database is away.
    ///
    /// # Errors
    /// When told to give up, at once, whatever it waits for.
    pub async fn write(&mut self, events: &[&Event]) -> Result<Vec<Fate>, GaveUp> {
        let give_up = self.config.give_up.clone();
        tokio::select! {
            fates = self.write_all(events) => Ok(fates),
            // What it stands amid has taken the connection with it.
            () = give_up.cancelled() => Err(GaveUp),
        }
    }

    /// Whether it was told to give up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.config.give_up.is_cancelled()
    }

    async fn write_all(&mut self, events: &[&Event]) -> Vec<Fate> {
        let mut rung = Rung::Append;
        if self.merge_next > 0 {
            self.merge_next -= 1;
            rung = Rung::Merge;
        }
        let mut fates = vec![None; events.len()];
        let mut refused = Vec::new();
        // Parts of the batch that are still to be written, the first one last.
        let mut parts = vec![(0, events.len())];
        while let Some((start, end)) = parts.pop() {
            match self.write_part(&events[start..end], &mut rung).await {
                Ok(written) => {
                    for (slot, fate) in fates[start..end].iter_mut().zip(written) {
                        *slot = Some(fate);
                    }
                }
                Err(Unwritten::Refused(error)) if end - start == 1 => {
                    let payload = (self.config.render)(events[start]);
                    refused.push(DeadLetter::new(start, &error, payload));
                }
                Err(_) => {
                    let middle = start.midpoint(end);
                    parts.push((middle, end));
                    parts.push((start, middle));
                }
            }
        }
        self.bury(&refused, &mut fates).await;
        // Each event was in exactly one part that ended, or is buried.
        fates.into_iter().flatten().collect()
    }

    /// Writes the counts if they have changed since the last transaction.
    ///
    /// # Errors
    /// When the database is away; the next transaction carries them.
    pub async fn write_counts(&mut self) -> Result<(), sqlx::Error> {
        let reading = self.counts.read();
        if reading == self.written {
            return Ok(());
        }
        let (instance, shard) = (self.config.instance, self.shard);
        self.transaction(async |tx| Ok(write_ledger(tx, instance, shard, reading).await?))
            .await
            .map_err(BatchError::into_sql)?;
        self.written = reading;
        Ok(())
    }

    /// One transaction, tried until the database takes or refuses it.
    async fn write_part(
        &mut self,
        events: &[&Event],
        rung: &mut Rung,
    ) -> Result<Vec<Fate>, Unwritten> {
        let mut outage = Outage::default();
        loop {
            let error = match self.attempt(events, *rung).await {
                Ok(fates) => {
                    outage.over();
                    return Ok(fates);
                }
                Err(BatchError::Raced) => continue,
                Err(BatchError::Repetitive) => return Err(Unwritten::Repetitive),
                Err(BatchError::Sql(error)) => error,
            };
            match judge(&error) {
                Verdict::Exists if *rung == Rung::Append => {
                    *rung = Rung::Merge;
                    self.merge_next = MERGED_BATCHES_AFTER_VIOLATION;
                }
                Verdict::Exists | Verdict::BadData => return Err(Unwritten::Refused(error)),
                Verdict::Conflict => {}
                Verdict::Unavailable => outage.wait(&error).await,
            }
        }
    }

    /// One batch, its counts with it.
    async fn attempt(&mut self, events: &[&Event], rung: Rung) -> Result<Vec<Fate>, BatchError> {
        let run_timeout_ms = self.config.run_timeout_ms;
        let (instance, shard, counts) = (self.config.instance, self.shard, self.counts.clone());
        let (fates, tally, reading) = self
            .transaction(async |tx| {
                let fates = write_batch(tx, events, rung, run_timeout_ms).await?;
                let tally = Tally::of(&fates);
                let reading = counts.read().with(tally);
                write_ledger(tx, instance, shard, reading).await?;
                Ok((fates, tally, reading))
            })
            .await?;
        self.counts.add(tally);
        self.written = reading;
        Ok(fates)
    }

    /// Keeps the events that Postgres refuses, in one transaction if it takes
    /// them so.
    async fn bury(&mut self, refused: &[DeadLetter], fates: &mut [Option<Fate>]) {
        let mut parts = vec![refused];
        let mut outage = Outage::default();
        while let Some(letters) = parts.pop().filter(|letters| !letters.is_empty()) {
            let Err(error) = self.keep(letters).await else {
                outage.over();
                tracing::info!(events = letters.len(), "events kept as dead letters");
                for letter in letters {
                    let refusal = Refusal::new(RefusalCode::DeadLettered, letter.reason.as_str());
                    fates[letter.index] = Some(Fate::DeadLettered(refusal));
                }
                continue;
            };
            match judge(&error) {
                Verdict::Unavailable => {
                    outage.wait(&error).await;
                    parts.push(letters);
                }
                Verdict::Conflict => parts.push(letters),
                Verdict::Exists | Verdict::BadData => match letters {
                    [letter] => fates[letter.index] = Some(self.lose(letter, &error)),
                    letters => {
                        let (first, second) = letters.split_at(letters.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
    }

    /// An event that can neither be stored nor kept; its client is told so.
    fn lose(&self, letter: &DeadLetter, error: &sqlx::Error) -> Fate {
        tracing::error!(error = %reason(error), "an event that Postgres refuses cannot be kept either");
        let told = format!("{}; it could not be kept as a dead letter", letter.reason);
        let fate = Fate::Refused(Refusal::new(RefusalCode::DeadLettered, told));
        self.counts.add(Tally::of([&fate]));
        fate
    }

    async fn keep(&mut self, letters: &[DeadLetter]) -> Result<(), sqlx::Error> {
        let (instance, shard) = (self.config.instance, self.shard);
        let tally = Tally {
            dead_lettered: letters.len() as u64,
            ..Tally::default()
        };
        let reading = self.counts.read().with(tally);
        self.transaction(async |tx| {
            dead_letters::keep(tx, letters).await?;
            Ok(write_ledger(tx, instance, shard, reading).await?)
        })
        .await
        .map_err(BatchError::into_sql)?;
        self.counts.add(tally);
        self.written = reading;
        Ok(())
    }

    /// One transaction under the deadline. Unless it is merely refused, its
    /// connection is not used again.
    async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        let limit = self.config.commit_timeout;
        let database = self.config.database.clone();
        let mut conn = self.conn.take();
        let transaction = async {
            let mut open = match conn.take() {
                Some(open) => open,
                None => connect(&database).await?,
            };
            let result = async {
                let mut tx = open.begin().await?;
                let value = work(&mut tx).await?;
                tx.commit().await?;
                Ok(value)
            }
            .await;
            Ok::<_, BatchError>((open, result))
        };
        let (open, result) = timeout(limit, transaction).await.map_err(|_| {
            let late = io::Error::new(ErrorKind::TimedOut, "the database did not answer in time");
            BatchError::Sql(sqlx::Error::Io(late))
        })??;
        match &result {
            Err(BatchError::Sql(error)) if judge(error) == Verdict::Unavailable => {}
            _ => self.conn = Some(open),
        }
        result
    }
}
