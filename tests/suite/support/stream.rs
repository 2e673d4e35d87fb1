//! Streams: many at once, and one by hand.

use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{Durability, Event, Outcome, StreamRequest, StreamResponse};
use runtraced_client::{Client, StreamOptions};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// Sends each lane's batches over a stream of its own, all at once, lane by
/// lane to another client. Returns how many events were committed and how many
/// were duplicates; none may be refused.
pub async fn deliver(clients: &[Client], lanes: Vec<Vec<Vec<Event>>>) -> (u64, u64) {
    let mut senders = Vec::new();
    for (number, lane) in lanes.into_iter().enumerate() {
        let client = clients[number % clients.len()].clone();
        senders.push(tokio::spawn(async move {
            let mut stream = client.stream(StreamOptions::default());
            for (number, batch) in lane.into_iter().enumerate() {
                stream.send(batch, number).await.unwrap();
            }
            stream.finish().await.unwrap()
        }));
    }
    let mut sums = (0, 0);
    for sender in senders {
        let totals = sender.await.unwrap();
        assert!(totals.refused.is_empty(), "{:?}", totals.refused);
        sums.0 += totals.committed;
        sums.1 += totals.duplicate;
    }
    sums
}

/// Batches dealt out to so many lanes.
pub fn lanes(batches: Vec<Vec<Event>>, count: usize) -> Vec<Vec<Vec<Event>>> {
    let mut lanes = vec![Vec::new(); count];
    for (number, batch) in batches.into_iter().enumerate() {
        lanes[number % count].push(batch);
    }
    lanes
}

/// A stream without any comfort.
pub struct RawStream {
    requests: mpsc::Sender<StreamRequest>,
    next: u64,
    pub acks: Streaming<StreamResponse>,
}

impl RawStream {
    /// Opens it.
    pub async fn open(url: &str) -> Self {
        Self::with_window(url, 1 << 20).await
    }

    /// The same; the daemon may send so many bytes before acks are read.
    pub async fn with_window(url: &str, window_bytes: u32) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
        let channel = endpoint.initial_stream_window_size(window_bytes);
        let mut client = TraceIngestClient::new(channel.connect().await.unwrap());
        let (requests, receiver) = mpsc::channel(1);
        let response = client.stream(ReceiverStream::new(receiver)).await.unwrap();
        Self {
            requests,
            next: 1,
            acks: response.into_inner(),
        }
    }

    /// Sends a batch with the next sequence, from 1; false if the stream is gone.
    pub async fn send(&mut self, events: Vec<Event>) -> bool {
        let sequence = self.next;
        self.next += 1;
        let request = StreamRequest {
            sequence,
            events,
            ..Default::default()
        };
        self.requests.send(request).await.is_ok()
    }

    /// Waits for the ack that covers all that was sent.
    pub async fn acked(&mut self) {
        while self.acks.message().await.unwrap().unwrap().settled_sequence + 1 < self.next {}
    }
}

/// Checks that acks ascend and are committed; returns the last and the sum.
pub fn sum(acks: &[StreamResponse], before: u64) -> (u64, Outcome) {
    let (mut last, mut sum) = (before, Outcome::default());
    for ack in acks {
        let forward = ack.settled_sequence.wrapping_sub(last);
        assert!((1..1 << 32).contains(&forward), "{acks:?}");
        assert_eq!(ack.durability(), Durability::Committed);
        let outcome = ack.outcome.clone().unwrap();
        for refusal in &outcome.refused {
            let place = refusal.sequence.wrapping_sub(last);
            assert!((1..=forward).contains(&place), "{refusal:?} in {ack:?}");
        }
        sum.committed += outcome.committed;
        sum.duplicate += outcome.duplicate;
        sum.refused.extend(outcome.refused);
        last = ack.settled_sequence;
    }
    (last, sum)
}
