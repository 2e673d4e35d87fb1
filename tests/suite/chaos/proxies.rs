//! What stands between the parts, and cuts them off from each other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use crate::support::watchdog;

/// What the proxy before Postgres is to do.
#[derive(Default)]
struct Orders {
    cut_copy: AtomicBool,
    cut_commit: AtomicBool,
}

/// Before Postgres: a socket in another folder.
pub struct PostgresProxy {
    pub url: String,
    dir: PathBuf,
    orders: Arc<Orders>,
    cut_all: watch::Sender<()>,
}

impl PostgresProxy {
    /// Passes on what comes to its socket to that which a cluster's URL names.
    pub fn start(cluster_url: &str) -> Self {
        let (rest, host) = cluster_url.split_once("?host=").unwrap();
        let host = PathBuf::from(host.replace("%2F", "/"));
        let port = rest.rsplit(':').next().unwrap().split('/').next().unwrap();
        let name = format!(".s.PGSQL.{port}");
        let dir = watchdog::scratch_dir("pgproxy");
        let url = format!("{rest}?host={}", dir.to_str().unwrap().replace('/', "%2F"));
        let listener = UnixListener::bind(dir.join(&name)).unwrap();
        let orders = Arc::<Orders>::default();
        let cut_all = watch::Sender::new(());
        tokio::spawn(serve(
            listener,
            host.join(name),
            orders.clone(),
            cut_all.subscribe(),
        ));
        Self {
            url,
            dir,
            orders,
            cut_all,
        }
    }

    /// Cuts the next connection that is amid COPY.
    pub fn cut_copy(&self) {
        self.orders.cut_copy.store(true, SeqCst);
    }

    /// Passes the next COMMIT on, and cuts the connection before its answer.
    pub fn cut_commit(&self) {
        self.orders.cut_commit.store(true, SeqCst);
    }

    /// Nothing more will be cut.
    pub fn heal(&self) {
        self.orders.cut_copy.store(false, SeqCst);
        self.orders.cut_commit.store(false, SeqCst);
    }

    /// Cuts all connections.
    pub fn cut_all(&self) {
        self.cut_all.send_replace(());
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        watchdog::remove_scratch_dir(&self.dir);
    }
}

async fn serve(
    listener: UnixListener,
    target: PathBuf,
    orders: Arc<Orders>,
    cut_all: watch::Receiver<()>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (orders, mut cut_all, target) = (orders.clone(), cut_all.clone(), target.clone());
        cut_all.mark_unchanged();
        tokio::spawn(async move {
            tokio::select! {
                () = connection(client, &target, &orders) => {}
                _ = cut_all.changed() => {}
            }
        });
    }
}

/// Passes one connection on until it ends or is to be cut.
async fn connection(client: UnixStream, target: &Path, orders: &Orders) {
    let Ok(server) = UnixStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        let mut copying = false;
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            let bytes = &buffer[..read];
            // What follows a COPY statement are its rows.
            if copying && orders.cut_copy.swap(false, SeqCst) {
                let _ = to_server.write_all(&bytes[..read / 2]).await;
                return;
            }
            copying = holds(bytes, b"COPY ");
            if to_server.write_all(bytes).await.is_err() {
                return;
            }
            if holds(bytes, b"COMMIT\0") && orders.cut_commit.swap(false, SeqCst) {
                // Postgres gets it all the same.
                let _ = to_server.shutdown().await;
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = pass(&mut from_server, &mut to_client) => {}
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn pass(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let _ = tokio::io::copy(from, to).await;
}

/// Before a daemon: an address that stays when the daemon does not.
pub struct DaemonProxy {
    pub url: String,
    target: Arc<Mutex<String>>,
    cut_all: watch::Sender<()>,
}

impl DaemonProxy {
    pub async fn start(daemon_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(Mutex::new(address(daemon_url)));
        let cut_all = watch::Sender::new(());
        let (current, cut) = (target.clone(), cut_all.subscribe());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (target, mut cut) = (current.lock().unwrap().clone(), cut.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut daemon) = TcpStream::connect(target).await else {
                        return;
                    };
                    let passed = tokio::io::copy_bidirectional(&mut client, &mut daemon);
                    tokio::select! {
                        _ = passed => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            url,
            target,
            cut_all,
        }
    }

    /// The daemon is elsewhere now.
    pub fn moved(&self, daemon_url: &str) {
        *self.target.lock().unwrap() = address(daemon_url);
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cut_all.send_replace(());
    }
}

fn address(url: &str) -> String {
    url.strip_prefix("http://").unwrap().to_owned()
}
