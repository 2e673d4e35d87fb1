//! Load that does not end by itself, and an oracle of what was acknowledged.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use runtraced::proto::event::Event as Body;
use runtraced::proto::{Durability, EndStatus, Event};
use runtraced_client::{Client, RetryPolicy, StreamOptions, Totals, Undelivered};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::events::{
    message, new_id, run_ended, run_started, step, step_ended, step_started, tokens,
};

/// What a run must look like in the end: steps, messages, counts, tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Want {
    steps: i64,
    messages: i64,
    counts: i64,
    input: i64,
    output: i64,
}

#[derive(Default)]
struct Inner {
    batches: Vec<Vec<Event>>,
    acked: Vec<usize>,
    spooled: usize,
    runs: Vec<(Uuid, Want)>,
    /// When each batch that is not acknowledged was sent.
    sent: HashMap<usize, Instant>,
    /// Since when waits are measured, and the longest since.
    measured: Option<(Instant, Duration)>,
}

impl Inner {
    fn acknowledge(&mut self, batch: usize, durability: Durability) {
        self.acked.push(batch);
        self.spooled += usize::from(durability == Durability::Spooled);
        let sent = self.sent.remove(&batch);
        if let (Some((since, longest)), Some(sent)) = (&mut self.measured, sent)
            && sent >= *since
        {
            *longest = sent.elapsed().max(*longest);
        }
    }
}

/// Everything that was to be sent, and what of it was acknowledged.
#[derive(Default)]
pub struct Oracle(Mutex<Inner>);

impl Oracle {
    /// All batches, sent or not.
    pub fn batches(&self) -> Vec<Vec<Event>> {
        self.0.lock().unwrap().batches.clone()
    }

    /// How many batches were acknowledged.
    pub fn acked(&self) -> usize {
        self.0.lock().unwrap().acked.len()
    }

    /// Measures from now on how long batches wait for their acks.
    pub fn measure(&self) {
        self.0.lock().unwrap().measured = Some((Instant::now(), Duration::ZERO));
    }

    /// The longest wait of a batch since then, those that wait still included.
    pub fn longest_wait(&self) -> Duration {
        let mut inner = self.0.lock().unwrap();
        let (since, longest) = inner.measured.take().unwrap();
        let waiting = inner.sent.values().filter(|sent| **sent >= since);
        let waiting = waiting.map(Instant::elapsed).max();
        longest.max(waiting.unwrap_or_default())
    }

    /// How many of those acks said that the spool has them.
    pub fn spooled(&self) -> usize {
        self.0.lock().unwrap().spooled
    }

    /// Every acknowledged event has its row.
    pub async fn check_acked(&self, conn: &mut PgConnection) {
        self.check_acked_on(std::slice::from_mut(conn)).await;
    }

    /// The same on several servers.
    pub async fn check_acked_on(&self, conns: &mut [PgConnection]) {
        let mut wanted: [HashSet<Uuid>; 6] = Default::default();
        {
            let inner = self.0.lock().unwrap();
            let acked = inner.acked.iter().flat_map(|&n| &inner.batches[n]);
            for event in acked {
                let (kind, id) = row_of(event);
                wanted[kind].insert(id);
            }
        }
        let filters = [
            "agent_runs WHERE start_event_at IS NOT NULL",
            "agent_runs WHERE finalized_by = 'client'",
            "agent_steps WHERE true",
            "agent_steps WHERE status = 'completed' AND closed_with_run IS NULL",
            "agent_messages WHERE true",
            "agent_token_counts WHERE true",
        ];
        for (filter, wanted) in filters.into_iter().zip(wanted) {
            let ids: Vec<Uuid> = wanted.iter().copied().collect();
            let query = format!("SELECT id FROM {filter} AND id = ANY ($1)");
            let mut found: HashSet<Uuid> = HashSet::new();
            for conn in &mut *conns {
                let here: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(query.clone()))
                    .bind(&ids)
                    .fetch_all(conn)
                    .await
                    .unwrap();
                found.extend(here);
            }
            let lost: Vec<_> = wanted.difference(&found).collect();
            assert!(lost.is_empty(), "acked, but not in {filter}: {lost:?}");
        }
    }

    /// Every run is there exactly as it is to be.
    pub async fn check_all(&self, conn: &mut PgConnection) {
        self.check_all_on(std::slice::from_mut(conn)).await;
    }

    /// The same on several servers.
    pub async fn check_all_on(&self, conns: &mut [PgConnection]) {
        let runs = self.0.lock().unwrap().runs.clone();
        assert!(!runs.is_empty(), "no load");
        let ids: Vec<Uuid> = runs.iter().map(|(id, _)| *id).collect();
        let query = "
            SELECT r.id, r.status = 'completed' AND r.finalized_by = 'client',
                   (SELECT count(*) FROM agent_steps WHERE run_id = r.id
                        AND status = 'completed' AND closed_with_run IS NULL AND duration_ms = 5),
                   (SELECT count(*) FROM agent_steps WHERE run_id = r.id),
                   (SELECT count(*) FROM agent_messages WHERE run_id = r.id),
                   (SELECT count(*) FROM agent_token_counts WHERE run_id = r.id),
                   total_tokens_input::bigint, total_tokens_output::bigint
            FROM agent_runs r WHERE r.id = ANY ($1)";
        type Found = (Uuid, bool, i64, i64, i64, i64, i64, i64);
        let mut found: Vec<Found> = Vec::new();
        for conn in conns {
            let here: Vec<Found> = sqlx::query_as(query)
                .bind(&ids)
                .fetch_all(conn)
                .await
                .unwrap();
            found.extend(here);
        }
        assert_eq!(found.len(), runs.len(), "runs");
        for (id, ended, completed, steps, messages, counts, input, output) in found {
            let got = Want {
                steps,
                messages,
                counts,
                input,
                output,
            };
            let want = runs.iter().find(|(run, _)| *run == id).unwrap().1;
            assert_eq!((got, completed, ended), (want, steps, true), "run {id}");
        }
    }

    /// Postgres has nothing that was not sent, by these clients or in runs of others.
    pub async fn check_nothing_else(&self, conn: &mut PgConnection, others: &[Uuid]) {
        let runs = self.0.lock().unwrap().runs.clone();
        let sum = |of: fn(&Want) -> i64| runs.iter().map(|(_, want)| of(want)).sum::<i64>();
        let ids: Vec<String> = others.iter().map(|run| format!("'{run}'")).collect();
        let others = format!("ALL (ARRAY[{}]::uuid[])", ids.join(", "));
        for (filter, want) in [
            ("agent_runs WHERE id", i64::try_from(runs.len()).unwrap()),
            ("agent_steps WHERE run_id", sum(|want| want.steps)),
            ("agent_messages WHERE run_id", sum(|want| want.messages)),
            ("agent_token_counts WHERE run_id", sum(|want| want.counts)),
        ] {
            let filter = format!("{filter} <> {others}");
            assert_eq!(super::tables::count(conn, &filter).await, want, "{filter}");
        }
        let letters = "ingest_dead_letters WHERE payload::text NOT LIKE '%poison%'";
        assert_eq!(super::tables::count(conn, letters).await, 0);
    }

    fn plan(&self, run: Uuid, want: Want, batches: Vec<Vec<Event>>) -> std::ops::Range<usize> {
        let mut inner = self.0.lock().unwrap();
        let first = inner.batches.len();
        inner.runs.push((run, want));
        inner.batches.extend(batches);
        first..inner.batches.len()
    }
}

/// The kind of row that proves an event, as `check_acked` numbers them, and its id.
fn row_of(event: &Event) -> (usize, Uuid) {
    let (kind, id) = match event.event.as_ref().unwrap() {
        Body::RunStarted(e) => (0, &e.run_id),
        Body::RunEnded(e) => (1, &e.run_id),
        Body::StepStarted(e) => (2, &e.step_id),
        Body::StepEnded(e) => (3, &e.step_id),
        Body::MessageAppended(e) => (4, &e.message_id),
        Body::TokenCount(e) => (5, &e.token_count_id),
        other => panic!("not part of the load: {other:?}"),
    };
    (kind, Uuid::from_slice(id).unwrap())
}

/// A run of up to 40 steps, in order or not.
fn random_run(rng: &mut StdRng) -> (Uuid, Want, Vec<Event>) {
    let run = new_id();
    let mut want = Want {
        steps: rng.random_range(1..40),
        messages: rng.random_range(0..10),
        counts: rng.random_range(1..10),
        input: 0,
        output: 0,
    };
    let mut events = vec![run_started(0, run)];
    for number in 0..want.steps {
        let (at, id) = (number * 10, new_id());
        if rng.random_bool(0.5) {
            events.extend([step_started(at, run, id), step_ended(at + 5, run, id)]);
        } else {
            events.push(step(at, at + 5, run, id));
        }
    }
    for number in 0..want.messages {
        events.push(message(number * 10, Some(run), None, new_id()));
    }
    for number in 0..want.counts {
        let (input, output) = (rng.random_range(0..5_000), rng.random_range(0..500));
        want.input += input;
        want.output += output;
        events.push(tokens(number * 10, run, new_id(), input, output));
    }
    events.push(run_ended(1_000, run, EndStatus::Completed));
    if rng.random_bool(0.3) {
        events.shuffle(rng);
    }
    (run, want, events)
}

/// One clock in five is wrong by ten years, in either direction.
fn jump(rng: &mut StdRng, events: &mut [Event]) {
    let years = match rng.random_range(0..10) {
        0 => 10,
        1 => -10,
        _ => return,
    };
    let seconds = years * 365 * 86_400;
    for event in events {
        event.time.as_mut().unwrap().seconds += seconds;
        if let Some(Body::StepEnded(ended)) = &mut event.event
            && let Some(started) = &mut ended.started_at
        {
            started.seconds += seconds;
        }
    }
}

type Delivered = Result<Totals<usize>, Box<Undelivered<usize>>>;

/// What the streams are told.
#[derive(Default)]
struct Orders {
    stop: AtomicBool,
    rest: AtomicBool,
}

/// Streams that send one run after the other until told to stop.
pub struct Load {
    pub oracle: Arc<Oracle>,
    orders: Arc<Orders>,
    lanes: Vec<JoinHandle<Delivered>>,
}

impl Load {
    /// Starts so many streams to each daemon, from a seed.
    pub async fn start(seed: u64, urls: &[&str], streams: u64, retry: RetryPolicy) -> Self {
        Self::with(
            Durability::Committed,
            Duration::ZERO,
            seed,
            urls,
            streams,
            retry,
        )
        .await
    }

    /// The same; acks may also say that the spool has the events.
    pub async fn spooled_too(seed: u64, urls: &[&str], streams: u64, retry: RetryPolicy) -> Self {
        Self::with(
            Durability::Spooled,
            Duration::ZERO,
            seed,
            urls,
            streams,
            retry,
        )
        .await
    }

    /// The same; each stream pauses between two runs, and some runs have a
    /// clock that is wrong by years.
    pub async fn paced(
        pause: Duration,
        seed: u64,
        urls: &[&str],
        streams: u64,
        retry: RetryPolicy,
    ) -> Self {
        Self::with(Durability::Spooled, pause, seed, urls, streams, retry).await
    }

    async fn with(
        least: Durability,
        pause: Duration,
        seed: u64,
        urls: &[&str],
        streams: u64,
        retry: RetryPolicy,
    ) -> Self {
        let (oracle, orders) = (Arc::<Oracle>::default(), Arc::<Orders>::default());
        let mut lanes = Vec::new();
        for url in urls {
            for _ in 0..streams {
                let client = Client::connect(url, retry).await.unwrap();
                let rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000) + lanes.len() as u64);
                lanes.push(tokio::spawn(run_lane(
                    client,
                    rng,
                    oracle.clone(),
                    orders.clone(),
                    least,
                    pause,
                )));
            }
        }
        Self {
            oracle,
            orders,
            lanes,
        }
    }

    /// Load that gives up when the daemon has not answered for so long: soon after it is gone.
    pub async fn on_mortal(patience: Duration, seed: u64, url: &str, streams: u64) -> Self {
        let retry = RetryPolicy {
            first_delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(50),
            give_up_after: patience,
        };
        Self::start(seed, &[url], streams, retry).await
    }

    /// Waits until so many more batches are acknowledged.
    pub async fn wait_for_acks(&self, more: usize) {
        let goal = self.oracle.acked() + more;
        let wait = async {
            while self.oracle.acked() < goal {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, wait).await.expect("acks");
    }

    /// Sends no new runs until told to go on.
    pub fn rest(&self, rest: bool) {
        self.orders.rest.store(rest, Relaxed);
    }

    /// Sends no new runs; waits until everything is acknowledged.
    pub async fn finish(self) -> Arc<Oracle> {
        self.orders.stop.store(true, Relaxed);
        for lane in self.lanes {
            let totals = lane.await.unwrap().unwrap();
            assert!(totals.refused.is_empty(), "{:?}", totals.refused);
        }
        self.oracle
    }

    /// Waits until every stream has noticed that the daemon is gone.
    pub async fn given_up(self) -> Arc<Oracle> {
        self.orders.stop.store(true, Relaxed);
        for lane in self.lanes {
            let _ = lane.await.unwrap();
        }
        self.oracle
    }
}

async fn run_lane(
    client: Client,
    mut rng: StdRng,
    oracle: Arc<Oracle>,
    orders: Arc<Orders>,
    least: Durability,
    pause: Duration,
) -> Delivered {
    let options = StreamOptions {
        max_batches_in_flight: 16,
        ..StreamOptions::default()
    };
    let witness = oracle.clone();
    let mut stream = client.stream_observed(options, move |settled| {
        assert!(settled.durability >= least, "{:?}", settled.durability);
        let mut inner = witness.0.lock().unwrap();
        inner.acknowledge(*settled.tag, settled.durability);
    });
    'load: while !orders.stop.load(Relaxed) {
        if orders.rest.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let (run, want, mut events) = random_run(&mut rng);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
            jump(&mut rng, &mut events);
        }
        let mut batches = Vec::new();
        while !events.is_empty() {
            let len = rng.random_range(1..=20).min(events.len());
            batches.push(events.drain(..len).collect::<Vec<_>>());
        }
        let numbers = oracle.plan(run, want, batches.clone());
        for (number, batch) in numbers.zip(batches) {
            oracle.0.lock().unwrap().sent.insert(number, Instant::now());
            if stream.send(batch, number).await.is_err() {
                break 'load;
            }
        }
    }
    stream.finish().await
}
