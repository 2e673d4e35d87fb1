//! A daemon that a command runs for itself: a child process on free ports that leaves
//! nothing behind.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::{sync::watch, time::sleep};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How long initdb and the first start may take on a slow disk.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long the daemon may take to stop. It gives up earlier by itself (--drain-timeout).
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Time between looks at the child: short, because a person waits.
const POLL: Duration = Duration::from_millis(20);
/// Log lines to show when something fails.
const TAIL_LINES: usize = 20;

/// Where the daemon listens, as its log says.
#[derive(Debug, Clone, Deserialize)]
pub struct ListeningAddresses {
    pub grpc: String,
    pub http: String,
    /// URL of its private Postgres, if it has one.
    pub database_url: Option<String>,
}

#[derive(Deserialize)]
struct ChildLogLine {
    level: String,
    fields: serde_json::Value,
}

/// A running daemon. It is stopped when this is dropped.
pub struct ChildDaemon {
    child: Child,
    listening: watch::Receiver<Option<ListeningAddresses>>,
    tail: Arc<Mutex<VecDeque<String>>>,
    complaints: Arc<AtomicUsize>,
}

impl ChildDaemon {
    /// Starts `runtraced serve` with these flags and variables. Does not wait for it.
    pub fn spawn(flags: &[&OsStr], variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command
            .args([
                "serve",
                "--grpc-listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
            ])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C must reach this process only, which then stops the daemon in order.
            .process_group(0);
        for name in foreign_settings() {
            command.env_remove(name);
        }
        command.env("RUST_LOG", "info");
        command.envs(variables.iter().copied());
        let mut child = command.spawn().context("cannot start the daemon")?;
        let (announce, listening) = watch::channel(None);
        let tail = Arc::default();
        let complaints = Arc::default();
        if let Some(log) = child.stderr.take() {
            let (tail, complaints) = (Arc::clone(&tail), Arc::clone(&complaints));
            std::thread::Builder::new()
                .name("daemon-log".to_owned())
                .spawn(move || follow(log, &announce, &tail, &complaints))?;
        }
        Ok(Self {
            child,
            listening,
            tail,
            complaints,
        })
    }

    /// Waits until it is ready.
    pub async fn ready(&mut self) -> anyhow::Result<ListeningAddresses> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the daemon ended ({status}); the end of its log:\n{}",
                    self.log_tail()
                );
            }
            let listening = self.listening.borrow().clone();
            if let Some(listening) = listening
                && serves(&listening.grpc).await
            {
                return Ok(listening);
            }
            sleep(POLL).await;
        }
        bail!(
            "the daemon was not ready after {START_LIMIT:?}; the end of its log:\n{}",
            self.log_tail()
        )
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many warnings and errors it has logged.
    pub fn complaints(&self) -> usize {
        self.complaints.load(Ordering::Relaxed)
    }

    /// Stops it in order.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let status = self.terminate()?;
        if !status.success() {
            bail!(
                "the daemon ended with {status}; the end of its log:\n{}",
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Asks it to stop and waits. Kills it if that takes too long.
    fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // The `kill` of the shell: not every system has the program.
        Command::new("/bin/sh")
            .args(["-c", "kill -s TERM \"$1\"", "sh"])
            .arg(self.child.id().to_string())
            .status()?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    fn log_tail(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = tail.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

impl Drop for ChildDaemon {
    fn drop(&mut self) {
        // After `stop` the child has ended already. A failure here has no one to go to.
        let _ = self.terminate();
    }
}

/// Variables that configure the user's own daemon, above all its database. The folder of
/// the Postgres programs is right for this daemon too.
fn foreign_settings() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name == "DATABASE_URL" || name.starts_with("RUNTRACED_"))
        .filter(|name| name != "RUNTRACED_PG_BIN")
        .collect()
}

/// Reads the daemon's log to its end: notes its addresses and counts its warnings.
fn follow(
    log: ChildStderr,
    announce: &watch::Sender<Option<ListeningAddresses>>,
    tail: &Mutex<VecDeque<String>>,
    complaints: &AtomicUsize,
) {
    for line in BufReader::new(log).lines() {
        let Ok(line) = line else { return };
        if let Ok(ChildLogLine { level, fields }) = serde_json::from_str(&line) {
            if level == "WARN" || level == "ERROR" {
                complaints.fetch_add(1, Ordering::Relaxed);
            }
            if fields
                .get("message")
                .is_some_and(|message| message == "listening")
                && let Ok(listening) = serde_json::from_value(fields)
            {
                announce.send_replace(Some(listening));
            }
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// Whether the daemon's health check says that it is ready.
async fn serves(address: &str) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return false;
    };
    let mut health = HealthClient::new(endpoint.connect_lazy());
    let request = HealthCheckRequest::default();
    match health.check(request).await {
        Ok(answer) => answer.into_inner().status() == ServingStatus::Serving,
        Err(_) => false,
    }
}

/// A temporary folder that is removed at the end.
pub struct TemporaryFolder {
    path: PathBuf,
    keep: bool,
}

impl TemporaryFolder {
    /// A new name for a folder. Whoever uses the folder creates it.
    pub fn new(purpose: &str, keep: bool) -> Self {
        let name = format!("runtraced-{purpose}-{}", uuid::Uuid::new_v4().simple());
        Self {
            path: std::env::temp_dir().join(name),
            keep,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if !self.keep {
            // In the temporary folder of the system, a remainder does no harm.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
