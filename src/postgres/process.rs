//! The postmaster process: started by us or adopted, watched, and stopped.

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
    layout::Layout,
    pid_file,
    server_user::ServerUser,
    settings::{self, Listen},
};

/// How often a process that is not our child is checked.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// How long a stop by QUIT or KILL may take. After QUIT, Postgres itself kills its
/// processes after 5 s.
const FORCED_STOP_LIMIT: Duration = Duration::from_secs(10);

/// A postmaster process.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub pid: u32,
    /// The offset in bytes at which its part of the log begins.
    pub log_from: u64,
    data: PathBuf,
    /// `None` if another daemon started the process.
    child: Option<Child>,
}

impl Postmaster {
    /// A postmaster that runs already.
    pub fn adopted(pid: u32, data: PathBuf) -> Self {
        Self {
            pid,
            log_from: 0,
            data,
            child: None,
        }
    }

    /// Starts a postmaster. It outlives the daemon unless it is stopped.
    pub fn spawn(
        config: &PrivateConfig,
        layout: &Layout,
        binaries: &Binaries,
        user: &ServerUser,
        listen: &Listen<'_>,
    ) -> Result<Self, PrivateError> {
        let data = layout.cluster().data();
        let program = binaries.program("postgres");
        let (log, log_from) =
            files::open_log(layout).map_err(PrivateError::io("open", layout.log()))?;
        let copy = log
            .try_clone()
            .map_err(PrivateError::io("open", layout.log()))?;
        let wal_compression = settings::wal_compression(binaries, user, &data);
        let mut command = user.command(&program, &data);
        command
            .arg("-D")
            .arg(&data)
            .args(settings::arguments(config, wal_compression, listen))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            // Ctrl-C must reach the daemon only, which then stops Postgres last.
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

    /// Whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => pid_file::is_postmaster_of(self.pid, &self.data),
        }
    }

    /// Waits until the process ends. The wait can be cancelled.
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

    /// Sends `signal` and waits until the process ends. After `limit` it sends QUIT, then
    /// KILL.
    pub async fn stop(&mut self, signal: &str, limit: Duration) -> Result<(), PrivateError> {
        let begin = Instant::now();
        for (signal, limit) in [
            (signal, limit),
            ("QUIT", FORCED_STOP_LIMIT),
            ("KILL", FORCED_STOP_LIMIT),
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

/// Sends a signal with the shell's built-in `kill`; not every system has the program.
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
