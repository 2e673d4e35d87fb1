//! Keys that are newer than the table: a request with an unknown id may wait for one
//! early reload.
//!
//! A flood of invalid keys must not profit from this. So few requests wait, not for long,
//! and not at all while the database does not answer. All of them together cause a few
//! reloads a second, and an id that a reload did not find causes no other.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use uuid::Uuid;

/// Requests that may wait at the same time. A connection may have one of them.
const MAX_WAITING: usize = 64;
/// How long a request waits.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Unknown ids that are remembered.
const MAX_UNKNOWN_IDS: usize = 1_024;

/// The loads of the table, numbered from 1.
#[derive(Clone, Copy, Debug)]
struct Loads {
    begun: u64,
    ended: u64,
    /// Whether the database answers. If not, nobody waits for it.
    answered: bool,
}

/// Ids that a load did not find; the oldest are forgotten.
#[derive(Debug, Default)]
struct UnknownIds {
    ids: HashSet<Uuid>,
    by_age: VecDeque<Uuid>,
}

impl UnknownIds {
    fn remember(&mut self, id: Uuid) {
        if self.ids.insert(id) {
            self.by_age.push_back(id);
        }
        if self.by_age.len() > MAX_UNKNOWN_IDS
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Connects the requests that wait with the task that loads the keys.
#[derive(Debug)]
pub struct KeyLookups {
    wanted: Notify,
    loads: watch::Sender<Loads>,
    waiting: Semaphore,
    unknown: Mutex<UnknownIds>,
}

impl Default for KeyLookups {
    fn default() -> Self {
        Self {
            wanted: Notify::new(),
            loads: watch::Sender::new(Loads {
                begun: 0,
                ended: 0,
                answered: false,
            }),
            waiting: Semaphore::new(MAX_WAITING),
            unknown: Mutex::default(),
        }
    }
}

impl KeyLookups {
    /// Notes that a load begins: it sees all keys that exist by now.
    pub fn begin_load(&self) {
        self.loads.send_modify(|loads| loads.begun += 1);
    }

    /// Notes that the load has ended. `answered`: the table is up to date.
    pub fn end_load(&self, answered: bool) {
        self.loads.send_modify(|loads| {
            loads.ended = loads.begun;
            loads.answered = answered;
        });
    }

    /// Returns when a request wants an early load.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    fn unknown(&self) -> MutexGuard<'_, UnknownIds> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an id that the last load did not find.
    pub(super) fn remember_unknown(&self, id: Uuid) {
        self.unknown().remember(id);
    }

    /// Waits until a load that begins from now on has ended. Returns whether it did;
    /// if not, the caller must not wait.
    pub(super) async fn reloaded_for(&self, id: Uuid) -> bool {
        if self.unknown().ids.contains(&id) {
            return false;
        }
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return false;
        };
        let mut loads = self.loads.subscribe();
        let next = {
            let now = loads.borrow_and_update();
            if !now.answered {
                return false;
            }
            now.begun + 1
        };
        self.wanted.notify_one();
        let ended = loads.wait_for(|now| now.ended >= next || !now.answered);
        match timeout(MAX_WAIT, ended).await {
            Ok(now) => now.is_ok_and(|now| now.ended >= next && now.answered),
            Err(_) => {
                self.loads.send_modify(|loads| loads.answered = false);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn loaded() -> Arc<KeyLookups> {
        let lookups = Arc::new(KeyLookups::default());
        lookups.begin_load();
        lookups.end_load(true);
        lookups
    }

    fn wait(lookups: &Arc<KeyLookups>) -> tokio::task::JoinHandle<bool> {
        let lookups = lookups.clone();
        tokio::spawn(async move { lookups.reloaded_for(Uuid::now_v7()).await })
    }

    #[tokio::test]
    async fn a_load_that_has_begun_is_not_enough() {
        let lookups = loaded();
        lookups.begin_load();
        let waiting = wait(&lookups);
        lookups.wanted().await;
        lookups.end_load(true);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        lookups.begin_load();
        lookups.end_load(true);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn nobody_waits_while_the_database_does_not_answer() {
        let lookups = loaded();
        let waiting = wait(&lookups);
        lookups.wanted().await;
        lookups.begin_load();
        // It takes too long: the first one gives up, and the others do not begin.
        assert!(!waiting.await.unwrap());
        assert!(!lookups.reloaded_for(Uuid::now_v7()).await);
        lookups.end_load(false);
        assert!(!lookups.reloaded_for(Uuid::now_v7()).await);
        lookups.begin_load();
        lookups.end_load(true);
        let waiting = wait(&lookups);
        lookups.wanted().await;
        lookups.begin_load();
        lookups.end_load(false);
        assert!(!waiting.await.unwrap());
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let lookups = loaded();
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| wait(&lookups)).collect();
        while lookups.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!lookups.reloaded_for(Uuid::now_v7()).await);
        lookups.begin_load();
        lookups.end_load(true);
        for one in waiting {
            assert!(one.await.unwrap());
        }
    }

    #[tokio::test]
    async fn an_unknown_id_is_looked_up_once() {
        let lookups = loaded();
        let ids: Vec<_> = (0..=MAX_UNKNOWN_IDS).map(|_| Uuid::now_v7()).collect();
        for id in &ids {
            lookups.remember_unknown(*id);
            lookups.remember_unknown(*id);
        }
        assert!(!lookups.reloaded_for(ids[MAX_UNKNOWN_IDS]).await);
        assert_eq!(lookups.unknown().ids.len(), MAX_UNKNOWN_IDS);
        assert!(!lookups.unknown().ids.contains(&ids[0]), "the oldest");
    }
}
