//! Opens the spool: checks that its events are for this database, and learns from the
//! database what earlier daemons have replayed of them.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::progress::Progress;
use super::{DISK_PAUSE, IDLE_INTERVAL, PROBE_INTERVAL, Replayer, ReplayerParts};
use crate::store::{is_misplaced, reason};

/// The state of the opening.
#[derive(Debug, Default)]
pub(super) struct Opening {
    done: bool,
    /// Whether the database was known at any time.
    checked: bool,
    /// Whether the progress of earlier daemons is known.
    known: bool,
    /// The events in the spool that earlier daemons have settled.
    pub settled_before: u64,
}

/// The database that a spool's events are for, as the spool keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SpoolOwner {
    /// `CLUSTER/DATABASE`.
    identity: String,
    /// `HOST/NAME`.
    target: String,
}

impl SpoolOwner {
    fn parse(text: &str) -> Option<Self> {
        let (identity, target) = text.trim_end().split_once('\n')?;
        Some(Self {
            identity: identity.to_owned(),
            target: target.to_owned(),
        })
    }

    fn text(&self) -> String {
        format!("{}\n{}\n", self.identity, self.target)
    }

    /// Whether both are one database. A cluster that is not known may be any.
    fn is_same(&self, other: &Self) -> bool {
        let parts = |owner: &Self| {
            let (cluster, database) = owner.identity.split_once('/').unwrap_or_default();
            (cluster.to_owned(), database.to_owned())
        };
        let ((cluster, database), (other_cluster, other_database)) = (parts(self), parts(other));
        let unknown = cluster == "?" || other_cluster == "?";
        database == other_database && (unknown || cluster == other_cluster)
    }

    /// For people.
    fn describe(&self) -> String {
        format!("{} ({})", self.target, self.identity)
    }
}

impl Opening {
    /// Until the database can be asked: if the spool holds events, and the daemon is now
    /// started with another database, it must not spool events of that one, too.
    pub fn new(parts: &ReplayerParts) -> Self {
        let spool = &parts.config.spool;
        let owner = spool.owner().as_deref().and_then(SpoolOwner::parse);
        let target = parts.writer.database_target();
        let suspect = owner.is_some_and(|owner| owner.target != target);
        spool.block(suspect && spool.found_events() > 0);
        Self::default()
    }

    /// Whether the spool is open.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The database may be another one than before.
    pub fn start_again(&mut self) {
        self.done = false;
    }
}

impl Replayer {
    /// Tries to open the spool, and returns how long to wait.
    ///
    /// Until then the ledger must not be written: the spool's counts begin with the events
    /// that are left in it.
    pub(super) fn open(&mut self, runtime: &Runtime) -> Duration {
        if self.parts.draining.is_cancelled() {
            return IDLE_INTERVAL;
        }
        self.parts.writer.set_deadline(self.parts.config.after);
        let identity = match runtime.block_on(self.parts.writer.identify_database()) {
            Ok(identity) => identity,
            Err(error) => return self.not_opened(&error),
        };
        let ours = match self.check_owner(identity) {
            Ok(ours) => ours,
            Err(error) => {
                // ERROR: what was acknowledged stays in the spool until a person helps.
                tracing::error!(%error, "the spool cannot be opened");
                return DISK_PAUSE;
            }
        };
        let left = if ours {
            match self.read_earlier(runtime) {
                Ok(left) => left,
                Err(pause) => return pause,
            }
        } else {
            0
        };
        self.parts.counts.set_found(left);
        self.parts.writer.take_over(left);
        if let Err(error) = self.probe(runtime) {
            return self.not_opened(&error);
        }
        self.opening.done = true;
        Duration::ZERO
    }

    /// Whether the spool's events are for this database. If the spool has no owner or no
    /// events for it, this database becomes the owner.
    fn check_owner(&mut self, identity: String) -> Result<bool, crate::spool::SpoolError> {
        let (spool, gate) = (&self.parts.config.spool, &self.parts.gate);
        let now = SpoolOwner {
            identity,
            target: self.parts.writer.database_target(),
        };
        let owner = spool.owner().as_deref().and_then(SpoolOwner::parse);
        // Events that this daemon spooled before it could ask are for this database.
        let others = match self.opening.checked {
            false => spool.found_events(),
            true => spool.usage().events,
        };
        let ours = match &owner {
            Some(owner) => owner.is_same(&now) || others == 0,
            None => true,
        };
        if ours {
            if owner.as_ref() != Some(&now) {
                spool.set_owner(Some(&now.text()))?;
            }
        } else if let Some(owner) = &owner
            && !gate.is_other_database()
        {
            let folder = spool.folder().map(|folder| folder.display().to_string());
            // ERROR: acknowledged events wait for a person.
            tracing::error!(
                folder,
                events = spool.usage().events,
                spool = owner.describe(),
                daemon = now.describe(),
                "the spool holds events of another database: they are not replayed, and no events are spooled; \
                 give this daemon another --spool-dir, and send the events to their database: start a daemon there \
                 with this folder, or run `runtraced spool replay`; if this is the same database in a new cluster, \
                 stop the daemon and run `runtraced spool rebind`"
            );
        }
        spool.block(!ours);
        gate.set_other_database(!ours);
        self.opening.checked = true;
        Ok(ours)
    }

    /// Reads the frames that earlier daemons have settled, and returns how many events are
    /// left of those in the spool.
    fn read_earlier(&mut self, runtime: &Runtime) -> Result<u64, Duration> {
        if !self.opening.known {
            match runtime.block_on(self.parts.writer.read_progress()) {
                Ok(progress) => self.resume(progress.as_deref()),
                Err(error) => return Err(self.not_opened(&error)),
            }
        }
        while self.window.is_resuming() {
            match self.read_frame() {
                Ok(true) => self.ack_settled(),
                Ok(false) => self.window.resumed(),
                Err(error) => {
                    // ERROR: what was acknowledged stays in the spool until a person helps.
                    tracing::error!(%error, "the spool cannot be read");
                    return Err(DISK_PAUSE);
                }
            }
        }
        let found = self.parts.config.spool.found_events();
        Ok(found.saturating_sub(self.opening.settled_before))
    }

    /// Spools nothing for a database that is not the one that was meant: with the URLs of all servers in their order, the events
    /// may belong to another one.
    pub(super) fn note_place(&self, error: &sqlx::Error) {
        if is_misplaced(error) {
            self.parts.config.spool.block(true);
        }
    }

    fn not_opened(&self, error: &sqlx::Error) -> Duration {
        tracing::debug!(error = reason(error), "the spool is not opened yet");
        self.note_place(error);
        self.parts.gate.counts_failed(error);
        PROBE_INTERVAL
    }

    fn resume(&mut self, progress: Option<&str>) {
        self.opening.known = true;
        let Some(progress) = progress else { return };
        let progress: Progress = match serde_json::from_str(progress) {
            Ok(progress) => progress,
            Err(error) => {
                // WARN: a later version wrote it. Replaying events again is harmless.
                tracing::warn!(%error, "the progress of the replay is not readable; all of the spool is replayed");
                return;
            }
        };
        let spool = &self.parts.config.spool;
        // Without its file, everything that it speaks of is deleted.
        if spool.has_segment(progress.done().frame.segment, progress.instance) {
            self.window.resume(progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(identity: &str) -> SpoolOwner {
        let target = "localhost/traces".to_owned();
        let identity = identity.to_owned();
        SpoolOwner { identity, target }
    }

    #[test]
    fn databases_are_told_apart() {
        for (one, other, same) in [
            ("7/5", "7/5", true),
            ("7/5", "7/6", false),
            ("7/5", "8/5", false),
            ("?/5", "8/5", true),
            ("7/5", "?/5", true),
            ("7/5", "?/6", false),
            ("?/5", "?/5", true),
        ] {
            let is_same = owner(one).is_same(&owner(other));
            assert_eq!(is_same, same, "{one} and {other}");
        }
    }

    #[test]
    fn an_owner_can_be_read_again() {
        let one = owner("7/5");
        assert_eq!(SpoolOwner::parse(&one.text()), Some(one));
        assert_eq!(SpoolOwner::parse("garbage"), None);
    }
}
