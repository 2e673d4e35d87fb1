//! As whom a request is taken: what the handlers know of its key.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::http::Extensions;
use uuid::NonNilUuid;

use super::denied::Denied;
use super::table::{ActiveKey, KeyTable};

/// The key has sent as much as it may; it may send again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExceeded(pub Duration);

/// Who sends. In the extensions of every request that the layer let in.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Option<Arc<ActiveKey>>,
    tenant: Option<NonNilUuid>,
    table: Arc<KeyTable>,
}

impl Identity {
    pub(super) fn new(
        key: Option<Arc<ActiveKey>>,
        tenant: Option<NonNilUuid>,
        table: Arc<KeyTable>,
    ) -> Self {
        Self { key, tenant, table }
    }

    /// That of a request. One that came past the layer is let in by nobody.
    ///
    /// # Errors
    /// When the layer has not seen it.
    pub fn of(extensions: &Extensions) -> Result<Self, Denied> {
        extensions.get().cloned().ok_or(Denied::Missing)
    }

    /// The one customer that it may write for; `None`: any.
    #[must_use]
    pub fn tenant(&self) -> Option<NonNilUuid> {
        self.tenant
    }

    /// Ends when the key is no longer valid.
    pub async fn revoked(&self) {
        match &self.key {
            Some(key) => key.revoked.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Whether its key's limits let it send now.
    ///
    /// # Errors
    /// With how long it must wait.
    pub fn check_quota(&self) -> Result<(), QuotaExceeded> {
        match self.wait() {
            Duration::ZERO => Ok(()),
            wait => {
                self.table.counts.limited.fetch_add(1, Relaxed);
                Err(QuotaExceeded(wait))
            }
        }
    }

    /// Waits until they do.
    pub async fn wait_for_quota(&self) {
        let mut counted = false;
        loop {
            let wait = self.wait();
            if wait.is_zero() {
                return;
            }
            if !std::mem::replace(&mut counted, true) {
                self.table.counts.limited.fetch_add(1, Relaxed);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// So much was sent. Bytes are only counted where there is an account for them.
    pub fn charge(&self, events: usize, bytes: impl FnOnce() -> usize) {
        if let Some(key) = &self.key {
            key.limits.charge(events as u64, bytes() as u64);
        }
    }

    fn wait(&self) -> Duration {
        self.key
            .as_ref()
            .map_or(Duration::ZERO, |key| key.limits.wait())
    }
}
