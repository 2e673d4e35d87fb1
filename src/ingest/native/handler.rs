//! The state of the `TraceIngest` methods, and the step that two of them share: decoding a
//! batch.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::receive::ReceiveBudget;
use super::watch::DecisionSource;
use crate::auth::Identity;
use crate::event::FieldLimits;
use crate::histograms::BatchSource;
use crate::ingest::batch::BatchDecoder;
use crate::ingest::prepare::Preparer;
use crate::ingest::repairs::RepairCounts;
use crate::own_spans::OwnSpans;
use crate::pipeline::{Batch, Pipeline};
use crate::proto;

/// The `TraceIngest` service.
#[derive(Clone, Debug)]
pub struct NativeIngest {
    /// The pipeline, which takes the batches.
    pub pipeline: Arc<Pipeline>,
    /// Prepares events.
    pub preparer: Preparer,
    /// Counts of repairs, for metrics.
    pub repairs: Arc<RepairCounts>,
    /// Tells of requests.
    pub own_spans: OwnSpans,
    /// How long a `Submit` waits to be settled before the client must send it again.
    pub submit_timeout: Duration,
    /// Limits of each stream.
    pub limits: StreamLimits,
    /// Limits of the fields of an event.
    pub fields: FieldLimits,
    /// The budget for messages that are being received.
    pub receive: ReceiveBudget,
    /// Where decisions about approvals come from.
    pub decisions: DecisionSource,
    /// Cancelled when the daemon stops accepting events.
    pub draining: CancellationToken,
    /// The tasks of open streams.
    pub tasks: TaskTracker,
}

/// Limits of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// The largest number of batches that are admitted and not acked.
    pub batches_in_flight: usize,
    /// How long a client may leave an ack unread before its stream ends.
    pub ack_timeout: Duration,
}

impl NativeIngest {
    /// Decodes and validates each event of a batch, and charges the sender for them.
    pub(super) fn decode(
        &self,
        events: Vec<proto::Event>,
        identity: &Identity,
        source: BatchSource,
    ) -> Batch {
        let mut decoder = BatchDecoder::new(&self.preparer, self.fields, identity, source);
        for (index, event) in (0_u32..).zip(events) {
            decoder.push(index, event);
        }
        decoder.finish(&self.repairs, identity, 0, 0).0
    }
}
