//! Clients whose events Postgres refuses.
//!
//! The events of such a client are kept out of the transactions of others, and the endpoint
//! reads nothing more from it while some of its events are being isolated. A client is a
//! connection: nothing finer tells honest senders from others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A client is a suspect for this long after its last refused event.
const SUSPICION: Duration = Duration::from_secs(5);

/// The suspects of all shards.
#[derive(Debug, Default)]
pub struct Suspects {
    clients: Mutex<HashMap<u64, Suspect>>,
    /// The size of `clients`, so that a look costs nothing while all is well.
    count: AtomicUsize,
    isolated: Notify,
}

#[derive(Debug)]
struct Suspect {
    refused_at: Instant,
    /// Units that are being isolated.
    units: usize,
}

impl Suspect {
    fn is_over(&self) -> bool {
        self.units == 0 && self.refused_at.elapsed() > SUSPICION
    }
}

/// A unit of a suspect that is being isolated. Dropped when the unit is settled.
#[derive(Debug)]
pub(super) struct IsolatedUnit {
    suspects: Arc<Suspects>,
    client: u64,
}

impl Suspects {
    /// Records that Postgres refuses an event of a client.
    pub(super) fn add(&self, client: u64) {
        let mut clients = self.lock();
        clients.retain(|_, suspect| !suspect.is_over());
        let suspect = clients.entry(client).or_insert_with(|| Suspect {
            refused_at: Instant::now(),
            units: 0,
        });
        suspect.refused_at = Instant::now();
        self.count.store(clients.len(), Relaxed);
    }

    /// Whether there may be suspects.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Whether a client is a suspect.
    pub(super) fn contains(&self, client: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut clients = self.lock();
        let over = clients.get(&client).is_some_and(Suspect::is_over);
        if over {
            clients.remove(&client);
            self.count.store(clients.len(), Relaxed);
        }
        clients.contains_key(&client)
    }

    /// Counts a unit of a client, if that is a suspect.
    pub(super) fn isolate(self: &Arc<Self>, client: u64) -> Option<IsolatedUnit> {
        self.lock().get_mut(&client)?.units += 1;
        Some(IsolatedUnit {
            suspects: self.clone(),
            client,
        })
    }

    /// Waits until none of a client's events is being isolated.
    pub async fn wait(&self, client: u64) {
        while !self.is_empty() {
            let changed = self.isolated.notified();
            if self
                .lock()
                .get(&client)
                .is_none_or(|suspect| suspect.units == 0)
            {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Suspect>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IsolatedUnit {
    fn drop(&mut self) {
        if let Some(suspect) = self.suspects.lock().get_mut(&self.client) {
            suspect.units = suspect.units.saturating_sub(1);
        }
        self.suspects.isolated.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_suspect_waits_until_its_units_are_settled() {
        let suspects = Arc::<Suspects>::default();
        suspects.wait(7).await;
        assert!(suspects.isolate(7).is_none());
        suspects.add(7);
        assert!(suspects.contains(7) && !suspects.contains(8));
        suspects.wait(7).await;
        let unit = suspects.isolate(7);
        let waiting = tokio::spawn({
            let suspects = suspects.clone();
            async move { suspects.wait(7).await }
        });
        suspects.wait(8).await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(unit);
        waiting.await.unwrap();
        assert!(suspects.contains(7), "it stays a suspect for a while");
    }
}
