//! One open stream: a reader that admits batches in order, and an acker that
//! answers them in the same order, so that no ack overtakes a hole.
//!
//! Between them is a bounded queue. A client that does not read its acks fills
//! it, the reader stops, and HTTP/2 flow control holds the client back.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::codec::MAX_EVENTS_PER_MESSAGE;
use super::handler::NativeIngest;
use super::outcome::{durability, encode_outcome, least_durability, no_message};
use super::receive::Messages;
use crate::auth::{Denied, Identity};
use crate::ingest::settle::Unsettled;
use crate::pipeline::{BatchOutcome, DroppedUnsettled, Durability, Ticket};
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

/// The acks of a stream.
pub(super) type Acks = Pin<Box<dyn Stream<Item = Result<StreamResponse, Status>> + Send>>;

/// What the reader hands to the acker.
enum Admitted {
    Batch(u64, Ticket, UnackedShare),
    /// The last word, after which the stream ends.
    End(Status),
}

/// What a batch takes until the transport has its ack.
struct UnackedShare {
    _events: OwnedSemaphorePermit,
    /// Where there are refusals.
    _refusals: Option<OwnedSemaphorePermit>,
}

pub(super) fn serve_stream(ingest: NativeIngest, identity: Identity, messages: Messages) -> Acks {
    // Boxed: a channel has room for 32 of what it carries from the first moment,
    // and most streams are idle most of the time.
    let (admitted, waiting) = mpsc::channel(ingest.limits.batches_in_flight.max(1));
    let (acks, responses) = mpsc::channel(ACKS_WAITING);
    let timeout = ingest.limits.ack_timeout;
    let queue = Arc::new(Mutex::new(responses));
    let unread = Arc::new(AtomicBool::new(false));
    // Weak, so that a client that goes away is noticed by all who answer it.
    let (given_up, told) = (Arc::downgrade(&queue), unread.clone());
    ingest.tasks.spawn(async move {
        if !ack(waiting, acks, timeout).await {
            told.store(true, Relaxed);
            // The transport keeps its half of the stream for as long as the client
            // likes: not what waits in it.
            if let Some(queue) = given_up.upgrade() {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.close();
                while queue.try_recv().is_ok() {}
            }
        }
    });
    let tasks = ingest.tasks.clone();
    let gone = CancellationToken::new();
    let listening = gone.clone().drop_guard();
    tasks.spawn(read(ingest, identity, messages, admitted, gone));
    let next = move |cx: &mut Context<'_>| {
        // DroppedUnsettled with the client's half of the connection.
        let _ = &listening;
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .poll_recv(cx)
    };
    Box::pin(AckStream {
        next,
        unread: Some(unread),
    })
}

/// The answers of a stream. Its end must not look like a good one where some
/// were not taken.
struct AckStream<F> {
    next: F,
    unread: Option<Arc<AtomicBool>>,
}

impl<F> Stream for AckStream<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Box<Ack>>> + Unpin,
{
    type Item = Result<StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.unread.is_none() {
            return Poll::Ready(None);
        }
        match ready!((self.next)(cx)) {
            Some(ack) => Poll::Ready(Some(ack.answer)),
            None => {
                let unread = self
                    .unread
                    .take()
                    .is_some_and(|unread| unread.load(Relaxed));
                Poll::Ready(unread.then(|| Err(Unsettled::Unread.into())))
            }
        }
    }
}

/// An answer on its way, and what is kept for it.
struct Ack {
    answer: Result<StreamResponse, Status>,
    _rooms: Vec<UnackedShare>,
}

impl Ack {
    fn last(status: Status) -> Box<Self> {
        Box::new(Self {
            answer: Err(status),
            _rooms: Vec::new(),
        })
    }
}

/// Admits batches until the client is done, errs, or loses its key, or the daemon
/// drains.
async fn read(
    ingest: NativeIngest,
    identity: Identity,
    mut messages: Messages,
    admitted: mpsc::Sender<Box<Admitted>>,
    gone: CancellationToken,
) {
    let mut expected = None;
    let room = Arc::new(Semaphore::new(EVENTS_IN_FLIGHT));
    let end = loop {
        // Who has sent too much is held back by not being read from, before it has
        // a part of what all share. Nor is it noticed then that it has gone.
        let next = async {
            tokio::select! {
                () = identity.wait_for_quota() => messages.next().await,
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
            && let Err(full) = messages.will_be_committed(&mut share).await
        {
            break Some(full.into());
        }
        let events = u32::try_from(request.events.len()).unwrap_or(u32::MAX);
        let admission = async {
            let events = room.clone().acquire_many_owned(events).await;
            let events = events.map_err(|_| Unsettled::ShuttingDown)?;
            let batch = ingest.decode(request.events, &identity);
            let refusals = ingest.receive.refusals(batch.refused.len()).await?;
            let _held_back = (least == Durability::Spooled).then(|| ingest.receive.hold_back());
            let ticket = ingest.pipeline.admit(batch, least).await;
            let ticket = ticket.map_err(|DroppedUnsettled| Unsettled::ShuttingDown)?;
            let room = UnackedShare {
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
        let batch = Box::new(Admitted::Batch(sequence, ticket, room));
        if admitted.send(batch).await.is_err() {
            return;
        }
    };
    if let Some(status) = end {
        // If the acker is gone, so is the client.
        let _ = admitted.send(Box::new(Admitted::End(status))).await;
    }
}

/// Answers batches in order, several at once where several are settled. False if
/// the client does not take its answers.
async fn ack(
    mut waiting: mpsc::Receiver<Box<Admitted>>,
    acks: mpsc::Sender<Box<Ack>>,
    timeout: Duration,
) -> bool {
    let mut carried = None;
    loop {
        let next = match carried.take() {
            Some(next) => next,
            None => match waiting.recv().await {
                Some(next) => next,
                None => return true,
            },
        };
        let (sequence, mut ticket, room) = match *next {
            Admitted::Batch(sequence, ticket, room) => (sequence, ticket, room),
            Admitted::End(status) => {
                return taken(acks.send_timeout(Ack::last(status), timeout).await);
            }
        };
        let Ok(outcome) = ticket.settled().await else {
            let last = Ack::last(Unsettled::ShuttingDown.into());
            return taken(acks.send_timeout(last, timeout).await);
        };
        let mut rooms = vec![room];
        let mut response = response(sequence, outcome);
        carried = gather_settled(&mut waiting, &mut response, &mut rooms);
        let ack = Box::new(Ack {
            answer: Ok(response),
            _rooms: rooms,
        });
        if let Err(error) = acks.send_timeout(ack, timeout).await {
            // What the client sent is settled all the same.
            return taken(Err(error));
        }
    }
}

/// Whether an answer was taken, or nobody is there to take it.
fn taken<T>(sent: Result<(), SendTimeoutError<T>>) -> bool {
    !matches!(sent, Err(SendTimeoutError::Timeout(_)))
}

/// Adds the batches that are settled already; returns the first that is not.
fn gather_settled(
    waiting: &mut mpsc::Receiver<Box<Admitted>>,
    response: &mut StreamResponse,
    rooms: &mut Vec<UnackedShare>,
) -> Option<Box<Admitted>> {
    loop {
        if response
            .outcome
            .as_ref()
            .is_some_and(|o| o.refused.len() >= REFUSALS_PER_ACK)
        {
            return None;
        }
        match *waiting.try_recv().ok()? {
            Admitted::Batch(sequence, mut ticket, room) => match ticket.try_settled() {
                Some(Ok(outcome)) => {
                    merge(response, self::response(sequence, outcome));
                    rooms.push(room);
                }
                Some(Err(DroppedUnsettled)) => {
                    let end = Admitted::End(Unsettled::ShuttingDown.into());
                    return Some(Box::new(end));
                }
                None => return Some(Box::new(Admitted::Batch(sequence, ticket, room))),
            },
            end @ Admitted::End(_) => return Some(Box::new(end)),
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
