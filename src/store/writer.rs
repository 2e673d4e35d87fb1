//! A shard's writer: the ladder from the fast append down to the dead letter.
//!
//! Append → on a unique violation merge → on bad data halve, down to the one
//! event that Postgres refuses → dead letter. When the database is away the
//! writer waits for it; nothing is answered until then.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::{BatchError, write_batch};
use super::connection::connect;
use super::error::{Verdict, judge, reason, sqlstate};
use super::ledger::{Reading, ShardCounts, write_ledger};
use super::outcome::{Fate, Tally};
use super::plan::Rung;
use crate::event::{Event, Refusal, RefusalCode};

/// After a unique violation this many batches are merged at once: a client that
/// resends one batch resends its neighbours too.
const MERGED_BATCHES_AFTER_VIOLATION: u32 = 16;
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Namespace of the ids of dead letters, which are derived from their payload.
const DEAD_LETTERS: Uuid = Uuid::from_u128(0x0192_f0c1_7d6c_7e7c_a5a5_6465_6164_6c74);

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
            () = give_up.cancelled() => {
                // It stands amid a transaction.
                self.conn = None;
                Err(GaveUp)
            }
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
        // Parts of the batch that are still to be written, the first one last.
        let mut parts = vec![(0, events.len())];
        while let Some((start, end)) = parts.pop() {
            match self.write_part(&events[start..end], &mut rung).await {
                Ok(written) => {
                    for (slot, fate) in fates[start..end].iter_mut().zip(written) {
                        *slot = Some(fate);
                    }
                }
                Err(error) if end - start == 1 => {
                    fates[start] = Some(self.bury(events[start], &error).await);
                }
                Err(_) => {
                    let middle = start.midpoint(end);
                    parts.push((middle, end));
                    parts.push((start, middle));
                }
            }
        }
        // Each event was in exactly one part that ended.
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
        let limit = self.config.commit_timeout;
        let conn = self.connection().await?;
        let write = write_ledger(conn, instance, shard, reading);
        let result = timeout(limit, write)
            .await
            .unwrap_or(Err(sqlx::Error::WorkerCrashed));
        if result.is_err() {
            self.conn = None;
        } else {
            self.written = reading;
        }
        result
    }

    /// One transaction, tried until the database takes or refuses it.
    async fn write_part(
        &mut self,
        events: &[&Event],
        rung: &mut Rung,
    ) -> Result<Vec<Fate>, sqlx::Error> {
        let mut outage = Outage::default();
        loop {
            let error = match self.attempt(events, *rung).await {
                Ok(fates) => {
                    outage.over();
                    return Ok(fates);
                }
                Err(BatchError::Raced) => continue,
                Err(BatchError::Sql(error)) => error,
            };
            match judge(&error) {
                Verdict::Exists if *rung == Rung::Append => {
                    *rung = Rung::Merge;
                    self.merge_next = MERGED_BATCHES_AFTER_VIOLATION;
                }
                Verdict::Exists | Verdict::BadData => return Err(error),
                Verdict::Conflict => {}
                Verdict::Unavailable => outage.wait(self, &error).await,
            }
        }
    }

    /// One transaction under the deadline. On any error the connection is
    /// either rolled back or dropped.
    async fn attempt(&mut self, events: &[&Event], rung: Rung) -> Result<Vec<Fate>, BatchError> {
        let run_timeout_ms = self.config.run_timeout_ms;
        let (instance, shard, counts) = (self.config.instance, self.shard, self.counts.clone());
        let limit = self.config.commit_timeout;
        let conn = self.connection().await?;
        let transaction = async {
            let mut tx = conn.begin().await?;
            let fates = write_batch(&mut tx, events, rung, run_timeout_ms).await?;
            let tally = Tally::of(&fates);
            let reading = counts.read().with(tally);
            write_ledger(&mut tx, instance, shard, reading).await?;
            tx.commit().await?;
            counts.add(tally);
            Ok((fates, reading))
        };
        match timeout(limit, transaction).await {
            Ok(Ok((fates, reading))) => {
                self.written = reading;
                Ok(fates)
            }
            Ok(Err(error)) => {
                if matches!(&error, BatchError::Sql(e) if judge(e) == Verdict::Unavailable) {
                    self.conn = None;
                }
                Err(error)
            }
            Err(_) => {
                self.conn = None;
                let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "commit timed out");
                Err(BatchError::Sql(sqlx::Error::Io(late)))
            }
        }
    }

    /// Keeps an event that Postgres refuses.
    async fn bury(&mut self, event: &Event, error: &sqlx::Error) -> Fate {
        let refusal = Refusal::new(RefusalCode::DeadLettered, reason(error));
        let code = sqlstate(error);
        let payload = (self.config.render)(event);
        let tally = Tally {
            dead_lettered: 1,
            ..Tally::default()
        };
        let mut outage = Outage::default();
        loop {
            match self.keep(&payload, &code, &refusal.reason, tally).await {
                Ok(()) => {
                    self.counts.add(tally);
                    tracing::info!(reason = refusal.reason, "event kept as a dead letter");
                    return Fate::DeadLettered(refusal);
                }
                Err(error) if judge(&error) == Verdict::Unavailable => {
                    outage.wait(self, &error).await;
                }
                Err(error) if judge(&error) == Verdict::Conflict => {}
                Err(unkept) => {
                    tracing::error!(error = %unkept, "an event that Postgres refuses cannot be kept either");
                    let refused = Fate::Refused(refusal);
                    self.counts.add(Tally::of([&refused]));
                    return refused;
                }
            }
        }
    }

    async fn keep(
        &mut self,
        payload: &str,
        code: &str,
        reason: &str,
        tally: Tally,
    ) -> Result<(), sqlx::Error> {
        let (instance, shard, counts) = (self.config.instance, self.shard, self.counts.clone());
        let conn = self.connection().await?;
        let mut tx = conn.begin().await?;
        sqlx::query(include_str!("sql/insert_dead_letter.sql"))
            .bind(Uuid::new_v5(&DEAD_LETTERS, payload.as_bytes()))
            .bind("native")
            .bind(code)
            .bind(reason)
            .bind(payload)
            .execute(&mut *tx)
            .await?;
        write_ledger(&mut tx, instance, shard, counts.read().with(tally)).await?;
        tx.commit().await
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => timeout(self.config.commit_timeout, connect(&self.config.database))
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??,
        };
        Ok(self.conn.insert(conn))
    }
}

/// A time in which the database is away.
#[derive(Default)]
struct Outage {
    backoff: Option<Duration>,
}

impl Outage {
    async fn wait(&mut self, writer: &mut Writer, error: &sqlx::Error) {
        writer.conn = None;
        let backoff = match self.backoff {
            None => {
                // WARN: nothing is lost, the batch waits.
                tracing::warn!(shard = writer.shard, error = %reason(error), "the database is away; batches wait");
                FIRST_BACKOFF
            }
            Some(last) => (last * 2).min(MAX_BACKOFF),
        };
        self.backoff = Some(backoff);
        let jitter = rand::rng().random_range(0.5..1.0);
        sleep(backoff.mul_f64(jitter)).await;
    }

    fn over(&self) {
        if self.backoff.is_some() {
            tracing::info!("the database is back");
        }
    }
}
