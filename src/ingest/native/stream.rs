//! One open stream: a reader that admits batches in order, and an acker that
//! answers them in the same order, so that no ack overtakes a hole.
//!
//! Between them is a bounded queue. A client that does not read its acks fills
//! it, the reader stops, and HTTP/2 flow control holds the client back.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::codec::MAX_EVENTS_PER_MESSAGE;
use super::service::{NativeIngest, durability, encode_outcome, least_durability};
use crate::ingest::settle::Unsettled;
use crate::pipeline::{BatchOutcome, Dropped, Ticket};
use crate::proto::{StreamRequest, StreamResponse};

/// Acks that wait for the transport to take them.
const ACKS_WAITING: usize = 4;
/// An ack that covers so many refusals is sent before it grows further, to stay
/// far below the 4 MiB that gRPC clients take by default.
const REFUSALS_PER_ACK: usize = 1_000;
/// Events of one stream that are not yet acked: each may become a refusal,
/// which is kept until the client takes its ack.
const EVENTS_IN_FLIGHT: usize = 1 << 18;
const _: () = assert!(EVENTS_IN_FLIGHT >= MAX_EVENTS_PER_MESSAGE);

/// Limits of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Batches admitted and not yet acked.
    pub batches_in_flight: usize,
}

/// What the reader hands to the acker.
enum Admitted {
    Batch(u64, Ticket, OwnedSemaphorePermit),
    /// The last word, after which the stream ends.
    End(Status),
}

pub(super) fn serve_stream(
    ingest: NativeIngest,
    requests: Streaming<StreamRequest>,
) -> Pin<Box<dyn Stream<Item = Result<StreamResponse, Status>> + Send>> {
    let (admitted, waiting) = mpsc::channel(ingest.limits.batches_in_flight.max(1));
    let (acks, responses) = mpsc::channel(ACKS_WAITING);
    ingest.tasks.spawn(ack(waiting, acks));
    let tasks = ingest.tasks.clone();
    tasks.spawn(read(ingest, requests, admitted));
    Box::pin(ReceiverStream::new(responses))
}

/// Admits batches until the client is done, errs, or the daemon drains.
async fn read(
    ingest: NativeIngest,
    mut requests: Streaming<StreamRequest>,
    admitted: mpsc::Sender<Admitted>,
) {
    let mut expected = None;
    let room = Arc::new(Semaphore::new(EVENTS_IN_FLIGHT));
    let end = loop {
        let message = tokio::select! {
            biased;
            () = ingest.draining.cancelled() => break Some(Unsettled::ShuttingDown.into()),
            () = admitted.closed() => return,
            message = requests.message() => message,
        };
        let request = match message {
            Ok(Some(request)) => request,
            // The client has closed its half: settle, ack, and end with OK.
            Ok(None) => break None,
            // It broke off, or sent what is no message; the latter it is told.
            Err(status) => break Some(status),
        };
        let sequence = request.sequence;
        if let Some(expected) = expected
            && sequence != expected
        {
            let reason = format!("sequence {sequence} where {expected} was due");
            break Some(Status::invalid_argument(reason));
        }
        expected = Some(sequence.wrapping_add(1));
        let events = u32::try_from(request.events.len()).unwrap_or(u32::MAX);
        let admission = async {
            let room = room.clone().acquire_many_owned(events).await;
            let least = least_durability(request.least_durability);
            let batch = ingest.decode(request.events);
            Some((ingest.pipeline.admit(batch, least).await.ok()?, room.ok()?))
        };
        let admission = tokio::select! {
            biased;
            () = ingest.draining.cancelled() => None,
            admission = admission => admission,
        };
        let Some((ticket, room)) = admission else {
            break Some(Unsettled::ShuttingDown.into());
        };
        if admitted
            .send(Admitted::Batch(sequence, ticket, room))
            .await
            .is_err()
        {
            return;
        }
    };
    if let Some(status) = end {
        // If the acker is gone, so is the client.
        let _ = admitted.send(Admitted::End(status)).await;
    }
}

/// Answers batches in order, several at once where several are settled.
async fn ack(
    mut waiting: mpsc::Receiver<Admitted>,
    acks: mpsc::Sender<Result<StreamResponse, Status>>,
) {
    let mut carried = None;
    loop {
        let next = match carried.take() {
            Some(next) => next,
            None => match waiting.recv().await {
                Some(next) => next,
                None => return,
            },
        };
        let (sequence, mut ticket, room) = match next {
            Admitted::Batch(sequence, ticket, room) => (sequence, ticket, room),
            Admitted::End(status) => {
                let _ = acks.send(Err(status)).await;
                return;
            }
        };
        let Ok(outcome) = ticket.settled().await else {
            let _ = acks.send(Err(Unsettled::ShuttingDown.into())).await;
            return;
        };
        drop(room);
        let mut response = response(sequence, outcome);
        carried = gather_settled(&mut waiting, &mut response);
        if acks.send(Ok(response)).await.is_err() {
            // The client has gone; what it sent is settled all the same.
            return;
        }
    }
}

/// Adds the batches that are settled already; returns the first that is not.
fn gather_settled(
    waiting: &mut mpsc::Receiver<Admitted>,
    response: &mut StreamResponse,
) -> Option<Admitted> {
    loop {
        if response
            .outcome
            .as_ref()
            .is_some_and(|o| o.refused.len() >= REFUSALS_PER_ACK)
        {
            return None;
        }
        match waiting.try_recv().ok()? {
            Admitted::Batch(sequence, mut ticket, room) => match ticket.try_settled() {
                Some(Ok(outcome)) => merge(response, self::response(sequence, outcome)),
                Some(Err(Dropped)) => return Some(Admitted::End(Unsettled::ShuttingDown.into())),
                None => return Some(Admitted::Batch(sequence, ticket, room)),
            },
            end @ Admitted::End(_) => return Some(end),
        }
    }
}

fn response(sequence: u64, outcome: BatchOutcome) -> StreamResponse {
    StreamResponse {
        settled_sequence: sequence,
        durability: durability(outcome.durability).into(),
        outcome: Some(encode_outcome(outcome, sequence)),
    }
}

/// `later` is added to `response`, which then covers both.
fn merge(response: &mut StreamResponse, later: StreamResponse) {
    response.settled_sequence = later.settled_sequence;
    // The wire values ascend with safety.
    response.durability = response.durability.min(later.durability);
    if let (Some(sum), Some(later)) = (response.outcome.as_mut(), later.outcome) {
        sum.committed += later.committed;
        sum.duplicate += later.duplicate;
        sum.spooled += later.spooled;
        sum.refused.extend(later.refused);
    }
}
