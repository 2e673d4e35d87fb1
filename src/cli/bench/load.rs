//! The load: streams of requests that are encoded already, and their acks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use super::workload::Request;
use crate::client::codec::{EncodedCodec, STREAM_PATH};
use crate::proto::StreamResponse;

/// Requests that wait for HTTP/2 to take them.
const WAITING: usize = 4;
const WINDOW_BYTES: u32 = 1 << 20;

/// A request that is settled.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// When it was handed over, or when it was due.
    pub from: Instant,
    /// When its ack came.
    pub at: Instant,
    /// How many events it held.
    pub events: u64,
}

/// What became of a delivery.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Events that made or changed a row.
    pub committed: u64,
    /// Events that were there already.
    pub duplicate: u64,
    /// Every request.
    pub acks: Vec<Ack>,
    /// From the first request to the last ack.
    pub took: Duration,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as they are taken.
    Full,
    /// One after each such time on every stream, whatever became of those
    /// before it; waits count from when a request was due (Tene: coordinated
    /// omission).
    Every(Duration),
}

/// So many connections, with room for a large request on its way.
///
/// # Errors
/// When the daemon does not answer.
pub(super) async fn connect(endpoint: &str, count: usize) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..count {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        channels.push(endpoint.connect().await?);
    }
    Ok(channels)
}

/// Delivers each stream over a connection of its own.
///
/// # Errors
/// When anything is refused or breaks: then there is nothing to measure.
pub async fn deliver(
    endpoint: &str,
    streams: &[Vec<Request>],
    pace: Pace,
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> anyhow::Result<Delivery> {
    let channels = connect(endpoint, streams.len()).await?;
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    let count = u32::try_from(streams.len())?;
    for ((number, channel), requests) in (0..).zip(channels).zip(streams) {
        let pace = match pace {
            Pace::Full => Schedule::Full,
            // Streams take turns.
            Pace::Every(interval) => Schedule::From(begin + interval * number / count, interval),
        };
        tasks.spawn(one_stream(
            channel,
            requests.clone(),
            pace,
            progress.clone(),
        ));
    }
    let mut sum = Delivery::default();
    while let Some(done) = tasks.join_next().await {
        let delivery = done??;
        sum.committed += delivery.committed;
        sum.duplicate += delivery.duplicate;
        sum.acks.extend(delivery.acks);
    }
    let last = sum.acks.iter().map(|ack| ack.at).max();
    sum.took = last.context("nothing was sent")? - begin;
    Ok(sum)
}

#[derive(Clone, Copy)]
enum Schedule {
    Full,
    From(Instant, Duration),
}

async fn one_stream(
    channel: Channel,
    requests: Vec<Request>,
    schedule: Schedule,
    progress: impl Fn(u64) + Send,
) -> anyhow::Result<Delivery> {
    let room = match schedule {
        Schedule::Full => WAITING,
        // The schedule waits for nobody.
        Schedule::From(..) => requests.len().max(1),
    };
    let (outgoing, incoming) = mpsc::channel(room);
    let sent: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let events: Vec<u64> = requests.iter().map(|request| request.events).collect();
    let feeder = std::thread::Builder::new().name("load".into());
    let times = Arc::clone(&sent);
    feeder.spawn(move || feed(requests, &outgoing, schedule, &times))?;

    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let requests = tonic::Request::new(ReceiverStream::new(incoming));
    let path = PathAndQuery::from_static(STREAM_PATH);
    let codec = EncodedCodec::<StreamResponse>::new();
    let mut responses = grpc.streaming(requests, path, codec).await?.into_inner();
    let mut delivery = Delivery::default();
    while let Some(response) = responses.message().await? {
        let at = Instant::now();
        let outcome = response.outcome.context("an ack without an outcome")?;
        ensure!(
            outcome.refused.is_empty(),
            "refused: {:?}",
            outcome.refused.first()
        );
        delivery.committed += outcome.committed;
        delivery.duplicate += outcome.duplicate;
        let settled = usize::try_from(response.settled_sequence)?;
        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        let before = delivery.acks.len();
        for (number, &events) in events.iter().enumerate().take(settled).skip(before) {
            delivery.acks.push(Ack {
                from: *sent.get(number).context("an ack for what was not sent")?,
                at,
                events,
            });
            progress(events);
        }
    }
    ensure!(
        delivery.acks.len() == events.len(),
        "the stream ended before its last ack"
    );
    Ok(delivery)
}

/// On a thread of its own, whose sleep is exact to some 50 µs; that of the
/// runtime is not.
fn feed(
    requests: Vec<Request>,
    outgoing: &mpsc::Sender<Bytes>,
    schedule: Schedule,
    times: &Mutex<Vec<Instant>>,
) {
    for (number, request) in (0..).zip(requests) {
        let from = match schedule {
            Schedule::Full => Instant::now(),
            Schedule::From(begin, interval) => {
                let due = begin + interval * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due
            }
        };
        times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(from);
        // The other end says why it is gone.
        if outgoing.blocking_send(request.encoded).is_err() {
            return;
        }
    }
}
