//! The real daemon as a child process, and what must hold when a test is done with it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use runtraced::proto;
use runtraced_client::{Client, RetryPolicy};
use sqlx::PgConnection;

use super::watchdog;

/// How long anything may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a daemon warns of when Postgres goes.
pub const AWAY: &str = "the database is away";

/// What may become of an event, as metrics call it.
pub const OUTCOMES: [&str; 6] = [
    "committed",
    "duplicate",
    "refused",
    "spooled",
    "dead_lettered",
    "ignored",
];

/// A running daemon.
pub struct Daemon {
    child: Child,
    /// Dropped after the child was waited for.
    _guard: watchdog::ProcessGuard,
    log: PathBuf,
    database_url: String,
    grpc: String,
    http: String,
    expected_warnings: Vec<&'static str>,
}

impl Daemon {
    /// Starts a daemon on a database and waits until it is ready.
    pub async fn start(database_url: &str) -> Self {
        Self::with_args(database_url, &[]).await
    }

    /// The same with more flags.
    pub async fn with_args(database_url: &str, args: &[&str]) -> Self {
        let daemon = Self::spawn(database_url, args).await;
        daemon.wait_ready().await;
        daemon
    }

    /// Starts a daemon and waits only until it listens.
    pub async fn spawn(database_url: &str, args: &[&str]) -> Self {
        Self::spawn_with_env(database_url, args, &[]).await
    }

    /// The same with more variables.
    pub async fn spawn_with_env(database_url: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        if super::writer::is_wanted() {
            let writer = super::writer::writer(database_url).await;
            let args = [args, &["--no-migrate"]].concat();
            let mut daemon = Self::spawn_as_is_with_env(&writer, &args, env).await;
            // Counts are looked at as the owner.
            daemon.database_url = database_url.to_owned();
            return daemon;
        }
        Self::spawn_as_is_with_env(database_url, args, env).await
    }

    /// With this very URL.
    pub async fn spawn_as_is(database_url: &str, args: &[&str]) -> Self {
        Self::spawn_as_is_with_env(database_url, args, &[]).await
    }

    /// The same with more variables.
    pub async fn spawn_as_is_with_env(
        database_url: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let dir = watchdog::scratch_dir("daemon");
        let log = dir.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .arg("serve")
            .args(["--grpc-listen", "127.0.0.1:0"])
            .args(match args.contains(&"--http-listen") {
                true => &[][..],
                false => &["--http-listen", "127.0.0.1:0"],
            })
            .args(args)
            .env("DATABASE_URL", database_url)
            .env_remove("RUST_LOG")
            // Events wait for Postgres, unless a test gives the daemon a spool.
            .env("RUNTRACED_SPOOL_BYTES", "0")
            .envs(env.iter().copied())
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let guard = watchdog::guard_process(child.id());
        let mut daemon = Self {
            _guard: guard,
            child,
            log,
            database_url: database_url.to_owned(),
            grpc: String::new(),
            http: String::new(),
            expected_warnings: Vec::new(),
        };
        let listening = daemon.wait_for_line("listening").await;
        let field = |name: &str| listening["fields"][name].as_str().unwrap().to_owned();
        daemon.grpc = format!("http://{}", field("grpc"));
        daemon.http = field("http");
        daemon
    }

    /// Log lines with this text are no fault in this test.
    pub fn expect_warnings(&mut self, text: &'static str) {
        self.expected_warnings.push(text);
    }

    /// For gRPC clients.
    pub fn grpc_url(&self) -> &str {
        &self.grpc
    }

    /// `ADDRESS:PORT` of HTTP.
    pub fn http_address(&self) -> &str {
        &self.http
    }

    /// A client that retries.
    pub async fn client(&self) -> Client {
        Client::connect(self.grpc_url(), RetryPolicy::default())
            .await
            .unwrap()
    }

    /// Submits one batch and returns what became of it.
    pub async fn submit(&self, events: Vec<proto::Event>) -> proto::Outcome {
        let response = self.client().await.submit(events).await.unwrap();
        assert_eq!(response.durability(), proto::Durability::Committed);
        response.outcome.unwrap()
    }

    /// Status and body of an HTTP page.
    pub async fn get(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut socket = tokio::net::TcpStream::connect(&self.http).await.unwrap();
        let host = &self.http;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    /// The metrics by name and labels.
    pub async fn metrics(&self) -> HashMap<String, u64> {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// Waits until `/readyz` says ready.
    pub async fn wait_ready(&self) {
        self.wait_ready_state(true).await;
    }

    /// Waits until `/readyz` says ready, or not ready.
    pub async fn wait_ready_state(&self, ready: bool) {
        let deadline = Instant::now() + PATIENCE;
        while (self.get("/readyz").await.0 == 200) != ready {
            assert!(
                Instant::now() < deadline,
                "readyz: {:?}\n{}",
                self.get("/readyz").await,
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything logged so far.
    pub fn logs(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.check_logs();
    }

    /// SIGTERM; waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        super::pg::send(self.child.id(), "TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the daemon does not end\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What must hold at the end of every test: the counts add up in metrics
    /// and in SQL, the daemon ends well, and it logged nothing alarming.
    pub async fn finish(mut self) {
        self.check_counts().await;
        let status = self.terminate().await;
        assert!(status.success(), "{status}\n{}", self.logs());
        self.check_logs();
    }

    /// The same where the daemon's own role may not look at the counts.
    pub async fn finish_as(mut self, database_url: &str) {
        self.database_url = database_url.to_owned();
        self.finish().await;
    }

    /// received = committed + duplicate + refused + spooled + dead-lettered + ignored.
    pub async fn check_counts(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics().await;
            let sum: u64 = OUTCOMES
                .iter()
                .map(|outcome| {
                    metrics[&format!("runtraced_events_settled_total{{outcome=\"{outcome}\"}}")]
                })
                .sum();
            let settled = sum == metrics["runtraced_events_received_total"];
            if settled && metrics["runtraced_memory_used_bytes"] == 0 {
                break;
            }
            // Events of clients that have gone may still be on their way.
            assert!(
                Instant::now() < deadline,
                "counts do not add up, or the budget is not free again: {metrics:#?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let instance = self.instance();
        let mut conns = super::servers::connect_all(&self.database_url).await;
        loop {
            // Anew each time: what a client sent before it went may come until now.
            let metrics = self.metrics().await;
            let mut row = [0; 8];
            for conn in &mut conns {
                let here = ledger_of(conn, &instance).await;
                row.iter_mut().zip(here).for_each(|(sum, one)| *sum += one);
            }
            let received = metrics["runtraced_events_received_total"];
            let same = OUTCOMES.iter().zip(&row[1..]).all(|(outcome, count)| {
                metrics[&format!("runtraced_events_settled_total{{outcome=\"{outcome}\"}}")]
                    == u64::try_from(*count).unwrap()
            });
            if same && u64::try_from(row[0]).unwrap() == received && row[7] == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the ledger says {row:?}, metrics {metrics:#?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn instance(&self) -> String {
        let line = self.line("listening").unwrap();
        line["fields"]["instance"].as_str().unwrap().to_owned()
    }

    /// Nothing alarming was logged that the test does not expect.
    pub fn check_logs(&self) {
        for line in self.logs().lines() {
            let alarming = !line.starts_with('{')
                || line.contains("\"level\":\"WARN\"")
                || line.contains("\"level\":\"ERROR\"");
            let expected = self
                .expected_warnings
                .iter()
                .any(|text| line.contains(text));
            assert!(!alarming || expected, "unexpected log line: {line}");
        }
    }

    async fn wait_for_line(&mut self, message: &str) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.line(message) {
                return line;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended: {}", self.logs());
            assert!(
                Instant::now() < deadline,
                "no {message:?} in\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn line(&self, message: &str) -> Option<serde_json::Value> {
        self.logs()
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|line| line["fields"]["message"] == message)
    }
}

/// What the ledger of one server says of a daemon: all that came, what became of it, and what is in flight.
async fn ledger_of(conn: &mut PgConnection, instance: &str) -> [i64; 8] {
    let row: (i64, i64, i64, i64, i64, i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(received), 0)::bigint, coalesce(sum(committed), 0)::bigint,
                coalesce(sum(duplicate), 0)::bigint, coalesce(sum(refused), 0)::bigint,
                coalesce(sum(spooled), 0)::bigint, coalesce(sum(dead_lettered), 0)::bigint,
                coalesce(sum(ignored), 0)::bigint, coalesce(sum(in_flight), 0)::bigint
         FROM ingest_reconciliation WHERE instance = $1::uuid",
    )
    .bind(instance)
    .fetch_one(conn)
    .await
    .unwrap();
    row.into()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.log.parent().unwrap_or(Path::new("")));
    }
}
