//! A flood of invalid keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use runtraced::client::Client;
use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use tonic::{Code, Request};

use super::{client, with_key};
use crate::support::events::{new_id, steps};
use crate::support::wire::channel;

const FLOODERS: usize = 4;
const CALLS_AT_ONCE: usize = 4;
const PHASE: Duration = Duration::from_secs(3);

/// Events a second that become durable over a few calls at once.
async fn throughput(client: &Client) -> f64 {
    let begin = Instant::now();
    let sends: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while begin.elapsed() < PHASE {
                    let events = steps(new_id(), 200);
                    count += client
                        .submit(events)
                        .await
                        .unwrap()
                        .outcome
                        .unwrap()
                        .committed;
                }
                count
            })
        })
        .collect();
    let mut events = 0;
    for send in sends {
        events += send.await.unwrap();
    }
    events as f64 / begin.elapsed().as_secs_f64()
}

/// Scenario: a valid key sends as fast as it can, alone, then while 16 callers on four connections ask with invalid
/// keys without a pause, then alone again.
/// Guarantees: the flood brings the valid key's throughput nowhere near below half of what it had; every call
/// of the flood is refused, and none reaches the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_invalid_keys_leaves_valid_ones_more_than_half() {
    let (_database, daemon, key) = with_key(&["--require-keys"], &[]).await;
    let valid = client(&daemon, &key).await;
    throughput(&valid).await;
    let before = throughput(&valid).await;
    let (stop, flooded) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut flood = Vec::new();
    let mut channels = Vec::new();
    for _ in 0..FLOODERS {
        channels.push(channel(daemon.grpc_url()).await);
    }
    for flooder in 0..FLOODERS * CALLS_AT_ONCE {
        let mut client = TraceIngestClient::new(channels[flooder % FLOODERS].clone());
        let (stop, flooded) = (stop.clone(), flooded.clone());
        let id = if flooder % 2 == 0 { key.id } else { new_id() };
        flood.push(tokio::spawn(async move {
            for secret in 0_u64.. {
                if stop.load(Relaxed) {
                    return;
                }
                let mut request = Request::new(SubmitRequest::default());
                let bearer = format!("Bearer rt_{}_{secret:064x}", id.simple());
                request
                    .metadata_mut()
                    .insert("authorization", bearer.parse().unwrap());
                let status = client.submit(request).await.unwrap_err();
                assert_eq!(status.code(), Code::Unauthenticated);
                flooded.fetch_add(1, Relaxed);
            }
        }));
    }
    let during = throughput(&valid).await;
    stop.store(true, Relaxed);
    for task in flood {
        task.await.unwrap();
    }
    let after = throughput(&valid).await;
    let flooded = flooded.load(Relaxed);
    println!("{before:.0} events/s, {during:.0} beside {flooded} invalid calls, {after:.0}");
    assert!(flooded > 500, "{flooded}");
    let alone = (before + after) / 2.0;
    assert!(during > alone / 2.0, "{before:.0} {during:.0} {after:.0}");
    daemon.finish().await;
}
