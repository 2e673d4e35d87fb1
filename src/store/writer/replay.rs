//! Writes the events of a spool. Each transaction also writes how far the spool is replayed.
//!
//! A batch is written whole or not at all: splitting it is up to the replayer, which knows
//! the places of its events.

use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::ledger::SpoolRecord;
use super::{Failure, RefusedPart, RunTotalsCache, ShardCounts, Writer, WriterConfig};
use crate::event::Event;
use crate::store::batch::BatchError;
use crate::store::outcome::OutcomeCounts;
use crate::store::session::identify_database;

/// Why a batch of spooled events was not written.
#[derive(Debug)]
pub enum ReplayError {
    /// Postgres refuses some event, or the batch is too large for one transaction.
    Refused(RefusedPart),
    /// The database did not commit: it is away, or the batch is too much for it.
    Failed(sqlx::Error),
    /// The writer was told to give up.
    GaveUp,
}

impl ReplayError {
    /// The reason in one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Failed(_) => "away",
            Self::GaveUp => "gave_up",
        }
    }
}

impl From<Failure> for ReplayError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(part) => Self::Refused(part),
            Failure::Conflict(error) | Failure::Unavailable(error) => Self::Failed(error),
        }
    }
}

impl Writer {
    /// Creates a writer for the events of a spool. They were acked, so it stores refused
    /// ones as dead letters. Its counts are those of the spool.
    #[must_use]
    pub fn replayer(
        config: WriterConfig,
        shard: i32,
        counts: Arc<ShardCounts>,
        spool: Uuid,
    ) -> Self {
        let record = SpoolRecord {
            id: spool,
            take_over: None,
            progress: None,
        };
        Self {
            spool: Some(record),
            ..Self::new(config, shard, counts)
        }
    }

    /// What tells the database from every other one: `CLUSTER/DATABASE`. The cluster is `?`
    /// where this role may not ask for it.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn identify_database(&mut self) -> Result<String, sqlx::Error> {
        let ask =
            async |tx: &mut PgConnection, _: &mut RunTotalsCache| Ok(identify_database(tx).await?);
        self.transaction(ask).await.map_err(BatchError::into_sql)
    }

    /// Where the database is, without its port and its user.
    #[must_use]
    pub fn database_target(&self) -> String {
        let options = &self.config.database;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let database = options.get_database().unwrap_or(options.get_username());
        format!("{host}/{database}")
    }

    /// Reads how far earlier daemons have replayed the spool. It waits for a transaction of
    /// an earlier daemon that is still committing.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn read_progress(&mut self) -> Result<Option<Arc<str>>, sqlx::Error> {
        let (spool, instance) = (self.spool.as_ref().map(|s| s.id), self.config.instance);
        let query = sqlx::query_scalar(include_str!("../sql/read_spool_progress.sql"));
        let query = query.bind(spool).bind(instance);
        let progress: Option<String> = self
            .transaction(async |tx, _| Ok(query.fetch_optional(tx).await?))
            .await
            .map_err(BatchError::into_sql)?;
        let progress: Option<Arc<str>> = progress.map(Arc::from);
        if let Some(record) = &mut self.spool {
            record.progress.clone_from(&progress);
        }
        Ok(progress)
    }

    /// Takes over the counts and the progress of earlier daemons with the next write of the
    /// ledger. `found` is the number of events that they left in the spool.
    pub fn take_over(&mut self, found: u64) {
        if let Some(record) = &mut self.spool {
            record.take_over = Some(found);
        }
    }

    /// Writes spooled events and the progress in one transaction. Refused events become
    /// dead letters.
    ///
    /// # Errors
    /// If the database did not commit all of it. Then it may still have committed, unknown
    /// to the writer.
    pub async fn replay(&mut self, events: &[&Event], progress: &str) -> Result<(), ReplayError> {
        let give_up = self.config.give_up.clone();
        let before = self.set_progress(Some(progress.into()));
        let result = tokio::select! {
            written = self.write_whole(events) => written.map(drop).map_err(ReplayError::from),
            // Dropping an open transaction closes its connection.
            () = give_up.cancelled() => Err(ReplayError::GaveUp),
        };
        if result.is_err() {
            self.set_progress(before);
        }
        result
    }

    /// Stores spooled events that cannot be written as dead letters, and the progress, in one
    /// transaction.
    ///
    /// # Errors
    /// If the database did not commit that.
    pub async fn replay_dead_letters(
        &mut self,
        refused: &[(&Event, &RefusedPart)],
        progress: &str,
    ) -> Result<(), sqlx::Error> {
        let letters = refused.iter().enumerate();
        let letters: Vec<_> = letters
            .map(|(index, (event, part))| self.dead_letter(index, event, part))
            .collect();
        let before = self.set_progress(Some(progress.into()));
        let result = self.insert_dead_letters(&letters).await;
        match &result {
            Ok(()) => tracing::info!(
                events = letters.len(),
                "spooled events are stored as dead letters"
            ),
            Err(_) => {
                self.set_progress(before);
            }
        }
        result
    }

    /// Counts spooled events that can be stored nowhere as refused. Their file is kept.
    pub fn count_refused(&self, events: u64) {
        self.counts.add(OutcomeCounts {
            refused: events,
            ..OutcomeCounts::default()
        });
    }

    fn set_progress(&mut self, progress: Option<Arc<str>>) -> Option<Arc<str>> {
        let record = self.spool.as_mut()?;
        std::mem::replace(&mut record.progress, progress)
    }
}
