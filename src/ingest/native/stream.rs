//! One open stream: a reader that admits batches in order, and an acker that
//! answers them in the same order, so that no ack overtakes a hole.
//!
//! Between them is a bounded queue. A client that does not read its acks fills
//! it, the reader stops, and HTTP/2 flow control holds the client back.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::codec::MAX_EVENTS_PER_MESSAGE;
use super::receive::Messages;
use super::service::{
    Acks, NativeIngest, durability, encode_outcome, least_durability, no_message,
};
use crate::ingest::auth::{Denied, Identity};
use crate::ingest::settle::Unsettled;
use crate::pipeline::{BatchOutcome, Dropped, Durability, Ticket};
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
    /// A client that takes no ack for so long is given up.
    pub ack_timeout: Duration,
}

/// What the reader hands to the acker.
enum Admitted {
    Batch(u64, Ticket, Room),
    /// The last word, after which the stream ends.
    End(Status),
}

/// What a batch takes until its ack is on its way.
struct Room {
    _events: OwnedSemaphorePermit,
    /// Where there are refusals.
    _refusals: Option<OwnedSemaphorePermit>,
}

pub(super) fn serve_stream(ingest: NativeIngest, identity: Identity, messages: Messages) -> Acks {
    let (admitted, waiting) = mpsc::channel(ingest.limits.batches_in_flight.max(1));
    let (acks, responses) = mpsc::channel(ACKS_WAITING);
    let patience = ingest.limits.ack_timeout;
    ingest.tasks.spawn(ack(waiting, acks, patience));
    let tasks = ingest.tasks.clone();
    let gone = CancellationToken::new();
    let listening = gone.clone().drop_guard();
    tasks.spawn(read(ingest, identity, messages, admitted, gone));
    Box::pin(ReceiverStream::new(responses).map(move |ack| {
        // Dropped with the client's half of the connection.
        let _ = &listening;
        ack
    }))
}

/// Admits batches until the client is done, errs, or loses its key, or the daemon
/// drains.
async fn read(
    ingest: NativeIngest,
    identity: Identity,
    mut messages: Messages,
    admitted: mpsc::Sender<Admitted>,
    gone: CancellationToken,
) {
    let mut expected = None;
    let room = Arc::new(Semaphore::new(EVENTS_IN_FLIGHT));
    let end = loop {
        // Who has sent too much is held back by not being read from, before it has
        // a part of what all share. Nor is it noticed then that it has gone.
        let next = async {
            tokio::select! {
                () = identity.until_may_send() => messages.next().await,
                () = gone.cancelled() => Ok(None),
            }
        };
        let message = tokio::select! {
            biased;
            () = ingest.draining.cancelled() => break Some(Unsettled::ShuttingDown.into()),
            () = identity.revoked() => break Some(Denied::Unknown.into()),
            () = admitted.closed() => return,
            message = next => message,
        };
        let (message, mut share) = match message {
            Ok(Some(message)) => message,
            // The client has closed its half: settle, ack, and end with OK.
            Ok(None) => break None,
            // It broke off, or sent what is no message; the latter it is told.
            Err(status) => break Some(status),
        };
        let len = message.len();
        let request = match StreamRequest::decode(message) {
            Ok(request) => request,
            Err(error) => break Some(no_message(error)),
        };
        let sequence = request.sequence;
        if let Some(expected) = expected
            && sequence != expected
        {
            let reason = format!("sequence {sequence} where {expected} was due");
            break Some(Status::invalid_argument(reason));
        }
        expected = Some(sequence.wrapping_add(1));
        let least = least_durability(request.least_durability);
        if least == Durability::Committed
            && let Err(full) = messages.will_be_committed(len, &mut share).await
        {
            break Some(full.into());
        }
        let events = u32::try_from(request.events.len()).unwrap_or(u32::MAX);
        let admission = async {
            let _held_back = ingest.receive.hold_back();
            let events = room.clone().acquire_many_owned(events).await;
            let events = events.map_err(|_| Unsettled::ShuttingDown)?;
            let batch = ingest.decode(request.events, &identity);
            let refusals = ingest.receive.refusals(batch.refused.len()).await?;
            let ticket = ingest.pipeline.admit(batch, least).await;
            let ticket = ticket.map_err(|Dropped| Unsettled::ShuttingDown)?;
            let room = Room {
                _events: events,
                _refusals: refusals,
            };
            Ok((ticket, room))
        };
        let admission = tokio::select! {
            biased;
            () = ingest.draining.cancelled() => Err(Unsettled::ShuttingDown),
            () = identity.revoked() => break Some(Denied::Unknown.into()),
            admission = admission => admission,
        };
        drop(share);
        let (ticket, room) = match admission {
            Ok(admitted) => admitted,
            Err(unsettled) => break Some(unsettled.into()),
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
    patience: Duration,
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
                let _ = acks.send_timeout(Err(status), patience).await;
                return;
            }
        };
        let Ok(outcome) = ticket.settled().await else {
            let last = Err(Unsettled::ShuttingDown.into());
            let _ = acks.send_timeout(last, patience).await;
            return;
        };
        let mut rooms = vec![room];
        let mut response = response(sequence, outcome);
        carried = gather_settled(&mut waiting, &mut response, &mut rooms);
        if acks.send_timeout(Ok(response), patience).await.is_err() {
            // The client has gone, or does not read; what it sent is settled all
            // the same.
            return;
        }
        drop(rooms);
    }
}

/// Adds the batches that are settled already; returns the first that is not.
fn gather_settled(
    waiting: &mut mpsc::Receiver<Admitted>,
    response: &mut StreamResponse,
    rooms: &mut Vec<Room>,
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
                Some(Ok(outcome)) => {
                    merge(response, self::response(sequence, outcome));
                    rooms.push(room);
                }
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
