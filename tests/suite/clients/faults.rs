//! Faults between a client and Postgres, while the client records.
//!
//! A worker is a program that opens runs of the agent that `RUNTRACED_TEST_WORKER` names, each
//! with the next number, from 0, as its input, and with two steps in it. It prints `settled N` after a flush that left nothing: then the runs up to N
//! are settled. When its stdin ends, it flushes, for at most `RUNTRACED_TEST_FLUSH_MS` if that is
//! set, and prints its counts as JSON: `runs`, `settled`, `waiting`, `dropped_events`, `refused`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::chaos::proxies::{DaemonProxy, PostgresProxy};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::{pg, tables, watchdog};

/// How long a fault lasts.
const FAULT: Duration = Duration::from_millis(1500);
/// A run and its two steps, each with a start and an end.
const EVENTS_OF_A_RUN: i64 = 6;

struct Worker {
    name: String,
    child: Child,
    settled: Arc<AtomicI64>,
    last_line: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
    _guard: watchdog::ProcessGuard,
}

impl Worker {
    fn start(mut command: Command, name: &str) -> Self {
        let mut child = command
            .env("RUNTRACED_TEST_WORKER", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let guard = watchdog::guard_process(child.id());
        let out = BufReader::new(child.stdout.take().unwrap());
        let settled = Arc::new(AtomicI64::new(-1));
        let last_line = Arc::<Mutex<String>>::default();
        let (seen, last) = (settled.clone(), last_line.clone());
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("settled ") {
                    seen.store(number.parse().unwrap(), SeqCst);
                } else {
                    *last.lock().unwrap() = line;
                }
            }
        });
        Self {
            name: name.to_owned(),
            child,
            settled,
            last_line,
            reader,
            _guard: guard,
        }
    }

    fn settled(&self) -> i64 {
        self.settled.load(SeqCst)
    }

    /// Waits until more is settled than before.
    async fn goes_on(&self) {
        let before = self.settled();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while self.settled() <= before {
            let name = &self.name;
            assert!(
                std::time::Instant::now() < deadline,
                "{name} settles nothing after {before}; it said last: {}",
                self.last_line.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends its stdin, and returns its counts.
    async fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let ended = tokio::task::spawn_blocking(move || {
            assert!(self.child.wait().unwrap().success());
            self.reader.join().unwrap();
            self.last_line.lock().unwrap().clone()
        });
        serde_json::from_str(&ended.await.unwrap()).unwrap()
    }
}

/// Scenario: workers of a client record without a pause, one of them with a spool of its own,
/// while the daemon is killed, Postgres crashes, connections of the client and of the daemon
/// are cut, and a worker is killed. One ends while the daemon is away.
/// Guarantees: what a worker knew to be settled is in Postgres, once and whole. When all is
/// well again, a worker that lives on has nothing left, and every one of its runs is there. The
/// one that ended has counted each of its events as settled or as lost, and the settled ones are
/// there.
pub async fn check(worker: impl Fn(&str) -> Command) {
    let mut cluster = pg::own_cluster().await;
    let postgres = PostgresProxy::start(cluster.url());
    let mut daemon = Daemon::start(&postgres.url).await;
    let proxy = DaemonProxy::start(&format!("http://{}", daemon.http_address())).await;
    let spool = watchdog::scratch_dir("client-spool");
    let plain = Worker::start(worker(&proxy.url), "plain");
    let mut with_spool = worker(&proxy.url);
    with_spool.env("RUNTRACED_SPOOL", &spool);
    let spooling = Worker::start(with_spool, "spooling");
    let mut killed = Worker::start(worker(&proxy.url), "killed");
    let mut hasty = worker(&proxy.url);
    hasty.env("RUNTRACED_TEST_FLUSH_MS", "200");
    let ending = Worker::start(hasty, "ending");
    for one in [&plain, &spooling, &killed, &ending] {
        one.goes_on().await;
    }

    proxy.cut();
    plain.goes_on().await;
    daemon.kill();
    tokio::time::sleep(FAULT).await;
    let lost = ending.end().await;
    daemon = Daemon::start(&postgres.url).await;
    daemon.expect_warnings(AWAY);
    proxy.moved(&format!("http://{}", daemon.http_address()));
    plain.goes_on().await;
    killed.goes_on().await;
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    cluster.stop_immediate().await;
    tokio::time::sleep(FAULT).await;
    cluster.start().await;
    plain.goes_on().await;
    postgres.cut_commit();
    spooling.goes_on().await;
    proxy.cut();

    let known = killed.settled() + 1;
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    for (name, one) in [("plain", plain), ("spooling", spooling)] {
        let end = one.end().await;
        for nothing in ["waiting", "dropped_events", "refused"] {
            assert_eq!(end[nothing], 0, "{name}: {end}");
        }
        let runs = end["runs"].as_i64().unwrap();
        let all = json!({"whole": runs, "numbers": runs, "rows": runs});
        assert_eq!(
            tables::row(&mut connection, &whole_runs(name, runs)).await,
            all,
            "{name}"
        );
    }
    let all = json!({"whole": known, "numbers": known, "rows": known});
    assert_eq!(
        tables::row(&mut connection, &whole_runs("killed", known)).await,
        all
    );
    check_counts(&mut connection, &lost).await;
    assert_eq!(
        std::fs::read_dir(&spool).unwrap().count(),
        0,
        "the spool is empty"
    );
    watchdog::remove_scratch_dir(&spool);
    daemon.kill();
}

/// What the worker "ending" counted, and what is there of it: what is on its way when a daemon
/// dies may be stored and not acknowledged.
async fn check_counts(connection: &mut PgConnection, counted: &Value) {
    let count = |name: &str| counted[name].as_i64().unwrap();
    let (settled, lost) = (count("settled"), count("waiting"));
    assert!(settled > 0 && lost > 0, "{counted}");
    let made = count("runs") * EVENTS_OF_A_RUN;
    assert_eq!(settled + lost, made, "{counted}");
    let stored =
        "SELECT count(*) + count(ended_at) + sum(steps) + sum(steps - open_steps) AS events
                  FROM run_summary WHERE agent_id = 'ending'";
    let stored = tables::value(connection, stored).await;
    let stored: i64 = stored.to_string().trim_matches('"').parse().unwrap();
    assert!((settled..=made).contains(&stored), "{stored}: {counted}");
}

/// The runs of a worker below a number: how many are whole, and whether each is there once.
fn whole_runs(worker: &str, below: i64) -> String {
    format!(
        "SELECT count(*) FILTER (WHERE status = 'completed' AND finalized_by = 'client' AND steps = 2
                                   AND open_steps = 0 AND output = input) AS whole,
                count(DISTINCT input) AS numbers, count(*) AS rows
         FROM run_summary WHERE agent_id = '{worker}' AND input::bigint < {below}"
    )
}
