//! The postmaster as a process: started by us or found running, watched, ended.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    process::Child,
    time::{Instant, sleep, timeout},
};

use super::{
    binaries::Binaries,
    config::PrivateConfig,
    error::PrivateError,
    files,
    identity::Identity,
    layout::Layout,
    pid_file,
    settings::{self, Listen},
};

/// How often a process that is not our child is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// How long a rougher stop may take: Postgres itself kills its processes
/// after 5 s.
const ROUGH_LIMIT: Duration = Duration::from_secs(10);

/// A postmaster.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub pid: u32,
    /// Where its part of the log begins, in bytes.
    pub log_from: u64,
    data: PathBuf,
    /// `None` when another daemon started it.
    child: Option<Child>,
}

impl Postmaster {
    /// One that runs already.
    pub fn adopted(pid: u32, data: PathBuf) -> Self {
        Self {
            pid,
            log_from: 0,
            data,
            child: None,
        }
    }

    /// Starts one. It outlives us unless it is stopped.
    pub fn spawn(
        config: &PrivateConfig,
        layout: &Layout,
        binaries: &Binaries,
        identity: &Identity,
        listen: &Listen<'_>,
    ) -> Result<Self, PrivateError> {
        let data = layout.cluster().data();
        let program = binaries.program("postgres");
        let (log, log_from) =
            files::open_log(layout).map_err(PrivateError::io("open", layout.log()))?;
        let copy = log
            .try_clone()
            .map_err(PrivateError::io("open", layout.log()))?;
        let wal_compression = settings::wal_compression(binaries, identity, &data);
        let mut command = identity.command(&program, &data);
        command
            .arg("-D")
            .arg(&data)
            .args(settings::arguments(config, wal_compression, listen))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            // Ctrl-C at the terminal is for us; we stop it in due order.
            .process_group(0);
        let child = tokio::process::Command::from(command)
            .spawn()
            .map_err(PrivateError::io("run", program))?;
        Ok(Self {
            pid: child.id().unwrap_or_default(),
            log_from,
            data,
            child: Some(child),
        })
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => pid_file::is_postmaster_of(self.pid, &self.data),
        }
    }

    /// Waits for its end. Nothing is lost when the wait is given up.
    pub async fn exited(&mut self) {
        if let Some(child) = &mut self.child
            && child.wait().await.is_ok()
        {
            return;
        }
        while self.is_alive() {
            sleep(WATCH_INTERVAL).await;
        }
    }

    /// Asks it to end and waits; when it takes longer than `limit`, asks
    /// more roughly.
    pub async fn stop(&mut self, signal: &str, limit: Duration) -> Result<(), PrivateError> {
        let begin = Instant::now();
        for (signal, limit) in [
            (signal, limit),
            ("QUIT", ROUGH_LIMIT),
            ("KILL", ROUGH_LIMIT),
        ] {
            if !self.is_alive() {
                return Ok(());
            }
            send(self.pid, signal).map_err(PrivateError::io("stop", &self.data))?;
            if timeout(limit, self.exited()).await.is_ok() {
                return Ok(());
            }
        }
        Err(PrivateError::NotStopped {
            pid: self.pid,
            seconds: begin.elapsed().as_secs(),
        })
    }
}

/// Sends a signal with the shell's own `kill`, for not every system has the
/// program.
fn send(pid: u32, signal: &str) -> io::Result<()> {
    Command::new("/bin/sh")
        .args([
            "-c",
            "kill -s \"$1\" \"$2\"",
            "sh",
            signal,
            &pid.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map(|_| ())
}
