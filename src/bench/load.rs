//! The load: streams of requests that are encoded already, sent by the client that
//! agents use, and their acks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};

use super::workload::Request;
use crate::client::{Client, ClientError, RetryPolicy, StreamOptions, StreamSender};

/// Requests of a stream that may wait for their acks under full load: enough that the
/// daemon's own bounds are what holds the client back.
const IN_FLIGHT: u32 = 256;

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

/// Delivers each stream over a connection of its own. Where one breaks it goes on as
/// the client does, until `retry` gives up.
///
/// # Errors
/// When anything is refused or given up: then there is nothing to measure.
pub async fn deliver(
    endpoint: &str,
    streams: &[Vec<Request>],
    pace: Pace,
    retry: RetryPolicy,
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> anyhow::Result<Delivery> {
    let mut clients = Vec::new();
    for _ in streams {
        clients.push(Client::connect(endpoint, retry).await?);
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    let count = u32::try_from(streams.len())?;
    for ((number, client), requests) in (0..).zip(clients).zip(streams) {
        let schedule = match pace {
            Pace::Full => Schedule::Full,
            // Streams take turns.
            Pace::Every(interval) => Schedule::From(begin + interval * number / count, interval),
        };
        let (requests, progress) = (requests.clone(), progress.clone());
        tasks.spawn(one_stream(client, requests, schedule, progress));
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
    client: Client,
    requests: Vec<Request>,
    schedule: Schedule,
    progress: impl Fn(u64) + Send + 'static,
) -> anyhow::Result<Delivery> {
    let options = StreamOptions {
        max_batches_in_flight: match schedule {
            Schedule::Full => IN_FLIGHT,
            // The schedule waits for nobody.
            Schedule::From(..) => u32::try_from(requests.len())?,
        },
        max_bytes_in_flight: u32::MAX,
        ..StreamOptions::default()
    };
    let acks: Arc<Mutex<Vec<Ack>>> = Arc::default();
    let (taken, count) = (acks.clone(), requests.len());
    let sender = client.stream_observed(options, move |settled| {
        let ack = Ack {
            from: *settled.tag,
            at: Instant::now(),
            events: settled.events as u64,
        };
        progress(ack.events);
        taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ack);
    });
    let runtime = Handle::current();
    let sender = spawn_blocking(move || feed(sender, requests, schedule, &runtime)).await?;
    let totals = sender.finish().await?;
    ensure!(
        totals.refused_count == 0,
        "refused: {:?}",
        totals.refused.first()
    );
    let acks = std::mem::take(&mut *acks.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(acks.len() == count, "{} acks of {count}", acks.len());
    Ok(Delivery {
        committed: totals.committed,
        duplicate: totals.duplicate,
        acks,
        took: Duration::ZERO,
    })
}

/// On a thread of its own, whose sleep is exact to some 50 µs; that of the
/// runtime is not.
fn feed(
    mut sender: StreamSender<Instant>,
    requests: Vec<Request>,
    schedule: Schedule,
    runtime: &Handle,
) -> StreamSender<Instant> {
    for (number, request) in (0..).zip(requests) {
        let from = match schedule {
            Schedule::Full => Instant::now(),
            Schedule::From(begin, interval) => {
                let due = begin + interval * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due
            }
        };
        let sent = sender.send_encoded(request.encoded, request.events as usize, from);
        if let Err(ClientError::Ended) = runtime.block_on(sent) {
            // `finish` says why.
            break;
        }
    }
    sender
}
