//! A daemon that a command runs for itself, as a child process on free ports,
//! which leaves nothing behind.

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

/// How long initdb and the first start may take.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long the daemon may take to stop; it has a deadline of its own.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Log lines that are kept to be shown when something fails.
const TAIL: usize = 20;

/// Where the daemon listens, as its log says.
#[derive(Debug, Clone, Deserialize)]
pub struct Listening {
    pub grpc: String,
    /// Of a private Postgres.
    pub database_url: Option<String>,
}

#[derive(Deserialize)]
struct LogLine {
    level: String,
    fields: serde_json::Value,
}

/// A running daemon. Dropping it stops it.
pub struct Daemon {
    child: Child,
    listening: watch::Receiver<Option<Listening>>,
    tail: Arc<Mutex<VecDeque<String>>>,
    complaints: Arc<AtomicUsize>,
}

impl Daemon {
    /// Starts `runtraced serve` with these flags and variables beside its
    /// addresses, and does not wait for it.
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
            // Ctrl-C is for us; we stop it in order.
            .process_group(0);
        for name in foreign_settings() {
            command.env_remove(name);
        }
        command.env("RUST_LOG", "info");
        command.envs(variables.iter().copied());
        let mut child = command.spawn().context("cannot start the daemon")?;
        let (told, listening) = watch::channel(None);
        let tail = Arc::default();
        let complaints = Arc::default();
        if let Some(log) = child.stderr.take() {
            let (tail, complaints) = (Arc::clone(&tail), Arc::clone(&complaints));
            std::thread::Builder::new()
                .name("daemon-log".to_owned())
                .spawn(move || follow(log, &told, &tail, &complaints))?;
        }
        Ok(Self {
            child,
            listening,
            tail,
            complaints,
        })
    }

    /// Waits until it serves.
    pub async fn ready(&mut self) -> anyhow::Result<Listening> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended ({status}):\n{}", self.log_tail());
            }
            let listening = self.listening.borrow().clone();
            if let Some(listening) = listening
                && serves(&listening.grpc).await
            {
                return Ok(listening);
            }
            sleep(POLL).await;
        }
        bail!("the daemon did not get ready:\n{}", self.log_tail())
    }

    /// Its process number.
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
            bail!("the daemon ended with {status}:\n{}", self.log_tail());
        }
        Ok(())
    }

    /// Asks it to stop, and waits; kills it when that takes too long.
    fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // The shell's own `kill`, for not every system has the program.
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

impl Drop for Daemon {
    fn drop(&mut self) {
        // After `stop` it only finds that the child has ended. Where this
        // fails too, there is nobody left to tell.
        let _ = self.terminate();
    }
}

/// Variables by which somebody configured a daemon of theirs, above all
/// which database it writes to. Where Postgres is installed is as true for us.
fn foreign_settings() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name == "DATABASE_URL" || name.starts_with("RUNTRACED_"))
        .filter(|name| name != "RUNTRACED_PG_BIN")
        .collect()
}

/// Reads the daemon's log to its end.
fn follow(
    log: ChildStderr,
    told: &watch::Sender<Option<Listening>>,
    tail: &Mutex<VecDeque<String>>,
    complaints: &AtomicUsize,
) {
    for line in BufReader::new(log).lines() {
        let Ok(line) = line else { return };
        if let Ok(LogLine { level, fields }) = serde_json::from_str(&line) {
            if level == "WARN" || level == "ERROR" {
                complaints.fetch_add(1, Ordering::Relaxed);
            }
            if fields
                .get("message")
                .is_some_and(|message| message == "listening")
                && let Ok(listening) = serde_json::from_value(fields)
            {
                told.send_replace(Some(listening));
            }
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// Whether the daemon's health check says so.
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

/// A folder that is removed at the end.
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// A name for a folder that nobody has; whoever uses it makes it.
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

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // A folder in the system's temporary place may stay if it must.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
