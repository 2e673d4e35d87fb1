//! Starts, adopts, restarts and stops the private Postgres.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    config::{PrivateConfig, StopMode},
    connection::ConnectionInfo,
    error::PrivateError,
    pid_file,
    prepare::{Prepared, prepare},
    process::Postmaster,
    ready,
    settings::Listen,
    sockets,
};

/// How often a start is tried while its failures are temporary.
const START_TRIES: u32 = 20;
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// A running Postgres that belongs to this process.
///
/// Dropping this value does not stop the server, just as a crash of the daemon does not:
/// the next [`start`](Self::start) on the folder adopts it. [`stop`](Self::stop) stops it.
pub struct PrivatePostgres {
    config: PrivateConfig,
    prepared: Prepared,
    postmaster: Postmaster,
    info: ConnectionInfo,
}

impl PrivatePostgres {
    /// Starts the server of a folder and waits until it accepts connections. The first
    /// start creates the cluster.
    ///
    /// If a server still runs there, because its daemon was killed, it is adopted. It
    /// keeps the settings that it was started with.
    ///
    /// # Errors
    /// [`PrivateError`]; each one says what to do.
    pub async fn start(config: &PrivateConfig) -> Result<Self, PrivateError> {
        let config = config.clone();
        let work = config.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&work))
            .await
            .map_err(|_| PrivateError::Cancelled)??;
        let (postmaster, info) = match adopt(&config, &prepared).await? {
            Some(adopted) => adopted,
            None => launch(&config, &prepared).await?,
        };
        Ok(Self {
            config,
            prepared,
            postmaster,
            info,
        })
    }

    /// The URL of the database over the unix socket, for sqlx and `psql`.
    pub fn url(&self) -> &str {
        &self.info.url
    }

    /// The URL of the database over loopback TCP. It contains the password.
    pub fn tcp_url(&self) -> &str {
        &self.info.tcp_url
    }

    /// How to connect to the server.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.info
    }

    /// The major version of the server's programs.
    pub fn major_version(&self) -> u32 {
        self.prepared.binaries.major
    }

    /// The path of one of its programs, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.prepared.binaries.program(name)
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.postmaster.pid
    }

    /// Whether the server process runs. It may refuse connections while it recovers from
    /// the crash of one of its processes.
    pub fn is_alive(&mut self) -> bool {
        self.postmaster.is_alive()
    }

    /// Waits until the server process ends for any reason. The wait can be cancelled.
    pub async fn exited(&mut self) {
        self.postmaster.exited().await;
    }

    /// Stops the server if it runs, and starts it again. The port stays the same unless
    /// another process has taken it.
    ///
    /// # Errors
    /// [`PrivateError`], as for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), PrivateError> {
        self.stop(StopMode::Fast).await?;
        (self.postmaster, self.info) = launch(&self.config, &self.prepared).await?;
        Ok(())
    }

    /// Stops the server and waits until it has ended. After `stop_timeout` it sends
    /// stronger signals.
    ///
    /// # Errors
    /// [`PrivateError::NotStopped`] if the server does not end.
    pub async fn stop(&mut self, mode: StopMode) -> Result<(), PrivateError> {
        let limit = self.config.stop_timeout;
        self.postmaster.stop(mode.signal(), limit).await?;
        sockets::remove_folder(&self.prepared.layout, &self.info.socket_dir);
        Ok(())
    }

    /// Finds the running server of a folder, from any process.
    ///
    /// # Errors
    /// [`PrivateError::NotRunning`] if no server answers.
    pub fn locate(data_dir: &Path) -> Result<ConnectionInfo, PrivateError> {
        ConnectionInfo::locate(data_dir)
    }
}

/// Omits the password.
impl fmt::Debug for PrivatePostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivatePostgres")
            .field("info", &self.info)
            .field("postmaster", &self.postmaster)
            .finish_non_exhaustive()
    }
}

/// Adopts a server that runs on the cluster. `None` if none runs, or if it ended during
/// the call.
async fn adopt(
    config: &PrivateConfig,
    prepared: &Prepared,
) -> Result<Option<(Postmaster, ConnectionInfo)>, PrivateError> {
    let layout = &prepared.layout;
    let cluster = layout.cluster();
    let Some(running) = pid_file::running(&cluster)? else {
        return Ok(None);
    };
    let mut postmaster = Postmaster::adopted(running.pid, cluster.data());
    let reachable = |info: &ConnectionInfo| !running.ready || info.socket().exists();
    let info = running
        .listen
        .map(|(port, sockets)| ConnectionInfo::new(port, &sockets, &prepared.password))
        .filter(reachable);
    let Some(info) = info else {
        // The server has just started, or its socket was removed.
        let limit = config.stop_timeout;
        postmaster.stop(StopMode::Fast.signal(), limit).await?;
        return Ok(None);
    };
    match ready::wait(&mut postmaster, layout, &info, config.start_timeout).await {
        Ok(connection) => ready::ensure_database(connection).await?,
        // The server was stopping.
        Err(PrivateError::Exited { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    info.write(layout)?;
    tracing::info!(
        pid = running.pid,
        port = info.port,
        "adopted the running private Postgres"
    );
    Ok(Some((postmaster, info)))
}

/// Starts a server on the cluster, with the port of the last start if that is free.
async fn launch(
    config: &PrivateConfig,
    prepared: &Prepared,
) -> Result<(Postmaster, ConnectionInfo), PrivateError> {
    let wanted = ConnectionInfo::read(&prepared.layout)?.map(|info| info.port);
    let mut tries = 0;
    loop {
        tries += 1;
        let port = sockets::free_port(wanted)?;
        match launch_on(config, prepared, port).await {
            Err(PrivateError::Exited { tail, .. })
                if tries < START_TRIES && is_temporary(&tail) =>
            {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            done => return done,
        }
    }
}

/// Whether a start failed for a temporary reason: another process took the free port, or
/// backends of a killed postmaster have not exited yet.
fn is_temporary(log: &str) -> bool {
    log.contains("could not bind") || log.contains("pre-existing shared memory block")
}

async fn launch_on(
    config: &PrivateConfig,
    prepared: &Prepared,
    port: u16,
) -> Result<(Postmaster, ConnectionInfo), PrivateError> {
    let Prepared {
        layout,
        user,
        binaries,
        password,
        ..
    } = prepared;
    let sockets = sockets::folder(layout, user)?;
    let listen = Listen {
        port,
        sockets: &sockets,
    };
    pid_file::neutralize_stale(layout, user)?;
    let mut postmaster = Postmaster::spawn(config, layout, binaries, user, &listen)?;
    let info = ConnectionInfo::new(port, &sockets, password);
    let connection = ready::wait(&mut postmaster, layout, &info, config.start_timeout).await?;
    ready::ensure_database(connection).await?;
    info.write(layout)?;
    tracing::info!(
        pid = postmaster.pid,
        port,
        version = binaries.major,
        "private Postgres started"
    );
    Ok((postmaster, info))
}
