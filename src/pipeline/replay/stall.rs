//! Notices when the spool does not get emptier although the database is there.

use std::time::{Duration, Instant};

use super::Gate;

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

    /// Tells the gate, and once a minute the log, whether the spool, which holds so many
    /// events, is stalled.
    pub fn check(&mut self, events: u64, gate: &Gate) {
        if events == 0 || gate.is_away() || gate.is_other_database() {
            self.moved();
        }
        let stalled = self.moved_at.elapsed() >= STALLED_AFTER;
        gate.set_stalled(stalled);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_stalls_after_a_minute_without_progress() {
        let gate = Gate::default();
        let mut watch = StallWatch::new();
        watch.check(1, &gate);
        assert!(!gate.is_stalled());
        let minute_ago = Instant::now().checked_sub(STALLED_AFTER).unwrap();
        watch.moved_at = minute_ago;
        watch.check(1, &gate);
        assert!(gate.is_stalled() && watch.told_at.is_some());
        assert_eq!(gate.spool_problem(), Some("the spool is stalled"));
        watch.moved();
        watch.check(1, &gate);
        assert!(!gate.is_stalled() && watch.told_at.is_none());
        watch.moved_at = minute_ago;
        watch.check(0, &gate);
        assert!(!gate.is_stalled(), "an empty spool has nothing to do");
        watch.moved_at = minute_ago;
        gate.close(&sqlx::Error::PoolClosed);
        watch.check(1, &gate);
        assert!(!gate.is_stalled(), "the database is away");
    }
}
