//! Sends workloads over the native protocol, with the Rust client: requests
//! encoded beforehand, and the times of their acks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use runtraced_client::{Client, ClientError, RetryPolicy, StreamOptions, StreamSender};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};

use super::workload::EncodedRequest;

/// Requests in flight per stream under full load. High enough that the daemon's limits,
/// not this one, slow the client down.
const FULL_LOAD_IN_FLIGHT: u32 = 256;

/// The ack of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestAck {
    /// When the wait began: when the request was sent, or at a fixed pace when it was due.
    pub waiting_since: Instant,
    /// When the ack arrived.
    pub acked_at: Instant,
    /// Events in the request.
    pub events: u64,
}

/// The result of delivering a workload once.
#[derive(Clone, Debug, Default)]
pub struct DeliveryResult {
    /// Events that inserted or changed a row.
    pub committed: u64,
    /// Events that were in the database already.
    pub duplicate: u64,
    /// One ack per request.
    pub acks: Vec<RequestAck>,
    /// Time from the first request to the last ack.
    pub took: Duration,
}

/// When a stream sends its requests.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as flow control allows.
    Full,
    /// One request per interval on every stream, without waiting for earlier acks. Waits
    /// count from when a request was due, which avoids coordinated omission (Gil Tene).
    Every(Duration),
}

/// Sends each stream over its own connection. The client reconnects and resends after a
/// failure, within the limits of `retry`.
///
/// # Errors
/// When an event is refused or `retry` gives up; the figures would not be valid.
pub async fn deliver(
    endpoint: &str,
    streams: &[Vec<EncodedRequest>],
    pace: Pace,
    retry: RetryPolicy,
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> anyhow::Result<DeliveryResult> {
    let mut clients = Vec::new();
    for _ in streams {
        clients.push(Client::connect(endpoint, retry).await?);
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    let count = u32::try_from(streams.len())?;
    for ((number, client), requests) in (0..).zip(clients).zip(streams) {
        let schedule = match pace {
            Pace::Full => StreamSchedule::Full,
            // Streams are offset, so that they do not all send at the same instant.
            Pace::Every(interval) => {
                StreamSchedule::From(begin + interval * number / count, interval)
            }
        };
        let (requests, progress) = (requests.clone(), progress.clone());
        tasks.spawn(run_stream(client, requests, schedule, progress));
    }
    let mut result = DeliveryResult::default();
    while let Some(done) = tasks.join_next().await {
        let delivery = done??;
        result.committed += delivery.committed;
        result.duplicate += delivery.duplicate;
        result.acks.extend(delivery.acks);
    }
    let last = result.acks.iter().map(|ack| ack.acked_at).max();
    result.took = last.context("the workload has no requests")? - begin;
    Ok(result)
}

#[derive(Clone, Copy)]
enum StreamSchedule {
    Full,
    /// The first request is due at the instant, each later one an interval after it.
    From(Instant, Duration),
}

async fn run_stream(
    client: Client,
    requests: Vec<EncodedRequest>,
    schedule: StreamSchedule,
    progress: impl Fn(u64) + Send + 'static,
) -> anyhow::Result<DeliveryResult> {
    let options = StreamOptions {
        max_batches_in_flight: match schedule {
            StreamSchedule::Full => FULL_LOAD_IN_FLIGHT,
            // A fixed schedule does not wait for acks, so all requests may be in flight.
            StreamSchedule::From(..) => u32::try_from(requests.len())?,
        },
        max_bytes_in_flight: u32::MAX,
        ..StreamOptions::default()
    };
    let acks: Arc<Mutex<Vec<RequestAck>>> = Arc::default();
    let (recorded, count) = (acks.clone(), requests.len());
    let sender = client.stream_observed(options, move |settled| {
        let ack = RequestAck {
            waiting_since: *settled.tag,
            acked_at: Instant::now(),
            events: settled.events as u64,
        };
        progress(ack.events);
        recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ack);
    });
    let runtime = Handle::current();
    let sender = spawn_blocking(move || feed_stream(sender, requests, schedule, &runtime)).await?;
    let totals = sender.finish().await?;
    ensure!(
        totals.refused_count == 0,
        "the daemon refused {} events; the first: {:?}",
        totals.refused_count,
        totals.refused.first()
    );
    let acks = std::mem::take(&mut *acks.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(
        acks.len() == count,
        "{} acks arrived for {count} requests",
        acks.len()
    );
    Ok(DeliveryResult {
        committed: totals.committed,
        duplicate: totals.duplicate,
        acks,
        took: Duration::ZERO,
    })
}

/// Sends the requests at their times. Runs on its own thread, because a thread's sleep is
/// exact to about 50 µs and a timer of the runtime is not.
fn feed_stream(
    mut sender: StreamSender<Instant>,
    requests: Vec<EncodedRequest>,
    schedule: StreamSchedule,
    runtime: &Handle,
) -> StreamSender<Instant> {
    for (number, request) in (0..).zip(requests) {
        let waiting_since = match schedule {
            StreamSchedule::Full => Instant::now(),
            StreamSchedule::From(begin, interval) => {
                let due = begin + interval * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due
            }
        };
        let sent = sender.send_encoded(request.encoded, request.events as usize, waiting_since);
        if let Err(ClientError::Ended) = runtime.block_on(sent) {
            // `finish` reports the reason.
            break;
        }
    }
    sender
}
