//! What both calls of `TraceIngest` need, and the step that they share: from the wire
//! form of a batch to valid events.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::decode::decode_event_within;
use super::receive::ReceiveBudget;
use crate::auth::Identity;
use crate::event::{FieldLimits, Repairs};
use crate::ingest::RepairCounts;
use crate::pipeline::{Batch, Pipeline};
use crate::proto;

/// The service.
#[derive(Clone, Debug)]
pub struct NativeIngest {
    /// Where batches go.
    pub pipeline: Arc<Pipeline>,
    /// What was repaired, for metrics.
    pub repairs: Arc<RepairCounts>,
    /// A `Submit` that is not settled after this is told to come again.
    pub submit_timeout: Duration,
    /// Batches of one stream that may wait for their acks.
    pub limits: StreamLimits,
    /// Limits of the fields of an event.
    pub fields: FieldLimits,
    /// What may be received at a time.
    pub receive: ReceiveBudget,
    /// Cancelled when no more is to be taken in.
    pub draining: CancellationToken,
    /// The tasks of open streams.
    pub tasks: TaskTracker,
}

/// Limits of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Batches admitted and not yet acked.
    pub batches_in_flight: usize,
    /// A client that takes no ack for so long is given up.
    pub ack_timeout: Duration,
}

impl NativeIngest {
    /// Validates the events of a batch, each on its own, and takes what they are
    /// from the sender's account.
    pub(super) fn decode(&self, events: Vec<proto::Event>, identity: &Identity) -> Batch {
        let count = events.len();
        let mut batch = Batch {
            events: Vec::with_capacity(events.len()),
            refused: Vec::new(),
        };
        let mut repairs = Repairs::default();
        for (index, event) in (0_u32..).zip(events) {
            match decode_event_within(self.fields, event, &mut repairs) {
                Ok(mut event) => {
                    if let Some(tenant) = identity.tenant() {
                        event.bind(tenant);
                    }
                    batch.events.push((index, event));
                }
                Err(refusal) => batch.refused.push((index, refusal)),
            }
        }
        self.repairs.add(repairs);
        identity.charge(count, || batch.weight_bytes());
        batch
    }
}
