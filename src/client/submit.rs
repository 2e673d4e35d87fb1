//! One batch, answered when it is settled.

use bytes::Bytes;
use prost::Message as _;
use tonic::{Status, client::Grpc, codegen::http::uri::PathAndQuery};

use super::{
    Client, ClientError,
    codec::{EncodedCodec, SUBMIT_PATH},
    error::{Verdict, judge},
};
use crate::proto::{Durability, Event, SubmitRequest, SubmitResponse};

impl Client {
    /// Sends one batch and waits until each of its events is durable, a
    /// duplicate, or refused. Sends it again while the daemon asks for that or
    /// the connection breaks.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the daemon refuses the call or the retry
    /// policy gives up, [`ClientError::Stalled`] when there was no answer at all.
    pub async fn submit(&self, events: Vec<Event>) -> Result<SubmitResponse, ClientError> {
        self.submit_with(events, Durability::Spooled).await
    }

    /// The same, and waits until the events are in Postgres.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn submit_committed(
        &self,
        events: Vec<Event>,
    ) -> Result<SubmitResponse, ClientError> {
        self.submit_with(events, Durability::Committed).await
    }

    async fn submit_with(
        &self,
        events: Vec<Event>,
        least: Durability,
    ) -> Result<SubmitResponse, ClientError> {
        let request = Bytes::from(
            SubmitRequest {
                events,
                least_durability: least.into(),
            }
            .encode_to_vec(),
        );
        let mut attempts = self.retry.start();
        let mut error = ClientError::Stalled(self.retry.give_up_after);
        loop {
            let call = self.call(request.clone());
            let status = match tokio::time::timeout_at(attempts.deadline(), call).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(status)) => status,
                // What the last attempt heard says more than "no answer".
                Err(_) => return Err(error),
            };
            let delay = match judge(&status) {
                Verdict::GiveUp => None,
                Verdict::Retry(asked) => attempts.next_delay(asked),
            };
            error = status.into();
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(error),
            }
        }
    }

    async fn call(&self, request: Bytes) -> Result<SubmitResponse, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| {
            // Not sent yet, whatever it is.
            Status::unavailable(error.to_string())
        })?;
        let path = PathAndQuery::from_static(SUBMIT_PATH);
        let response = grpc
            .unary(self.credentials.sign(request), path, EncodedCodec::new())
            .await?;
        Ok(response.into_inner())
    }
}
