//! How much may be in flight.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::{ClientError, StreamOptions};

/// A place for each batch and a place for each byte.
#[derive(Debug, Clone)]
pub(super) struct Window {
    batches: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_batches: u32,
    max_bytes: u32,
}

/// The places one batch takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    _batch: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Window {
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

    /// Waits until a batch of `len` bytes may go.
    pub(super) async fn enter(&self, len: usize) -> Result<Room, ClientError> {
        // One that is larger than the window takes all of it.
        let bytes = u32::try_from(len).unwrap_or(u32::MAX).min(self.max_bytes);
        let batch = Arc::clone(&self.batches).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
        match (batch, bytes) {
            (Ok(_batch), Ok(_bytes)) => Ok(Room { _batch, _bytes }),
            _ => Err(ClientError::Ended),
        }
    }

    /// The same if a batch of `len` bytes may go now.
    pub(super) fn try_enter(&self, len: usize) -> Result<Option<Room>, ClientError> {
        let bytes = u32::try_from(len).unwrap_or(u32::MAX).min(self.max_bytes);
        let batch = Arc::clone(&self.batches).try_acquire_owned();
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(bytes);
        match (batch, bytes) {
            (Ok(_batch), Ok(_bytes)) => Ok(Some(Room { _batch, _bytes })),
            (Err(TryAcquireError::Closed), _) | (_, Err(TryAcquireError::Closed)) => {
                Err(ClientError::Ended)
            }
            _ => Ok(None),
        }
    }

    /// Nobody gets in any more.
    pub(super) fn close(&self) {
        self.batches.close();
        self.bytes.close();
    }
}
