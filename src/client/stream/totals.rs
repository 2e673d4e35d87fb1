//! What became of all that was sent.

use super::ClientError;
use crate::proto::{Outcome, RefusalCode};

/// Sums over the acks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals<T> {
    /// Events that made or changed a row.
    pub committed: u64,
    /// Events that were there already; also those whose first ack was lost.
    pub duplicate: u64,
    /// Events that were refused.
    pub refused_count: u64,
    /// The first of them, at most as many as the options say.
    pub refused: Vec<Refused<T>>,
    /// Events that were in the daemon's spool when they were acknowledged, and
    /// reach Postgres later.
    pub spooled: u64,
    /// Events that [`StreamSender::offer`](super::StreamSender::offer) dropped,
    /// for there was no room; they were never sent.
    pub dropped: u64,
}

/// A refused event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<T> {
    /// The tag of its batch.
    pub tag: T,
    /// Its position in the batch, from 0.
    pub index: u32,
    /// Why, for programs.
    pub code: RefusalCode,
    /// Why, for people.
    pub reason: String,
}

/// Delivery was given up.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Undelivered<T: std::fmt::Debug> {
    /// What was settled before.
    pub settled: Totals<T>,
    /// How many events were handed over and not acknowledged. They may or may
    /// not have been stored; sending them again is harmless.
    pub unsettled_events: u64,
    /// Why.
    pub source: ClientError,
}

impl<T: std::fmt::Debug> Undelivered<T> {
    /// The task that would know is gone.
    pub(in crate::client) fn unknown() -> Box<Self> {
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
    /// Adds an ack, but for the refused events it lists.
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
