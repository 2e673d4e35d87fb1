//! Stores the events of a spool that Postgres refuses as dead letters, many in a transaction.
//!
//! A transaction for each of them would have to be flushed to disk each time: a spool of a
//! thousand refused events would hold up those behind it for minutes.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::isolation::Seen;
use super::window::{ReplayBatch, Window};
use super::{PROBE_INTERVAL, Replayer, to_json};
use crate::store::{RefusedPart, is_lock_timeout, is_outage, needs_person, reason};

/// The most dead letters of one transaction. If so many events wait for it, the replayer
/// goes no further.
const MAX_LETTERS: usize = 500;
/// The most bytes of the events of one transaction, unless one event is larger.
const MAX_BYTES: usize = 4 << 20;
/// How long a refused event waits for others.
const GATHER: Duration = Duration::from_millis(250);
/// How often storing an event as a dead letter may fail before its file is quarantined.
const MAX_FAILURES: u32 = 5;

/// When refused events are stored, and how many at a time.
#[derive(Debug)]
pub(super) struct LetterPace {
    most: usize,
    /// How often the same events could not be stored.
    failures: u32,
    /// When the next refused events are stored, at the latest.
    at: Instant,
}

impl Default for LetterPace {
    fn default() -> Self {
        Self {
            most: MAX_LETTERS,
            failures: 0,
            at: Instant::now(),
        }
    }
}

impl LetterPace {
    /// The refused events to store now. `goes_on`: more events can be tried meanwhile.
    pub fn due(&self, window: &Window, goes_on: bool) -> Option<ReplayBatch> {
        let waits = Instant::now() < self.at;
        let may_gather = goes_on && !self.is_full(window);
        if window.refused() == 0 || (waits && (may_gather || self.failures > 0)) {
            return None;
        }
        let count = window.refused_front(self.most, MAX_BYTES);
        Some(ReplayBatch::Refused(count))
    }

    /// Whether as many refused events wait as one transaction takes.
    pub fn is_full(&self, window: &Window) -> bool {
        window.refused() >= MAX_LETTERS
    }

    /// An event was refused, and so many waited already.
    fn refused(&mut self, waiting: usize) {
        if waiting == 0 {
            self.at = Instant::now() + GATHER;
        }
    }

    fn stored(&mut self) {
        *self = Self {
            most: (self.most * 2).min(MAX_LETTERS),
            ..Self::default()
        };
    }

    /// So many events could not be stored. Returns whether to try them again: fewer at a
    /// time, a single one only after an outage, and always after a lock was in the way or while a person is needed.
    fn failed(&mut self, events: usize, error: &sqlx::Error) -> bool {
        let locked = is_lock_timeout(error) || needs_person(error);
        if !locked {
            self.most = (events / 2).max(1);
        }
        if self.failures == 0 || (events == 1 && !locked) {
            self.failures += 1;
        }
        self.at = Instant::now() + PROBE_INTERVAL * (1 << self.failures);
        events > 1 || locked || (is_outage(error) && self.failures < MAX_FAILURES)
    }
}

impl Replayer {
    /// The event of a batch cannot be written. It waits to become a dead letter.
    pub(super) fn refuse(&mut self, batch: ReplayBatch, part: RefusedPart) {
        if let ReplayBatch::Front(count) = batch {
            // The event behind it is tried alone, too: refused ones often come together.
            self.pace.failed(count, Seen::now(self.committed()));
        }
        self.letters.refused(self.window.refused());
        self.window.refuse(batch, part);
    }

    /// Stores refused events as dead letters.
    pub(super) fn write_dead_letters(&mut self, runtime: &Runtime, batch: ReplayBatch) {
        let progress = to_json(&self.window.progress_after(batch));
        let ReplayBatch::Refused(count) = batch else {
            return;
        };
        let refusals = self.window.refusals(count);
        let writer = &mut self.parts.writer;
        writer.set_deadline(self.parts.config.after);
        match runtime.block_on(writer.replay_dead_letters(&refusals, &progress)) {
            Ok(()) => {
                self.letters.stored();
                self.settle(batch);
            }
            Err(error) => self.letters_failed(runtime, batch, count, &error),
        }
        self.ack_settled();
    }

    fn letters_failed(
        &mut self,
        runtime: &Runtime,
        batch: ReplayBatch,
        count: usize,
        error: &sqlx::Error,
    ) {
        if is_outage(error)
            && let Err(error) = self.probe(runtime)
        {
            self.parts.gate.close(&error);
            return;
        }
        if needs_person(error) {
            self.parts.gate.tell_refusal(error);
        }
        if self.letters.failed(count, error) {
            return;
        }
        // ERROR: only the spool has the event, and its file needs a person.
        tracing::error!(
            error = reason(error),
            "an event of the spool cannot be stored, not even as a dead letter; its file will be quarantined"
        );
        self.parts.writer.count_refused(1);
        self.letters.stored();
        self.window.keep(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_cannot_be_stored_are_halved_and_the_last_is_given_up() {
        let away = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        let mut pace = LetterPace::default();
        let mut events = MAX_LETTERS;
        while events > 1 {
            assert!(pace.failed(events, &away));
            assert_eq!(pace.most, events / 2);
            events = pace.most;
        }
        for _ in 2..MAX_FAILURES {
            assert!(pace.failed(1, &away));
        }
        assert!(!pace.failed(1, &away));
    }
}
