//! The task behind a sender. It keeps the unacknowledged batches and one open stream.

use std::{
    collections::VecDeque,
    fmt,
    future::pending,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, sleep_until, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery};

use super::{Client, ClientError, Refused, Settled, StreamOptions, Totals, Undelivered};
use crate::{
    codec::{EncodedCodec, STREAM_PATH},
    error::{RetryDecision, decide_retry, not_connected},
    proto::{Refusal, StreamResponse},
    retry::RetryAttempts,
};

/// How long the daemon may take to end a stream on which everything is settled. Nothing
/// is lost if it takes longer.
const STREAM_END_TIMEOUT: Duration = Duration::from_secs(2);

/// A batch that was handed over and is not acknowledged.
#[derive(Debug)]
pub(super) struct PendingBatch<T> {
    pub(super) sequence: u64,
    /// The whole `StreamRequest`.
    pub(super) encoded: Bytes,
    pub(super) tag: T,
    pub(super) events: usize,
    pub(super) handed_over: Instant,
    /// Frees its share of the window when the batch is settled.
    pub(super) _permit: super::window::WindowPermit,
}

type OnSettled<T> = Box<dyn FnMut(Settled<'_, T>) + Send>;

/// See the module.
pub(super) struct StreamDriver<T> {
    client: Client,
    options: StreamOptions,
    incoming: mpsc::Receiver<PendingBatch<T>>,
    /// In order of sequence, without gaps.
    unacked: VecDeque<PendingBatch<T>>,
    totals: Totals<T>,
    attempts: RetryAttempts,
    on_settled: OnSettled<T>,
    /// The sequence up to which everything is settled.
    settled: watch::Sender<u64>,
}

/// How one stream ended.
enum StreamEnd {
    /// Everything is settled and no more batches will come.
    Complete,
    /// There is more to send. `None`: the daemon closed the stream without an error.
    Lost(Option<Status>),
}

impl<T: Clone + fmt::Debug> StreamDriver<T> {
    pub(super) fn new(
        client: Client,
        options: StreamOptions,
        incoming: mpsc::Receiver<PendingBatch<T>>,
        on_settled: OnSettled<T>,
        settled: watch::Sender<u64>,
    ) -> Self {
        Self {
            attempts: client.retry.start(),
            client,
            options,
            incoming,
            unacked: VecDeque::new(),
            totals: Totals::default(),
            on_settled,
            settled,
        }
    }

    /// Runs until everything is settled or the retry policy gives up. Unsettled batches
    /// keep their share of the window until the driver is dropped.
    pub(super) async fn run(&mut self) -> Result<Totals<T>, Box<Undelivered<T>>> {
        let delivered = self.deliver().await;
        let settled = std::mem::take(&mut self.totals);
        let Err(source) = delivered else {
            return Ok(settled);
        };
        self.incoming.close();
        while let Some(batch) = self.incoming.recv().await {
            self.unacked.push_back(batch);
        }
        Err(Box::new(Undelivered {
            settled,
            unsettled_events: self.unacked.iter().map(|batch| batch.events as u64).sum(),
            source,
        }))
    }

    async fn deliver(&mut self) -> Result<(), ClientError> {
        while self.has_work().await {
            let status = match self.one_stream().await? {
                StreamEnd::Complete => return Ok(()),
                StreamEnd::Lost(status) => status,
            };
            let decision = status
                .as_ref()
                .map_or(RetryDecision::Retry(None), decide_retry);
            let delay = match decision {
                RetryDecision::Retry(asked) => self.attempts.next_delay(asked),
                RetryDecision::GiveUp => None,
            };
            match (delay, status) {
                (Some(delay), status) => {
                    if let Some(status) = status {
                        let outages = &self.client.outages;
                        outages.report(&mut self.attempts, || status.into());
                    }
                    sleep(delay).await;
                }
                (None, Some(status)) => return Err(status.into()),
                (None, None) => return Err(self.stalled()),
            }
        }
        Ok(())
    }

    /// Waits for a batch if there is none. False if none will come.
    async fn has_work(&mut self) -> bool {
        if self.unacked.is_empty() {
            match self.incoming.recv().await {
                Some(batch) => self.accept(batch),
                None => return false,
            }
        }
        true
    }

    fn accept(&mut self, batch: PendingBatch<T>) {
        if self.unacked.is_empty() {
            // Idle time does not count against the retry deadline.
            self.attempts.succeeded();
        }
        self.unacked.push_back(batch);
    }

    /// Opens a stream, sends the unacknowledged and the new batches, and processes acks.
    async fn one_stream(&mut self) -> Result<StreamEnd, ClientError> {
        // It holds unacknowledged batches only, so it is never full.
        let (outgoing, requests) =
            mpsc::channel(self.options.max_batches_in_flight.max(1) as usize);
        for batch in &self.unacked {
            let _ = outgoing.try_send(batch.encoded.clone());
        }
        let opened = open(&self.client, requests);
        let mut acks = match timeout_at(self.attempts.deadline(), opened).await {
            Ok(Ok(acks)) => acks,
            Ok(Err(status)) => return Ok(StreamEnd::Lost(Some(status))),
            Err(_) => return Err(self.stalled()),
        };
        let mut outgoing = Some(outgoing);
        loop {
            if outgoing.is_none() && self.unacked.is_empty() {
                let _ = timeout(STREAM_END_TIMEOUT, acks.message()).await;
                return Ok(StreamEnd::Complete);
            }
            tokio::select! {
                ack = acks.message() => match ack {
                    Ok(Some(ack)) => self.settle(ack)?,
                    Ok(None) => return Ok(StreamEnd::Lost(None)),
                    Err(status) => return Ok(StreamEnd::Lost(Some(status))),
                },
                batch = next_batch(&mut self.incoming, outgoing.is_some()) => match batch {
                    Some(batch) => {
                        if let Some(outgoing) = &outgoing {
                            // If the stream is gone, `acks` is about to report it.
                            let _ = outgoing.try_send(batch.encoded.clone());
                        }
                        self.accept(batch);
                    }
                    None => outgoing = None,
                },
                () = sleep_until(self.attempts.deadline()), if !self.unacked.is_empty() => {
                    return Err(self.stalled());
                }
            }
        }
    }

    /// Processes an ack.
    fn settle(&mut self, ack: StreamResponse) -> Result<(), ClientError> {
        let covered = self.covered(ack.settled_sequence)?;
        let durability = ack.durability();
        let outcome = ack.outcome.unwrap_or_default();
        self.totals.add(&outcome);
        for refusal in outcome.refused {
            self.refuse(refusal, covered)?;
        }
        for batch in self.unacked.drain(..covered) {
            (self.on_settled)(Settled {
                tag: &batch.tag,
                events: batch.events,
                waited: batch.handed_over.elapsed(),
                durability,
            });
        }
        if covered > 0 {
            self.settled.send_replace(ack.settled_sequence);
        }
        self.attempts.succeeded();
        Ok(())
    }

    /// How many unacknowledged batches an ack up to `settled` covers.
    fn covered(&self, settled: u64) -> Result<usize, ClientError> {
        let covered = match self.unacked.front() {
            Some(first) => settled.saturating_add(1).saturating_sub(first.sequence),
            None => 0,
        };
        usize::try_from(covered)
            .ok()
            .filter(|covered| *covered <= self.unacked.len())
            .ok_or_else(|| {
                ClientError::Protocol(format!(
                    "it acknowledged batch {settled}, which was not sent"
                ))
            })
    }

    fn refuse(&mut self, refusal: Refusal, covered: usize) -> Result<(), ClientError> {
        let first = self.unacked.front().map_or(0, |batch| batch.sequence);
        let batch = refusal
            .sequence
            .checked_sub(first)
            .and_then(|place| usize::try_from(place).ok())
            .filter(|place| *place < covered)
            .and_then(|place| self.unacked.get(place))
            .filter(|batch| (refusal.index as usize) < batch.events)
            .ok_or_else(|| {
                ClientError::Protocol(format!("it refused an unknown event: {refusal:?}"))
            })?;
        let code = refusal.code();
        self.totals
            .add_refused(self.options.max_refused_kept, || Refused {
                tag: batch.tag.clone(),
                index: refusal.index,
                code,
                reason: refusal.reason,
            });
        Ok(())
    }

    fn stalled(&self) -> ClientError {
        ClientError::Stalled(self.client.retry.give_up_after)
    }
}

async fn open(
    client: &Client,
    requests: mpsc::Receiver<Bytes>,
) -> Result<Streaming<StreamResponse>, Status> {
    let mut grpc = Grpc::new(client.channel.clone()).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(not_connected)?;
    let request = client.credentials.sign(ReceiverStream::new(requests));
    let path = PathAndQuery::from_static(STREAM_PATH);
    let response = grpc
        .streaming(request, path, EncodedCodec::default())
        .await?;
    Ok(response.into_inner())
}

/// The next batch; never returns once the channel is closed.
async fn next_batch<T>(incoming: &mut mpsc::Receiver<T>, open: bool) -> Option<T> {
    if open {
        incoming.recv().await
    } else {
        pending().await
    }
}
