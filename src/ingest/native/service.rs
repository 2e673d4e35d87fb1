//! `TraceIngest`: a thin handler over the pipeline.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::decode::decode_event_within;
use super::receive::{Messages, ReceiveBudget};
use super::stream::{StreamLimits, serve_stream};
use crate::event::{FieldLimits, RefusalCode, Repairs};
use crate::ingest::RepairCounts;
use crate::ingest::auth::Identity;
use crate::ingest::settle::{Unsettled, admit, settled};
use crate::pipeline::{Batch, BatchOutcome, Durability, Pipeline};
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

/// The acks of a stream.
pub(super) type Acks = Pin<Box<dyn Stream<Item = Result<proto::StreamResponse, Status>> + Send>>;

impl NativeIngest {
    /// `TraceIngest.Stream`.
    pub(super) fn stream(self, identity: Identity, messages: Messages) -> Result<Acks, Status> {
        if self.draining.is_cancelled() {
            return Err(Unsettled::ShuttingDown.into());
        }
        Ok(serve_stream(self, identity, messages))
    }

    /// `TraceIngest.Submit`, for a client that waits so long.
    pub(super) async fn submit(
        &self,
        identity: &Identity,
        messages: &mut Messages,
        patience: Duration,
    ) -> Result<proto::SubmitResponse, Status> {
        identity.may_send()?;
        let received = tokio::select! {
            biased;
            () = self.draining.cancelled() => return Err(Unsettled::ShuttingDown.into()),
            received = messages.next() => received?,
        };
        let Some((message, mut share)) = received else {
            return Err(Status::internal("the request holds no message"));
        };
        let request = proto::SubmitRequest::decode(message).map_err(no_message)?;
        let least = least_durability(request.least_durability);
        if least == Durability::Committed {
            messages.will_be_committed(&mut share).await?;
        }
        let batch = self.decode(request.events, identity);
        let _refusals = self.receive.refusals(batch.refused.len()).await?;
        let ticket = admit(&self.pipeline, batch, least)?;
        drop(share);
        // A batch that is late is still written; sending it again is harmless.
        let outcome = settled(ticket, self.submit_timeout.min(patience)).await?;
        Ok(proto::SubmitResponse {
            durability: durability(outcome.durability).into(),
            outcome: Some(encode_outcome(outcome, 0)),
        })
    }

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

/// What cannot be decoded.
pub(super) fn no_message(error: prost::DecodeError) -> Status {
    Status::internal(error.to_string())
}

pub(super) fn durability(durability: Durability) -> proto::Durability {
    match durability {
        Durability::Spooled => proto::Durability::Spooled,
        Durability::Committed => proto::Durability::Committed,
    }
}

/// What a client waits for. One that this version does not know is safer than
/// all that it does.
pub(super) fn least_durability(wanted: i32) -> Durability {
    match proto::Durability::try_from(wanted) {
        Ok(proto::Durability::Unspecified | proto::Durability::Spooled) => Durability::Spooled,
        Ok(proto::Durability::Committed) | Err(_) => Durability::Committed,
    }
}

/// The wire form; `sequence` is that of the batch.
pub(super) fn encode_outcome(outcome: BatchOutcome, sequence: u64) -> proto::Outcome {
    let refused = outcome
        .refused
        .into_iter()
        .map(|(index, refusal)| proto::Refusal {
            sequence,
            index,
            code: refusal_code(refusal.code).into(),
            reason: refusal.reason,
        });
    proto::Outcome {
        committed: outcome.committed,
        duplicate: outcome.duplicate,
        refused: refused.collect(),
        spooled: outcome.spooled,
    }
}

fn refusal_code(code: RefusalCode) -> proto::RefusalCode {
    match code {
        RefusalCode::MissingField => proto::RefusalCode::MissingField,
        RefusalCode::InvalidId => proto::RefusalCode::InvalidId,
        RefusalCode::UnknownEnumValue => proto::RefusalCode::UnknownEnumValue,
        RefusalCode::InvalidJson => proto::RefusalCode::InvalidJson,
        RefusalCode::JsonTooDeep => proto::RefusalCode::JsonTooDeep,
        RefusalCode::NumberOutOfRange => proto::RefusalCode::NumberOutOfRange,
        RefusalCode::TimeOutOfRange => proto::RefusalCode::TimeOutOfRange,
        RefusalCode::IdConflict => proto::RefusalCode::IdConflict,
        RefusalCode::DeadLettered => proto::RefusalCode::DeadLettered,
        RefusalCode::FieldTooLong => proto::RefusalCode::FieldTooLong,
        RefusalCode::PermissionDenied => proto::RefusalCode::PermissionDenied,
    }
}
