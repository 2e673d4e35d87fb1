//! One open stream: a reader that admits batches in order, and an acker that acks them in
//! the same order, so that an ack never covers an unsettled batch.
//!
//! A bounded queue connects them. If a client does not read its acks, the queue fills up,
//! the reader stops, and HTTP/2 flow control holds the client back.

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
use super::outcome::{durability, encode_outcome, min_durability, undecodable};
use super::receive::Messages;
use crate::auth::{Denied, Identity};
use crate::histograms::{BatchSource, IngestEndpoint};
use crate::ingest::settle::Unsettled;
use crate::ingest::told::{end_refused, end_settled};
use crate::own_spans::{RemoteParent, WorkSpan};
use crate::pipeline::{BatchOutcome, DroppedUnsettled, Durability, Ticket};
use crate::proto::{StreamRequest, StreamResponse};

/// Acks that may wait for the transport.
const MAX_WAITING_ACKS: usize = 4;
/// An ack with this many refusals is sent before it grows further. It stays far below the
/// 4 MiB that gRPC clients accept by default.
const REFUSALS_PER_ACK: usize = 1_000;
/// The largest number of unacked events of one stream. Each of them may become a refusal,
/// which takes memory until the client reads the ack.
const EVENTS_IN_FLIGHT: usize = 1 << 18;
const _: () = assert!(EVENTS_IN_FLIGHT >= MAX_EVENTS_PER_MESSAGE);

/// The acks of a stream.
pub(super) type Acks = Pin<Box<dyn Stream<Item = Result<StreamResponse, Status>> + Send>>;

/// What the reader passes to the acker.
enum Admitted {
    /// The sequence number of a batch, its ticket, its share of the budgets, and its span.
    Batch(u64, Ticket, UnackedShare, WorkSpan),
    /// The status with which the stream ends.
    End(Status),
}

/// A batch's share of the budgets until the transport has its ack.
struct UnackedShare {
    _events: OwnedSemaphorePermit,
    /// `None` if the batch has no refusals yet.
    _refusals: Option<OwnedSemaphorePermit>,
}

pub(super) fn serve_stream(
    ingest: NativeIngest,
    identity: Identity,
    messages: Messages,
    parent: Option<RemoteParent>,
) -> Acks {
    // The channels carry boxes: a channel allocates space for 32 items at once, and most
    // streams are idle most of the time.
    let (admitted, waiting) = mpsc::channel(ingest.limits.batches_in_flight.max(1));
    let (acks, responses) = mpsc::channel(MAX_WAITING_ACKS);
    let timeout = ingest.limits.ack_timeout;
    let queue = Arc::new(Mutex::new(responses));
    let timed_out = Arc::new(AtomicBool::new(false));
    // Weak: when the client goes away, the queue must close, so that the acker notices.
    let (weak_queue, acker_timed_out) = (Arc::downgrade(&queue), timed_out.clone());
    ingest.tasks.spawn(async move {
        if !ack(waiting, acks, timeout).await {
            acker_timed_out.store(true, Relaxed);
            // The transport keeps its half of the stream as long as the client keeps the
            // stream open. Free the acks in it now.
            if let Some(queue) = weak_queue.upgrade() {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.close();
                while queue.try_recv().is_ok() {}
            }
        }
    });
    let tasks = ingest.tasks.clone();
    let client_gone = CancellationToken::new();
    let cancel_on_drop = client_gone.clone().drop_guard();
    let client = StreamClient {
        identity,
        messages,
        parent,
        gone: client_gone,
    };
    tasks.spawn(read(ingest, client, admitted));
    let next = move |cx: &mut Context<'_>| {
        // Moved into the closure, so that it is dropped with the client's connection.
        let _ = &cancel_on_drop;
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .poll_recv(cx)
    };
    Box::pin(AckStream {
        next,
        timed_out: Some(timed_out),
    })
}

/// The acks of a stream. The stream ends with an error if the client did not read its acks
/// in time: an end with OK would mean that everything is acked.
struct AckStream<F> {
    next: F,
    /// Whether the acker timed out; `None` after the end.
    timed_out: Option<Arc<AtomicBool>>,
}

impl<F> Stream for AckStream<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Box<PendingAck>>> + Unpin,
{
    type Item = Result<StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.timed_out.is_none() {
            return Poll::Ready(None);
        }
        match ready!((self.next)(cx)) {
            Some(ack) => Poll::Ready(Some(ack.response)),
            None => {
                let timed_out = self.timed_out.take();
                let timed_out = timed_out.is_some_and(|timed_out| timed_out.load(Relaxed));
                Poll::Ready(timed_out.then(|| Err(Unsettled::AckTimeout.into())))
            }
        }
    }
}

/// An ack that waits for the transport, and the shares of its batches.
struct PendingAck {
    response: Result<StreamResponse, Status>,
    _shares: Vec<UnackedShare>,
}

impl PendingAck {
    fn last(status: Status) -> Box<Self> {
        Box::new(Self {
            response: Err(status),
            _shares: Vec::new(),
        })
    }
}

/// The client of a stream.
struct StreamClient {
    identity: Identity,
    messages: Messages,
    /// Its span.
    parent: Option<RemoteParent>,
    /// Cancelled when it goes away.
    gone: CancellationToken,
}

/// Admits batches until the client ends the stream, makes an error or loses its key, or
/// until the daemon drains.
async fn read(ingest: NativeIngest, client: StreamClient, admitted: mpsc::Sender<Box<Admitted>>) {
    let StreamClient {
        identity,
        mut messages,
        parent,
        gone: client_gone,
    } = client;
    let mut expected = None;
    let unacked_events = Arc::new(Semaphore::new(EVENTS_IN_FLIGHT));
    let suspects = ingest.pipeline.suspects();
    let histograms = ingest.pipeline.histograms();
    let end = loop {
        // A key over its limit is held back, and so is a client whose events are being
        // isolated: its next message is not read and takes no share of the budgets. Without
        // a read, only `client_gone` reveals that the client has gone.
        let may_send = async {
            suspects.wait(identity.connection()).await;
            identity.wait_for_quota().await;
        };
        let next = async {
            tokio::select! {
                () = may_send => messages.next().await,
                () = client_gone.cancelled() => Ok(None),
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
            // The client broke off, or the message is invalid.
            Err(status) => break Some(status),
        };
        let source = BatchSource::now(IngestEndpoint::Stream);
        histograms.request(source.endpoint, message.len());
        let mut span = ingest.own_spans.request(source.endpoint, parent);
        span.count("runtraced.bytes", message.len());
        let request = match StreamRequest::decode(message) {
            Ok(request) => request,
            Err(error) => break Some(end_refused(span, undecodable(error))),
        };
        let sequence = request.sequence;
        if let Some(expected) = expected
            && sequence != expected
        {
            let reason = format!("sequence is {sequence}, expected {expected}");
            break Some(end_refused(span, Status::invalid_argument(reason)));
        }
        expected = Some(sequence.wrapping_add(1));
        let min_durability = min_durability(request.least_durability);
        if min_durability == Durability::Committed
            && let Err(full) = messages.take_committed(&mut share).await
        {
            break Some(end_refused(span, full.into()));
        }
        let events = u32::try_from(request.events.len()).unwrap_or(u32::MAX);
        let admission = async {
            let events = unacked_events.clone().acquire_many_owned(events).await;
            let events = events.map_err(|_| Unsettled::ShuttingDown)?;
            span.count("runtraced.events", request.events.len());
            span.lap("wait for acks");
            let mut batch = ingest.decode(request.events, &identity, source);
            batch.request = span.ids();
            span.lap("decode");
            let refusals = ingest.receive.take_refusals(batch.refused.len())?;
            let _held_back =
                (min_durability == Durability::Spooled).then(|| ingest.receive.hold_back());
            let ticket = ingest.pipeline.admit(batch, min_durability).await;
            let ticket = ticket.map_err(|DroppedUnsettled| Unsettled::ShuttingDown)?;
            span.lap("admit");
            let unacked = UnackedShare {
                _events: events,
                _refusals: refusals,
            };
            Ok((ticket, unacked))
        };
        let admission = tokio::select! {
            biased;
            () = ingest.draining.cancelled() => Err(Unsettled::ShuttingDown),
            () = identity.revoked() => break Some(Denied::Unknown.into()),
            admission = admission => admission,
        };
        drop(share);
        let (ticket, unacked) = match admission {
            Ok(admitted) => admitted,
            Err(unsettled) => break Some(end_refused(span, unsettled.into())),
        };
        let batch = Box::new(Admitted::Batch(sequence, ticket, unacked, span));
        if admitted.send(batch).await.is_err() {
            return;
        }
    };
    if let Some(status) = end {
        // This fails only if the acker, and so the client, is gone.
        let _ = admitted.send(Box::new(Admitted::End(status))).await;
    }
}

/// Acks batches in order. One ack covers all batches that are settled by then. Returns
/// false if the client did not read its acks in time.
async fn ack(
    mut waiting: mpsc::Receiver<Box<Admitted>>,
    acks: mpsc::Sender<Box<PendingAck>>,
    timeout: Duration,
) -> bool {
    let mut unsettled = None;
    loop {
        let next = match unsettled.take() {
            Some(next) => next,
            None => match waiting.recv().await {
                Some(next) => next,
                None => return true,
            },
        };
        let (sequence, mut ticket, share, span) = match *next {
            Admitted::Batch(sequence, ticket, share, span) => (sequence, ticket, share, span),
            Admitted::End(status) => {
                return in_time(acks.send_timeout(PendingAck::last(status), timeout).await);
            }
        };
        let Ok(outcome) = ticket.settled().await else {
            let last = PendingAck::last(Unsettled::ShuttingDown.into());
            return in_time(acks.send_timeout(last, timeout).await);
        };
        end_settled(span, &outcome);
        let mut shares = vec![share];
        let mut response = response(sequence, outcome);
        unsettled = gather_settled(&mut waiting, &mut response, &mut shares);
        let ack = Box::new(PendingAck {
            response: Ok(response),
            _shares: shares,
        });
        if let Err(error) = acks.send_timeout(ack, timeout).await {
            // The admitted batches are settled all the same.
            return in_time(Err(error));
        }
    }
}

/// False if sending an ack timed out. A client that is gone does not count as a timeout.
fn in_time<T>(sent: Result<(), SendTimeoutError<T>>) -> bool {
    !matches!(sent, Err(SendTimeoutError::Timeout(_)))
}

/// Adds all batches to `response` that are settled already. Returns the first one that is
/// not.
fn gather_settled(
    waiting: &mut mpsc::Receiver<Box<Admitted>>,
    response: &mut StreamResponse,
    shares: &mut Vec<UnackedShare>,
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
            Admitted::Batch(sequence, mut ticket, share, span) => match ticket.try_settled() {
                Some(Ok(outcome)) => {
                    end_settled(span, &outcome);
                    merge(response, self::response(sequence, outcome));
                    shares.push(share);
                }
                Some(Err(DroppedUnsettled)) => {
                    let end = Admitted::End(Unsettled::ShuttingDown.into());
                    return Some(Box::new(end));
                }
                None => return Some(Box::new(Admitted::Batch(sequence, ticket, share, span))),
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

/// Adds `later` to `response`, which then covers both.
fn merge(response: &mut StreamResponse, later: StreamResponse) {
    response.settled_sequence = later.settled_sequence;
    // Safer durabilities have larger wire values.
    response.durability = response.durability.min(later.durability);
    if let (Some(sum), Some(later)) = (response.outcome.as_mut(), later.outcome) {
        sum.committed += later.committed;
        sum.duplicate += later.duplicate;
        sum.spooled += later.spooled;
        sum.refused.extend(later.refused);
    }
}
