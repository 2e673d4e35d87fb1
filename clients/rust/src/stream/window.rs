//! The limit on what is in flight.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::{ClientError, StreamOptions};

/// Permits for batches and for bytes in flight.
#[derive(Debug, Clone)]
pub(super) struct SendWindow {
    batches: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_batches: u32,
    max_bytes: u32,
}

/// One batch's share of the window, until it is dropped.
#[derive(Debug)]
pub(super) struct WindowPermit {
    _batch: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl SendWindow {
    pub(super) fn new(options: StreamOptions) -> Self {
        let max_batches = options.max_batches_in_flight.max(1);
        let max_bytes = options.max_bytes_in_flight.max(1);
        Self {
            batches: Arc::new(Semaphore::new(max_batches as usize)),
            bytes: Arc::new(Semaphore::new(max_bytes as usize)),
            max_batches,
            max_bytes,
        }
    }

    pub(super) fn max_batches(&self) -> usize {
        self.max_batches as usize
    }

    /// Waits until a batch of `len` bytes may be sent.
    pub(super) async fn enter(&self, len: usize) -> Result<WindowPermit, ClientError> {
        let batch = Arc::clone(&self.batches).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(self.share(len))
            .await;
        match (batch, bytes) {
            (Ok(_batch), Ok(_bytes)) => Ok(WindowPermit { _batch, _bytes }),
            _ => Err(ClientError::Ended),
        }
    }

    /// A permit if a batch of `len` bytes may be sent now.
    pub(super) fn try_enter(&self, len: usize) -> Result<Option<WindowPermit>, ClientError> {
        let batch = Arc::clone(&self.batches).try_acquire_owned();
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(self.share(len));
        match (batch, bytes) {
            (Ok(_batch), Ok(_bytes)) => Ok(Some(WindowPermit { _batch, _bytes })),
            (Err(TryAcquireError::Closed), _) | (_, Err(TryAcquireError::Closed)) => {
                Err(ClientError::Ended)
            }
            _ => Ok(None),
        }
    }

    /// Refuses all further batches.
    pub(super) fn close(&self) {
        self.batches.close();
        self.bytes.close();
    }

    /// A batch that is larger than the window takes all of it.
    fn share(&self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or(u32::MAX).min(self.max_bytes)
    }
}
