//! The outcomes of everything that was sent.

use super::ClientError;
use crate::proto::{Outcome, RefusalCode};

/// Sums over all acks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals<T> {
    /// Events that created or changed a row.
    pub committed: u64,
    /// Events that were stored already, also those whose first ack was lost.
    pub duplicate: u64,
    /// Events that were refused.
    pub refused_count: u64,
    /// The first refused events, at most as many as the options say.
    pub refused: Vec<Refused<T>>,
    /// Events that were acknowledged from the daemon's spool. They reach Postgres later.
    pub spooled: u64,
    /// Events that [`StreamSender::offer`](super::StreamSender::offer) dropped because the
    /// window was full. They were never sent.
    pub dropped: u64,
}

/// A refused event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<T> {
    /// The tag of its batch.
    pub tag: T,
    /// Its position in the batch, from 0.
    pub index: u32,
    /// The reason, for programs.
    pub code: RefusalCode,
    /// The reason, for people.
    pub reason: String,
}

/// The retry policy gave up.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Undelivered<T: std::fmt::Debug> {
    /// What was settled before.
    pub settled: Totals<T>,
    /// Events that were handed over and not acknowledged. They may or may not be stored;
    /// sending them again is harmless.
    pub unsettled_events: u64,
    /// The cause.
    pub source: ClientError,
}

impl<T: std::fmt::Debug> Undelivered<T> {
    /// The error of a task that panicked, so that the cause is lost.
    pub(crate) fn unknown() -> Box<Self> {
        Box::new(Self {
            settled: Totals::default(),
            unsettled_events: 0,
            source: ClientError::Ended,
        })
    }
}

impl<T> Default for Totals<T> {
    fn default() -> Self {
        Self {
            committed: 0,
            duplicate: 0,
            refused_count: 0,
            refused: Vec::new(),
            spooled: 0,
            dropped: 0,
        }
    }
}

impl<T> Totals<T> {
    /// Adds an ack, without the refused events it lists.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.committed += outcome.committed;
        self.duplicate += outcome.duplicate;
        self.spooled += outcome.spooled;
    }

    /// Adds a refused event.
    pub(super) fn add_refused(&mut self, keep: usize, refused: impl FnOnce() -> Refused<T>) {
        self.refused_count += 1;
        if self.refused.len() < keep {
            self.refused.push(refused());
        }
    }
}
