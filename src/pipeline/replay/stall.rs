//! Notices when the spool does not get emptier although the database is there.

use std::time::{Duration, Instant};

use super::ReplayerParts;

/// After so long without progress the spool counts as stalled, and a warning repeats.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// When events last left the spool.
pub(super) struct StallWatch {
    moved_at: Instant,
    told_at: Option<Instant>,
}

impl StallWatch {
    pub fn new() -> Self {
        Self {
            moved_at: Instant::now(),
            told_at: None,
        }
    }

    /// Events have left the spool.
    pub fn moved(&mut self) {
        self.moved_at = Instant::now();
    }

    /// Tells the gate, and once a minute the log, whether the spool is stalled.
    pub fn check(&mut self, parts: &ReplayerParts) {
        if parts.draining.is_cancelled() {
            return;
        }
        let events = parts.config.spool.usage().events;
        if events == 0 || parts.gate.is_closed() || parts.gate.is_other_database() {
            self.moved();
        }
        let stalled = self.moved_at.elapsed() >= STALLED_AFTER;
        parts.gate.set_stalled(stalled);
        if !stalled {
            self.told_at = None;
        } else if self
            .told_at
            .is_none_or(|told| told.elapsed() >= STALLED_AFTER)
        {
            self.told_at = Some(Instant::now());
            // WARN: nothing is lost, but the spool fills up.
            tracing::warn!(
                events,
                seconds = self.moved_at.elapsed().as_secs(),
                "the spool is stalled: the database is there and commits none of its events"
            );
        }
    }
}
