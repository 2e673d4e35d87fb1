//! The sender of a request: all that the handlers know about its key.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::http::Extensions;
use uuid::{NonNilUuid, Uuid};

use super::denied::Denied;
use super::table::{ActiveKey, KeyAccess, KeyTable};
use crate::listen::ClientConnection;

/// The key has reached its limit. It may send again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExceeded(pub Duration);

/// The sender of a request. The layer puts it into the extensions of every request
/// that it accepts.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Option<Arc<ActiveKey>>,
    tenant: Option<NonNilUuid>,
    table: Arc<KeyTable>,
    /// The number of the connection; 0 if it is not known.
    connection: u64,
}

impl Identity {
    pub(super) fn new(
        key: Option<Arc<ActiveKey>>,
        tenant: Option<NonNilUuid>,
        table: Arc<KeyTable>,
    ) -> Self {
        Self {
            key,
            tenant,
            table,
            connection: 0,
        }
    }

    /// The owner of a key whose hash is all zeros.
    #[cfg(test)]
    pub fn of_key(table: &Arc<KeyTable>, id: Uuid) -> Option<Self> {
        let sha256 = [0; 32];
        match table.check(&super::key::PresentedKey { id, sha256 }) {
            super::table::KeyCheck::Valid(key) => Some(Self::new(Some(key), None, table.clone())),
            _ => None,
        }
    }

    /// Reads the identity from the extensions of a request.
    ///
    /// # Errors
    /// When it is missing: then the request bypassed the layer and is rejected.
    pub fn of(extensions: &Extensions) -> Result<Self, Denied> {
        let identity: Self = extensions.get().cloned().ok_or(Denied::Missing)?;
        let connection = extensions.get().map_or(0, ClientConnection::number);
        Ok(Self {
            connection,
            ..identity
        })
    }

    /// The number of the connection.
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// The only customer that the sender may write for. `None`: any customer.
    #[must_use]
    pub fn tenant(&self) -> Option<NonNilUuid> {
        self.tenant
    }

    /// What the key may do. `None`: the request has no key.
    #[must_use]
    pub fn access(&self) -> Option<KeyAccess> {
        self.key.as_ref().map(|key| key.access())
    }

    /// The id of the key, if there is one.
    #[must_use]
    pub fn key_id(&self) -> Option<Uuid> {
        self.key.as_ref().map(|key| key.id())
    }

    /// Whether the sender may send events.
    pub(super) fn may_write(&self) -> bool {
        matches!(self.access(), None | Some(KeyAccess::Write))
    }

    /// Notes in a connection that it presented this key, if there is one.
    pub(super) fn present_to(&self, connection: Option<&ClientConnection>) {
        if let (Some(key), Some(connection)) = (&self.key, connection) {
            connection.present_key(&key.revoked);
        }
    }

    /// Whether the key is no longer valid.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        let key = self.key.as_ref();
        key.is_some_and(|key| key.revoked.is_cancelled())
    }

    /// Returns when the key stops being valid.
    pub async fn revoked(&self) {
        match &self.key {
            Some(key) => key.revoked.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Checks whether the limits of the key let it send now.
    ///
    /// # Errors
    /// When they do not; the error holds the time to wait.
    pub fn check_quota(&self) -> Result<(), QuotaExceeded> {
        match self.wait() {
            Duration::ZERO => Ok(()),
            wait => {
                self.table.counts.limited.fetch_add(1, Relaxed);
                Err(QuotaExceeded(wait))
            }
        }
    }

    /// Waits until the limits of the key let it send.
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

    /// Charges what was sent against the limits of the key. `bytes` runs only if there
    /// is a key.
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
