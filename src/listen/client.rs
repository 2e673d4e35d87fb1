//! What is known of one connection: its ends, its key, and its open requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Open requests of one connection that need no key and present none.
const KEYLESS_REQUESTS: usize = 64;
/// Requests of one connection that may wait at the same time for their key to be read.
const LOOKUPS: usize = 1;

/// Numbers the connections of all endpoints, from 1.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// The ends of a connection, as this daemon sees them. Each of its requests has them as an
/// extension.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct ClientEnds {
    pub client: SocketAddr,
    pub daemon: SocketAddr,
}

/// One connection. Each of its requests has it as an extension.
#[derive(Clone, Debug)]
pub struct ClientConnection(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    number: u64,
    /// Cancelled when the key that the connection last presented stops being valid.
    key: Mutex<Option<CancellationToken>>,
    /// Open requests that shutdown waits for.
    ingest: TaskTracker,
    /// All other open requests.
    other: TaskTracker,
    keyless: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    displaced: CancellationToken,
}

impl ClientConnection {
    pub(super) fn new() -> Self {
        let ingest = TaskTracker::new();
        // `wait` returns only on a closed tracker. A closed one still counts.
        ingest.close();
        Self(Arc::new(ConnectionState {
            number: NEXT_NUMBER.fetch_add(1, Relaxed),
            key: Mutex::default(),
            ingest,
            other: TaskTracker::new(),
            keyless: Arc::new(Semaphore::new(KEYLESS_REQUESTS)),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            displaced: CancellationToken::new(),
        }))
    }

    /// A number that no other connection has.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Notes that a request presented a valid key. `revoked` is cancelled when the key
    /// stops being valid.
    pub fn present_key(&self, revoked: &CancellationToken) {
        let mut key = self.0.key.lock().unwrap_or_else(PoisonError::into_inner);
        *key = Some(revoked.clone());
    }

    /// Whether the connection has presented no key, or one that is no longer valid.
    pub(super) fn is_keyless(&self) -> bool {
        let key = self.0.key.lock().unwrap_or_else(PoisonError::into_inner);
        key.as_ref().is_none_or(CancellationToken::is_cancelled)
    }

    /// Whether no request is open.
    pub(super) fn is_idle(&self) -> bool {
        self.0.ingest.is_empty()
            && self.0.other.is_empty()
            && self.0.lookups.available_permits() == LOOKUPS
    }

    /// A place for a request whose key must be read first; `None`: all are taken.
    #[must_use]
    pub fn try_lookup(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lookups.clone().try_acquire_owned().ok()
    }

    pub(super) fn count_ingest(&self) -> TaskTrackerToken {
        self.0.ingest.token()
    }

    pub(super) fn count_other(&self) -> TaskTrackerToken {
        self.0.other.token()
    }

    pub(super) fn try_keyless(&self) -> Option<OwnedSemaphorePermit> {
        self.0.keyless.clone().try_acquire_owned().ok()
    }

    /// Closes the connection, so that another one can have its place.
    pub(super) fn displace(&self) {
        self.0.displaced.cancel();
    }

    pub(super) async fn displaced(&self) {
        self.0.displaced.cancelled().await;
    }

    /// Returns once only requests that shutdown does not wait for keep the connection
    /// open. If there are none at all, HTTP itself ends the connection.
    pub(super) async fn ingest_ended(&self, pause: Duration) {
        loop {
            self.0.ingest.wait().await;
            tokio::time::sleep(pause).await;
            if self.0.ingest.is_empty() && !self.0.other.is_empty() {
                return;
            }
        }
    }
}
