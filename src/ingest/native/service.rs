//! The `TraceIngest` methods: a thin layer over the pipeline.

use std::time::Duration;

use prost::Message as _;
use tonic::Status;

use super::handler::NativeIngest;
use super::outcome::{durability, encode_outcome, min_durability, undecodable};
use super::receive::Messages;
use super::stream::{Acks, serve_stream};
use crate::auth::Identity;
use crate::histograms::{BatchSource, IngestEndpoint};
use crate::ingest::settle::{Unsettled, admit, settled};
use crate::ingest::told::note_settled;
use crate::own_spans::{RemoteParent, WorkSpan};
use crate::pipeline::Durability;
use crate::proto;

impl NativeIngest {
    /// Serves `TraceIngest.Stream`.
    pub(super) fn stream(
        self,
        identity: Identity,
        messages: Messages,
        parent: Option<RemoteParent>,
    ) -> Result<Acks, Status> {
        if self.draining.is_cancelled() {
            return Err(Unsettled::ShuttingDown.into());
        }
        Ok(serve_stream(self, identity, messages, parent))
    }

    /// Serves `TraceIngest.Submit` for a client that waits for `timeout`.
    pub(super) async fn submit(
        &self,
        identity: &Identity,
        messages: &mut Messages,
        timeout: Duration,
        span: &mut WorkSpan,
    ) -> Result<proto::SubmitResponse, Status> {
        identity.check_quota().map_err(Unsettled::from)?;
        let suspects = self.pipeline.suspects();
        let next = async {
            // While earlier events of the client are being isolated, it takes no memory.
            let waited = suspects.wait(identity.connection());
            tokio::time::timeout(self.submit_timeout.min(timeout), waited)
                .await
                .map_err(|_| Unsettled::CommitTimeout)?;
            messages.next().await
        };
        let received = tokio::select! {
            biased;
            () = self.draining.cancelled() => return Err(Unsettled::ShuttingDown.into()),
            received = next => received?,
        };
        let Some((message, mut share)) = received else {
            return Err(Status::internal("the request holds no message"));
        };
        let source = BatchSource::now(IngestEndpoint::Submit);
        let histograms = self.pipeline.histograms();
        histograms.request(source.endpoint, message.len());
        span.lap("receive");
        span.count("runtraced.bytes", message.len());
        let request = proto::SubmitRequest::decode(message).map_err(undecodable)?;
        let min_durability = min_durability(request.least_durability);
        if min_durability == Durability::Committed {
            messages.take_committed(&mut share).await?;
        }
        span.count("runtraced.events", request.events.len());
        let mut batch = self.decode(request.events, identity, source);
        batch.request = span.ids();
        span.lap("decode");
        let _refusals = self.receive.take_refusals(batch.refused.len())?;
        let ticket = admit(&self.pipeline, batch, min_durability)?;
        span.lap("admit");
        drop(share);
        // After a timeout the batch is still written. Sending it again is harmless.
        let outcome = settled(ticket, self.submit_timeout.min(timeout)).await?;
        note_settled(span, &outcome);
        Ok(proto::SubmitResponse {
            durability: durability(outcome.durability).into(),
            outcome: Some(encode_outcome(outcome, 0)),
        })
    }
}
