//! A flood of invalid keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced_client::Client;
use tonic::{Code, Request};

use super::{Key, client, create, until_judged, with_key};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{new_id, steps};
use crate::support::pg;
use crate::support::process::cpu_ticks;
use crate::support::wire::channel;

const CONNECTIONS: usize = 4;
const CALLS_AT_ONCE: usize = 4;
/// Calls whose cost is compared.
const CALLS: u64 = 4_000;

/// Empty calls by 16 callers on four connections, none of whom pauses, until `more` is no longer true;
/// `bearer` makes the key of each, and each must be answered with `code`. Returns how many there were.
async fn calls(
    daemon: &Daemon,
    bearer: impl Fn(u64) -> String + Clone + Send + 'static,
    code: Code,
    more: impl Fn(u64) -> bool + Clone + Send + 'static,
) -> u64 {
    let made = Arc::new(AtomicU64::new(0));
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = channel(daemon.grpc_url()).await;
        for _ in 0..CALLS_AT_ONCE {
            let mut client = TraceIngestClient::new(connection.clone());
            let (made, bearer, more) = (made.clone(), bearer.clone(), more.clone());
            callers.push(tokio::spawn(async move {
                loop {
                    let number = made.fetch_add(1, Relaxed);
                    if !more(number) {
                        return;
                    }
                    let mut request = Request::new(SubmitRequest::default());
                    let bearer = format!("Bearer {}", bearer(number)).parse().unwrap();
                    request.metadata_mut().insert("authorization", bearer);
                    let answer = client.submit(request).await;
                    assert_eq!(answer.err().map_or(Code::Ok, |status| status.code()), code);
                }
            }));
        }
    }
    let count = callers.len() as u64;
    for caller in callers {
        caller.await.unwrap();
    }
    made.load(Relaxed) - count
}

/// Keys of the right form: every other one has an id that exists.
fn invalid(key: &Key) -> impl Fn(u64) -> String + Clone + Send + 'static {
    let id = key.id;
    move |number| {
        let id = if number % 2 == 0 { id } else { new_id() };
        format!("rt_{}_{number:064x}", id.simple())
    }
}

/// The CPU time that [`CALLS`] of them take of the daemon, in ticks.
async fn cost(
    daemon: &Daemon,
    bearer: impl Fn(u64) -> String + Clone + Send + 'static,
    code: Code,
) -> u64 {
    let before = cpu_ticks(daemon.pid());
    let made = calls(daemon, bearer, code, |number| number < CALLS).await;
    assert_eq!(made, CALLS);
    cpu_ticks(daemon.pid()) - before
}

/// Scenario: as many calls with a valid key and nothing in them, and with invalid keys; then a flood of
/// invalid keys while the database is frozen.
/// Guarantees: to refuse a key costs the daemon no more CPU than twice an empty call, so that a flood of
/// them takes no more than as many callers' share; and no invalid key is looked up in the database.
#[tokio::test(flavor = "multi_thread")]
async fn to_refuse_a_key_is_cheap_and_asks_no_database() {
    let cluster = pg::own_cluster().await;
    let mut daemon = Daemon::with_args(cluster.url(), &["--require-keys"]).await;
    daemon.expect_warnings(AWAY);
    let key = create(cluster.url(), "agent", &[]).await;
    until_judged(&daemon, &key, true).await;
    let text = key.text.clone();
    let valid = move |_| text.clone();
    // Once to warm up.
    cost(&daemon, valid.clone(), Code::Ok).await;
    let taken = cost(&daemon, valid, Code::Ok).await;
    let refused = cost(&daemon, invalid(&key), Code::Unauthenticated).await;
    println!("{CALLS} calls: {taken} ticks taken, {refused} ticks refused");
    assert!(taken > 5, "too short to measure");
    assert!(refused <= 2 * taken, "{refused} ticks beside {taken}");

    cluster.sigstop();
    let flood = cost(&daemon, invalid(&key), Code::Unauthenticated);
    let made = tokio::time::timeout(Duration::from_secs(60), flood).await;
    cluster.sigcont();
    assert!(made.is_ok(), "they wait for the database");
    daemon.finish().await;
}

/// Events a second that become durable over a few calls at once.
async fn throughput(client: &Client, phase: Duration) -> f64 {
    let begin = Instant::now();
    let sends: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while begin.elapsed() < phase {
                    let answer = client.submit(steps(new_id(), 200)).await.unwrap();
                    count += answer.outcome.unwrap().committed;
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

/// Scenario: a valid key sends as fast as it can, by turns alone and while 16 callers on four connections
/// ask with invalid keys without a pause.
/// Guarantees: beside the flood it is always served; and in the median of the turns its throughput is not
/// below half of what it is alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_invalid_keys_leaves_valid_ones_more_than_half() {
    // What a rate is beside other tests says nothing: `make hostile` runs this one alone.
    let measured = std::env::var("RUNTRACED_HOSTILE").is_ok();
    let (turns, phase) = if measured {
        (5, Duration::from_secs(3))
    } else {
        (1, Duration::from_secs(1))
    };
    let (_database, daemon, key) = with_key(&["--require-keys"], &[]).await;
    let valid = client(&daemon, &key).await;
    throughput(&valid, phase).await;
    let mut ratios = Vec::new();
    for _ in 0..turns {
        let alone = throughput(&valid, phase).await;
        let ended = Arc::new(AtomicBool::new(false));
        let more = {
            let ended = ended.clone();
            move |_| !ended.load(Relaxed)
        };
        let flood = calls(&daemon, invalid(&key), Code::Unauthenticated, more);
        let beside = async {
            let beside = throughput(&valid, phase).await;
            ended.store(true, Relaxed);
            beside
        };
        let (refused, beside) = tokio::join!(flood, beside);
        println!("{alone:.0} events/s alone, {beside:.0} beside {refused} invalid calls");
        assert!(refused > 0, "there was no flood");
        ratios.push(beside / alone);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[turns / 2];
    // The latter is what no noise of a machine explains.
    let least = if measured { 0.5 } else { 0.05 };
    assert!(median > least, "{ratios:.2?}");
    daemon.finish().await;
}
