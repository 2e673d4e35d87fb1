//! `TraceIngest`: a thin handler over the pipeline.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::decode::decode_event;
use super::stream::{StreamLimits, serve_stream};
use crate::event::{RefusalCode, Repairs};
use crate::ingest::RepairCounts;
use crate::ingest::settle::{Unsettled, admit, settled};
use crate::pipeline::{Batch, BatchOutcome, Durability, Pipeline};
use crate::proto;
use crate::proto::trace_ingest_server::TraceIngest;

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
    /// Cancelled when no more is to be taken in.
    pub draining: CancellationToken,
    /// The tasks of open streams.
    pub tasks: TaskTracker,
}

#[tonic::async_trait]
impl TraceIngest for NativeIngest {
    type StreamStream =
        Pin<Box<dyn Stream<Item = Result<proto::StreamResponse, Status>> + Send + 'static>>;

    async fn stream(
        &self,
        request: Request<Streaming<proto::StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        if self.draining.is_cancelled() {
            return Err(Unsettled::ShuttingDown.into());
        }
        Ok(Response::new(serve_stream(
            self.clone(),
            request.into_inner(),
        )))
    }

    async fn submit(
        &self,
        request: Request<proto::SubmitRequest>,
    ) -> Result<Response<proto::SubmitResponse>, Status> {
        if self.draining.is_cancelled() {
            return Err(Unsettled::ShuttingDown.into());
        }
        let request = request.into_inner();
        let least = least_durability(request.least_durability);
        let batch = self.decode(request.events);
        let ticket = admit(&self.pipeline, batch, least)?;
        // A batch that is late is still written; sending it again is harmless.
        let outcome = settled(ticket, self.submit_timeout).await?;
        Ok(Response::new(proto::SubmitResponse {
            durability: durability(outcome.durability).into(),
            outcome: Some(encode_outcome(outcome, 0)),
        }))
    }
}

impl NativeIngest {
    /// Validates the events of a batch, each on its own.
    pub(super) fn decode(&self, events: Vec<proto::Event>) -> Batch {
        let mut batch = Batch {
            events: Vec::with_capacity(events.len()),
            refused: Vec::new(),
        };
        let mut repairs = Repairs::default();
        for (index, event) in (0_u32..).zip(events) {
            match decode_event(event, &mut repairs) {
                Ok(event) => batch.events.push((index, event)),
                Err(refusal) => batch.refused.push((index, refusal)),
            }
        }
        self.repairs.add(repairs);
        batch
    }
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
    }
}
