//! The memory that live topics and what their clients have not read yet take together.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of all topics and of all events that some client has not read yet.
const BUDGET_BYTES: usize = 256 << 20;
/// Bytes of one permit.
const UNIT: usize = 1 << 10;

/// What is left of the budget.
#[derive(Clone, Debug)]
pub(super) struct LiveBytes(Arc<Semaphore>);

/// A part of the budget. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct LiveShare {
    _permit: OwnedSemaphorePermit,
}

/// Bytes with their part of the budget.
struct Budgeted {
    text: String,
    _share: LiveShare,
}

impl AsRef<[u8]> for Budgeted {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Default for LiveBytes {
    fn default() -> Self {
        Self::of(BUDGET_BYTES)
    }
}

impl LiveBytes {
    /// A budget of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Takes so many bytes; `None`: there are no more.
    pub(super) fn take(&self, bytes: usize) -> Option<LiveShare> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = self.0.clone().try_acquire_many_owned(units).ok()?;
        Some(LiveShare { _permit: permit })
    }

    /// Text that all clients share. Its bytes are free again when the last one has read it.
    pub(super) fn share(&self, text: String) -> Option<Bytes> {
        let _share = self.take(text.len())?;
        Some(Bytes::from_owner(Budgeted { text, _share }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_free_again_when_the_last_client_has_read_them() {
        let budget = LiveBytes::of(3 * UNIT);
        let text = budget.share("x".repeat(2 * UNIT)).unwrap();
        let same = text.clone();
        assert!(budget.take(2 * UNIT).is_none());
        drop(text);
        assert!(budget.take(2 * UNIT).is_none());
        drop(same);
        assert!(budget.take(2 * UNIT).is_some());
    }
}
