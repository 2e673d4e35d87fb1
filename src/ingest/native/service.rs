//! `TraceIngest`: a thin handler over the pipeline.

use std::time::Duration;

use prost::Message as _;
use tonic::Status;

use super::handler::NativeIngest;
use super::outcome::{durability, encode_outcome, least_durability, no_message};
use super::receive::Messages;
use super::stream::{Acks, serve_stream};
use crate::auth::Identity;
use crate::ingest::settle::{Unsettled, admit, settled};
use crate::pipeline::Durability;
use crate::proto;

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
        timeout: Duration,
    ) -> Result<proto::SubmitResponse, Status> {
        identity.check_quota().map_err(Unsettled::from)?;
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
        let outcome = settled(ticket, self.submit_timeout.min(timeout)).await?;
        Ok(proto::SubmitResponse {
            durability: durability(outcome.durability).into(),
            outcome: Some(encode_outcome(outcome, 0)),
        })
    }
}
