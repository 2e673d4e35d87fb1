//! Masked secrets: none reaches the database, the spool, dead letters, logs or metrics,
//! whatever field and endpoint it comes by.

mod events;
mod otlp;
mod secrets;
mod settings;
mod stores;

use sqlx::{AssertSqlSafe, PgConnection};

use self::secrets::Secret;
use crate::support::daemon::Daemon;
use crate::support::watchdog;

/// How many secrets are tried.
const SECRETS: usize = 300;

/// The data folder of a daemon, where its key of masks is. Removed in the end.
struct DataDir(std::path::PathBuf);

impl DataDir {
    fn new() -> Self {
        Self(watchdog::scratch_dir("data"))
    }

    /// The flags of a daemon that masks.
    fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut flags = vec!["--data-dir", self.0.to_str().unwrap(), "--mask", "default"];
        flags.extend(more);
        flags
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        watchdog::remove_scratch_dir(&self.0);
    }
}

/// Starts a daemon that logs all that it can about what it does.
async fn daemon(database_url: &str, flags: &[&str]) -> Daemon {
    let daemon = Daemon::spawn_with_env(database_url, flags, &[("RUST_LOG", "debug")]).await;
    daemon.wait_ready().await;
    daemon
}

/// The kinds and needles of the secrets that are in a text.
fn found_in(text: &[u8], secrets: &[Secret]) -> Vec<String> {
    let found = secrets.iter().filter(|secret| {
        let needle = secret.needle.as_bytes();
        memchr::memmem::find(text, needle).is_some()
    });
    found
        .map(|secret| format!("{} {}", secret.kind, secret.needle))
        .collect()
}

/// Every row of every table, as text.
async fn dump(conn: &mut PgConnection) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I', table_name) FROM information_schema.tables
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    let mut all = String::new();
    for table in tables {
        let query =
            format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM public.{table} t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        all.push_str(&rows);
    }
    // In rows, quotes and backslashes are doubled.
    all.replace("\"\"", "\"").replace("\\\\", "\\")
}

/// Neither the database nor the daemon's log or metrics hold a secret.
async fn check_nothing_found(daemon: &Daemon, conn: &mut PgConnection, secrets: &[Secret]) {
    let dump = dump(conn).await;
    assert_eq!(
        found_in(dump.as_bytes(), secrets),
        [""; 0],
        "in the database"
    );
    assert!(dump.contains("[masked:"), "nothing was masked");
    let logs = daemon.logs();
    assert_eq!(found_in(logs.as_bytes(), secrets), [""; 0], "in the log");
    let metrics = daemon.get("/metrics").await.1;
    assert_eq!(
        found_in(metrics.as_bytes(), secrets),
        [""; 0],
        "in the metrics"
    );
}

/// All secrets together were masked, none of them unseen.
async fn check_counted(daemon: &Daemon, at_least: u64) {
    let metrics = daemon.metrics().await;
    let masked = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("runtraced_masked_total{"));
    let sum: u64 = masked.map(|(_, count)| count).sum();
    assert!(sum >= at_least, "{sum} of {at_least}");
    assert_eq!(metrics["runtraced_masked_total{kind=\"unchecked\"}"], 0);
}
