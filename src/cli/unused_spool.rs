//! The spool of a daemon that does not run. If the daemon died while Postgres was away, the database does not know what its
//! spool holds.

use std::path::{Path, PathBuf};

use crate::doctor::same_database;
use crate::spool::{self, SpoolError};

/// A spool that no daemon uses, and that is not empty.
#[derive(Debug)]
pub(super) struct UnusedSpool {
    pub folder: PathBuf,
    /// The events in it. `None`: it cannot be read.
    pub events: Option<u64>,
}

impl UnusedSpool {
    /// Looks at the folder of a spool, which need not exist. `None`: a daemon uses it, it is empty,
    /// or its events are for another database than the one that `identity` tells of.
    pub fn in_folder(folder: &Path, identity: &str) -> Option<Self> {
        let events = match waiting_events(folder, identity) {
            Ok(0) => return None,
            Ok(events) => Some(events),
            Err(_) => None,
        };
        let folder = folder.to_owned();
        Some(Self { folder, events })
    }

    /// What to tell a person.
    pub fn text(&self) -> String {
        let folder = self.folder.display();
        match self.events {
            Some(events) => format!(
                "Events of anybody in the spool {folder}, which no daemon uses: {}. They are not erased. Start its daemon, or run `runtraced spool replay`, then repeat the command.",
                super::count(events)
            ),
            None => format!(
                "The spool {folder} cannot be read: events in it are not erased. Run the command as the daemon's user, or say with --spool-dir where the spool is."
            ),
        }
    }
}

/// The events that wait for a daemon. Those of quarantined files wait for a person.
fn waiting_events(folder: &Path, identity: &str) -> Result<u64, SpoolError> {
    let state = spool::look_at(folder)?;
    let owner = state
        .owner
        .as_deref()
        .and_then(|owner| owner.lines().next());
    let is_of_another = owner.is_some_and(|owner| !same_database(owner, identity));
    if state.in_use || state.events == 0 || is_of_another {
        return Ok(0);
    }
    let files = spool::list(folder)?;
    let waiting = files.iter().filter(|file| !file.quarantined);
    Ok(waiting.map(|file| file.events).sum())
}
