//! The private Postgres from start to stop.

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

/// How often a start is tried while what hinders it passes by itself.
const START_TRIES: u32 = 20;
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// A running Postgres that belongs to this process.
///
/// It outlives a drop, as it outlives a crash of the daemon: the next
/// [`start`](Self::start) on the folder adopts it. [`stop`](Self::stop) ends it.
pub struct PrivatePostgres {
    config: PrivateConfig,
    prepared: Prepared,
    postmaster: Postmaster,
    info: ConnectionInfo,
}

impl PrivatePostgres {
    /// Starts the Postgres of a folder, making its cluster the first time,
    /// and waits until it accepts connections. One that still runs there,
    /// because a daemon was killed, is adopted as it is, with the settings it
    /// was started with.
    ///
    /// # Errors
    /// [`PrivateError`]; each says what to do.
    pub async fn start(config: &PrivateConfig) -> Result<Self, PrivateError> {
        let config = config.clone();
        let work = config.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&work))
            .await
            .map_err(|_| PrivateError::CutOff)??;
        let (postmaster, info) = match adopt(&config, &prepared).await? {
            Some(running) => running,
            None => launch(&config, &prepared).await?,
        };
        Ok(Self {
            config,
            prepared,
            postmaster,
            info,
        })
    }

    /// The database's URL over the unix socket, for sqlx and `psql`.
    pub fn url(&self) -> &str {
        &self.info.url
    }

    /// The database's URL over loopback TCP. It contains the password.
    pub fn tcp_url(&self) -> &str {
        &self.info.tcp_url
    }

    /// Where it listens.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.info
    }

    /// The major version of its programs.
    pub fn major_version(&self) -> u32 {
        self.prepared.binaries.major
    }

    /// The path of one of its programs, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.prepared.binaries.program(name)
    }

    /// The process number of the postmaster.
    pub fn pid(&self) -> u32 {
        self.postmaster.pid
    }

    /// Whether the server process still runs. It may run and still refuse
    /// connections, while it recovers from the crash of one of its processes.
    pub fn is_alive(&mut self) -> bool {
        self.postmaster.is_alive()
    }

    /// Waits until the server process ends, by whatever cause. Cancelling the
    /// wait is harmless.
    pub async fn exited(&mut self) {
        self.postmaster.exited().await;
    }

    /// Starts the server again, after it ended or after stopping it; with the
    /// same port unless somebody took it.
    ///
    /// # Errors
    /// [`PrivateError`], as for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), PrivateError> {
        self.stop(StopMode::Fast).await?;
        (self.postmaster, self.info) = launch(&self.config, &self.prepared).await?;
        Ok(())
    }

    /// Stops the server and waits for its end; when it takes longer than
    /// `stop_timeout`, it is stopped more roughly.
    ///
    /// # Errors
    /// [`PrivateError::NotStopped`] when nothing helps.
    pub async fn stop(&mut self, mode: StopMode) -> Result<(), PrivateError> {
        let limit = self.config.stop_timeout;
        self.postmaster.stop(mode.signal(), limit).await?;
        sockets::remove_folder(&self.prepared.layout, &self.info.socket_dir);
        Ok(())
    }

    /// Finds the running server of a folder from another process.
    ///
    /// # Errors
    /// [`PrivateError::NotRunning`] when nothing answers there.
    pub fn locate(data_dir: &Path) -> Result<ConnectionInfo, PrivateError> {
        ConnectionInfo::locate(data_dir)
    }
}

/// Without the password.
impl fmt::Debug for PrivatePostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivatePostgres")
            .field("info", &self.info)
            .field("postmaster", &self.postmaster)
            .finish_non_exhaustive()
    }
}

/// Takes over a server that runs on the cluster. `None`: there is none, or it
/// ended meanwhile.
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
        // Caught in its first moments, or somebody removed its socket.
        let limit = config.stop_timeout;
        postmaster.stop(StopMode::Fast.signal(), limit).await?;
        return Ok(None);
    };
    match ready::wait(&mut postmaster, layout, &info, config.start_timeout).await {
        Ok(connection) => ready::ensure_database(connection).await?,
        // It was about to stop.
        Err(PrivateError::Exited { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    info.write(layout)?;
    tracing::info!(
        pid = running.pid,
        port = info.port,
        "adopted the private Postgres that runs already"
    );
    Ok(Some((postmaster, info)))
}

/// Starts a server on the cluster.
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
            Err(PrivateError::Exited { tail, .. }) if tries < START_TRIES && passes(&tail) => {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            done => return done,
        }
    }
}

/// Whether what ended the server passes by itself: somebody took the port that
/// was just free, or backends whose postmaster was killed have yet to notice.
fn passes(log: &str) -> bool {
    log.contains("could not bind") || log.contains("pre-existing shared memory block")
}

async fn launch_on(
    config: &PrivateConfig,
    prepared: &Prepared,
    port: u16,
) -> Result<(Postmaster, ConnectionInfo), PrivateError> {
    let Prepared {
        layout,
        identity,
        binaries,
        password,
        ..
    } = prepared;
    let sockets = sockets::folder(layout, identity)?;
    let listen = Listen {
        port,
        sockets: &sockets,
    };
    pid_file::defuse(layout, identity)?;
    let mut postmaster = Postmaster::spawn(config, layout, binaries, identity, &listen)?;
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
