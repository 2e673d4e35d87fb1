//! Server-Sent Events: a live topic as the body of an answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::access::{ReaderKind, WebReader};
use super::error::WebError;
use super::jwt::time_left;
use super::live::{LiveOf, Subscription, Topic};
use super::params::{Params, id};
use super::{Shared, WebState};
use crate::auth::Identity;
use crate::query::ReadAs;

/// A comment after this time without an event, so that nobody on the way closes the
/// connection.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// After this time the client must come again, with a right to read that is still good.
const MAX_STREAM: Duration = Duration::from_secs(3_600);
/// How long a client may take to hear that it must come again.
const FAREWELL: Duration = Duration::from_secs(5);
/// Tells a client that nothing follows.
const END: &[u8] = b"event: end\ndata: {}\n\n";
/// Tells a client to come again.
const RESUME: &[u8] = b"event: resume\ndata: {}\n\n";

/// `GET /api/runs/events`.
pub(super) async fn list_events(
    State(state): Shared,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let mut search = Params::of(head.uri.query())?.run_search()?;
    search.after = None;
    let reader = state.reader(&head)?;
    answer(state, head, reader, LiveOf::List(Box::new(search))).await
}

/// `GET /api/runs/ID/events`.
pub(super) async fn run_events(
    State(state): Shared,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let run = id(&run)?;
    let reader = state.reader(&head)?;
    answer(state, head, reader, LiveOf::Run(run)).await
}

async fn answer(
    state: Arc<WebState>,
    head: Parts,
    reader: WebReader,
    of: LiveOf,
) -> Result<Response, WebError> {
    let place = state.live.place().ok_or(WebError::Busy)?;
    let topic = state.live.topic(of, &reader.read_as).await?;
    let subscription = topic.subscribe(seen(&head, &topic))?;
    let lasts = match (reader.kind, &reader.read_as) {
        (ReaderKind::User, ReadAs::Claims { claims, .. }) => time_left(claims, MAX_STREAM),
        _ => MAX_STREAM,
    };
    // One event at a time: what a client does not read stays in the topic.
    let (to, from) = mpsc::channel(1);
    tokio::spawn(send(state, head, topic, subscription, to, lasts, place));
    let kind = HeaderValue::from_static("text/event-stream");
    let store = HeaderValue::from_static("no-store");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, store)];
    Ok((headers, Body::from_stream(ReceiverStream::new(from))).into_response())
}

/// The version that a client has seen last, if it is one of this topic.
fn seen(head: &Parts, topic: &Topic) -> Option<u64> {
    let id = head.headers.get("last-event-id")?.to_str().ok()?;
    let (number, version) = id.split_once('-')?;
    let same = number == format!("{:x}", topic.number);
    same.then(|| version.parse().ok()).flatten()
}

/// Sends the events of a topic until the client goes, its right to read ends or the daemon
/// stops.
async fn send(
    state: Arc<WebState>,
    head: Parts,
    _topic: Arc<Topic>,
    subscription: Subscription,
    to: mpsc::Sender<Result<Bytes, Infallible>>,
    lasts: Duration,
    _place: OwnedSemaphorePermit,
) {
    let revoked = async {
        match head.extensions.get::<Identity>() {
            Some(identity) => identity.revoked().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = events(subscription, &to) => {}
        () = revoked => {}
        () = sleep(lasts) => {
            let _ = timeout(FAREWELL, to.send(Ok(Bytes::from_static(RESUME)))).await;
        }
        () = to.closed() => {}
        () = state.stop.cancelled() => {}
    }
}

async fn events(subscription: Subscription, to: &mpsc::Sender<Result<Bytes, Infallible>>) {
    let Subscription {
        first,
        mut from,
        ended,
    } = subscription;
    let had_end = first.iter().any(|event| event.kind == "end");
    for event in first {
        if to.send(Ok(event.frame)).await.is_err() {
            return;
        }
    }
    if ended {
        if !had_end {
            let _ = to.send(Ok(Bytes::from_static(END))).await;
        }
        return;
    }
    loop {
        let next = match timeout(KEEPALIVE, from.recv()).await {
            Err(_) => Bytes::from_static(b":\n\n"),
            Ok(Ok(event)) => {
                let sent = to.send(Ok(event.frame)).await;
                if event.kind == "end" || sent.is_err() {
                    return;
                }
                continue;
            }
            // Too slow, or the topic has no memory.
            Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => {
                let _ = to.send(Ok(Bytes::from_static(RESUME))).await;
                return;
            }
        };
        if to.send(Ok(next)).await.is_err() {
            return;
        }
    }
}
