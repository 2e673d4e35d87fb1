//! TLS at both doors, with certificates that the tests make.

pub mod authority;
mod commands;
mod doors;
mod rotation;
mod self_signed;

use std::path::{Path, PathBuf};

use runtraced_client::{Client, ClientError, ClientTls, RetryPolicy};

use crate::support::daemon::Daemon;
use authority::{Authority, Issued};

/// A folder with a daemon's certificate, where it may be changed.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(issued: &Issued) -> Self {
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        files.put(issued);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, issued: &Issued) {
        self.write("key.pem", &issued.key_pem);
        self.write("cert.pem", &issued.cert_pem);
    }

    /// By a rename, as those do who renew certificates.
    fn write(&self, name: &str, content: &str) {
        let next = self.path(&format!("{name}.next"));
        std::fs::write(&next, content).unwrap();
        std::fs::rename(next, self.path(name)).unwrap();
    }

    fn args(&self, mutual: bool) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut args = vec![
            "--tls-cert".into(),
            text(self.path("cert.pem")),
            "--tls-key".into(),
            text(self.path("key.pem")),
        ];
        if mutual {
            args.extend(["--tls-client-ca".into(), text(self.path("clients.pem"))]);
        }
        args
    }

    async fn daemon(&self, database_url: &str, mutual: bool) -> Daemon {
        let args = self.args(mutual);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Daemon::spawn(database_url, &args).await
    }
}

/// The address for a client with TLS.
fn https(daemon: &Daemon) -> String {
    daemon.grpc_url().replacen("http://", "https://", 1)
}

/// A connection to a daemon whose certificate must come from this authority.
async fn connect(
    daemon: &Daemon,
    authority: &Authority,
    identity: Option<&Issued>,
) -> Result<Client, ClientError> {
    let mut tls = ClientTls::default().trust(&authority.pem);
    if let Some(issued) = identity {
        tls = tls.identify(&issued.cert_pem, &issued.key_pem);
    }
    Client::connect_tls(&https(daemon), tls, hasty()).await
}

fn hasty() -> RetryPolicy {
    RetryPolicy {
        give_up_after: std::time::Duration::from_secs(2),
        ..RetryPolicy::default()
    }
}

/// `/readyz` by curl: its exit code and what it printed. Waits until it is ready.
fn curl(daemon: &Daemon, ca: &Path, args: &[&str]) -> (Option<i32>, String) {
    fetch(daemon, ca, args, "/readyz")
}

/// A page by curl.
fn page(daemon: &Daemon, ca: &Path, args: &[&str], path: &str) -> String {
    fetch(daemon, ca, args, path).1
}

fn fetch(daemon: &Daemon, ca: &Path, args: &[&str], path: &str) -> (Option<i32>, String) {
    let out = std::process::Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(ca)
        .args(args)
        .arg(format!("https://{}{path}", daemon.http_address()))
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    (
        out.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// What must hold at the end, as far as it can be seen by TLS.
async fn finish(daemon: Daemon, files: &Files) {
    finish_with(daemon, files, &[]).await;
}

async fn finish_with(mut daemon: Daemon, files: &Files, args: &[&str]) {
    let metrics = page(&daemon, &files.path("ca.pem"), args, "/metrics");
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{metrics}"))
            .trim()
            .parse()
            .unwrap()
    };
    let settled: u64 = metrics
        .lines()
        .filter(|line| line.starts_with("runtraced_events_settled_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(value("runtraced_events_received_total "), settled);
    assert_eq!(value("runtraced_memory_used_bytes "), 0);
    assert!(daemon.terminate().await.success(), "{}", daemon.logs());
    daemon.check_logs();
}
