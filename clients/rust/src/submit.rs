//! One batch per call, answered when it is settled.

use bytes::Bytes;
use prost::Message as _;
use tonic::{Status, client::Grpc, codegen::http::uri::PathAndQuery};

use super::{
    Client, ClientError,
    codec::{EncodedCodec, SUBMIT_PATH},
    error::{RetryDecision, decide_retry, not_connected},
};
use crate::proto::{Durability, Event, SubmitRequest, SubmitResponse};

impl Client {
    /// Sends one batch and waits until each of its events is durable, a duplicate, or
    /// refused. Retries while the daemon asks for that or the connection breaks.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the daemon refuses the call or the retry policy gives
    /// up; [`ClientError::Stalled`] if no answer came at all.
    pub async fn submit(&self, events: Vec<Event>) -> Result<SubmitResponse, ClientError> {
        self.submit_with(events, Durability::Spooled).await
    }

    /// As [`Self::submit`], and waits until the events are in Postgres.
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
                // The last attempt's error says more than that no answer came.
                Err(_) => return Err(error),
            };
            let delay = match decide_retry(&status) {
                RetryDecision::GiveUp => None,
                RetryDecision::Retry(asked) => attempts.next_delay(asked),
            };
            let Some(delay) = delay else {
                return Err(status.into());
            };
            self.outages.report(&mut attempts, || status.clone().into());
            error = status.into();
            tokio::time::sleep(delay).await;
        }
    }

    async fn call(&self, request: Bytes) -> Result<SubmitResponse, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(not_connected)?;
        let path = PathAndQuery::from_static(SUBMIT_PATH);
        let response = grpc
            .unary(
                self.credentials.sign(request),
                path,
                EncodedCodec::default(),
            )
            .await?;
        Ok(response.into_inner())
    }
}
