//! The one configuration of the daemon, from flags and environment.

mod doors;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use sqlx::postgres::PgConnectOptions;

pub use doors::{DoorArgs, TlsArgs};

use crate::listen::{ConnectionLimits, TlsFiles};

/// Less could not hold a few frames.
const LEAST_SPOOL_BYTES: u64 = 1 << 20;

/// `runtraced serve`: every flag has a `RUNTRACED_*` variable.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Postgres to write to. Without it, a private one is run in --data-dir.
    /// Must give sessions (a pooler in transaction mode will not do).
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where the private Postgres lives. Without it, $XDG_DATA_HOME/runtraced or
    /// ~/.local/share/runtraced; for root /var/lib/runtraced.
    #[arg(long, env = "RUNTRACED_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Folder with initdb and postgres, for the private Postgres. Without it
    /// they are looked for in PATH and the usual places.
    #[arg(long, env = "RUNTRACED_PG_BIN", value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Where events are kept on disk while Postgres is away; belongs to one
    /// daemon and one database. Without it, `spool` in --data-dir.
    #[arg(long, env = "RUNTRACED_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,
    /// Bytes that the spool may take on disk. 0: no spool, events wait for Postgres.
    #[arg(long, env = "RUNTRACED_SPOOL_BYTES", default_value_t = 4 << 30, value_name = "BYTES")]
    pub spool_bytes: u64,
    /// Seconds that an event may wait for Postgres before it is spooled.
    #[arg(
        long,
        env = "RUNTRACED_SPOOL_AFTER",
        default_value_t = 2.0,
        value_name = "SECONDS"
    )]
    pub spool_after: f64,
    /// Address for gRPC: TraceIngest, OTLP, health, reflection. Port 0 takes a free one.
    #[arg(
        long,
        env = "RUNTRACED_GRPC_LISTEN",
        default_value = "127.0.0.1:4317",
        value_name = "ADDR"
    )]
    pub grpc_listen: String,
    /// Address for HTTP: OTLP at /v1/traces, /livez, /readyz, /metrics.
    #[arg(
        long,
        env = "RUNTRACED_HTTP_LISTEN",
        default_value = "127.0.0.1:4318",
        value_name = "ADDR"
    )]
    pub http_listen: String,
    /// Take events only from who presents a valid key (`runtraced keys create`).
    /// Without it keys are judged where they are presented, and not asked for.
    #[arg(long, env = "RUNTRACED_REQUIRE_KEYS", value_parser = BoolishValueParser::new())]
    pub require_keys: bool,
    /// Allow addresses beyond loopback though anybody who reaches them may write.
    #[arg(long, env = "RUNTRACED_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
    /// Writer threads, each with its own connection.
    #[arg(long, env = "RUNTRACED_WRITERS", default_value_t = 2, value_name = "N")]
    pub writers: usize,
    /// Bytes of events that may be in memory, not yet settled.
    #[arg(long, env = "RUNTRACED_MEMORY_BUDGET_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub memory_budget_bytes: usize,
    /// Events after which a writer commits.
    #[arg(
        long,
        env = "RUNTRACED_BATCH_EVENTS",
        default_value_t = 10_000,
        value_name = "N"
    )]
    pub batch_events: usize,
    /// Bytes of events after which a writer commits.
    #[arg(long, env = "RUNTRACED_BATCH_BYTES", default_value_t = 8 << 20, value_name = "BYTES")]
    pub batch_bytes: usize,
    /// Milliseconds a writer waits for more before it commits. 0 takes what is there.
    #[arg(
        long,
        env = "RUNTRACED_LINGER_MS",
        default_value_t = 0,
        value_name = "MS"
    )]
    pub linger_ms: u64,
    /// Batches of one stream that may wait for their acks.
    #[arg(
        long,
        env = "RUNTRACED_STREAM_BATCHES",
        default_value_t = 1_024,
        value_name = "N"
    )]
    pub stream_batches: usize,
    /// Largest message taken, gRPC or HTTP, in bytes, also when decompressed.
    #[arg(long, env = "RUNTRACED_MAX_MESSAGE_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub max_message_bytes: usize,
    /// Bytes of one text beyond which it is cut, marked and counted in OTLP, and
    /// its event refused in the native protocol.
    #[arg(long, env = "RUNTRACED_MAX_FIELD_BYTES", default_value_t = 32 << 20, value_name = "BYTES")]
    pub max_field_bytes: usize,
    /// Keep spans that have nothing to do with an agent (HTTP, SQL) as steps.
    #[arg(long, env = "RUNTRACED_KEEP_FOREIGN_SPANS", value_parser = BoolishValueParser::new())]
    pub keep_foreign_spans: bool,
    /// Seconds without an event after which a run counts as abandoned.
    #[arg(
        long,
        env = "RUNTRACED_RUN_TIMEOUT",
        default_value_t = 3_600,
        value_name = "SECONDS"
    )]
    pub run_timeout: u64,
    /// Seconds between looks for abandoned runs and expired approvals.
    #[arg(
        long,
        env = "RUNTRACED_SWEEP_INTERVAL",
        default_value_t = 10.0,
        value_name = "SECONDS"
    )]
    pub sweep_interval: f64,
    /// Seconds after which a transaction is given up and tried again.
    #[arg(
        long,
        env = "RUNTRACED_COMMIT_TIMEOUT",
        default_value_t = 60.0,
        value_name = "SECONDS"
    )]
    pub commit_timeout: f64,
    /// Seconds after which an unsettled Submit is told to come again.
    #[arg(
        long,
        env = "RUNTRACED_SUBMIT_TIMEOUT",
        default_value_t = 30.0,
        value_name = "SECONDS"
    )]
    pub submit_timeout: f64,
    /// Seconds that a shutdown may take to settle what was taken in.
    #[arg(
        long,
        env = "RUNTRACED_DRAIN_TIMEOUT",
        default_value_t = 20.0,
        value_name = "SECONDS"
    )]
    pub drain_timeout: f64,
    /// Do not touch the schema at start; it must be up to date.
    #[arg(long, env = "RUNTRACED_NO_MIGRATE", value_parser = BoolishValueParser::new())]
    pub no_migrate: bool,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields say
    pub doors: DoorArgs,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields say
    pub tls: TlsArgs,
}

/// What the daemon is built from; valid as a whole.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields are the flags, parsed
pub struct Config {
    pub database: Database,
    pub grpc_listen: SocketAddr,
    pub http_listen: SocketAddr,
    pub require_keys: bool,
    pub writers: usize,
    pub memory_budget_bytes: usize,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub linger: Duration,
    pub stream_batches: usize,
    pub max_message_bytes: usize,
    pub max_field_bytes: usize,
    pub keep_foreign_spans: bool,
    pub run_timeout: Duration,
    pub sweep_interval: Duration,
    pub commit_timeout: Duration,
    pub submit_timeout: Duration,
    pub drain_timeout: Duration,
    pub migrate: bool,
    pub spool: Option<SpoolSettings>,
    pub connections: ConnectionLimits,
    pub max_streams: usize,
    pub receive_timeout: Duration,
    pub max_message_events: usize,
    pub max_json_depth: usize,
    pub tls: Option<TlsFiles>,
}

/// The spool, if there is one.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields are the flags, parsed
pub struct SpoolSettings {
    pub dir: PathBuf,
    pub bytes: u64,
    pub after: Duration,
}

/// Which Postgres.
#[derive(Clone, Debug)]
pub enum Database {
    /// Somebody else's.
    Url(Box<PgConnectOptions>),
    /// The daemon's own.
    Private {
        /// Where it lives.
        data_dir: PathBuf,
        /// Where its programs are.
        bin_dir: Option<PathBuf>,
    },
}

/// Every fault of a configuration, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Faults(pub Vec<String>);

impl ServeArgs {
    /// Checks everything and reports all faults at once.
    ///
    /// # Errors
    /// With every fault found.
    pub fn config(self) -> Result<Config, Faults> {
        let mut faults = Vec::new();
        let database = self.database(&mut faults);
        let tls = self.tls.files(&mut faults);
        let grpc_listen = self.address("--grpc-listen", &self.grpc_listen, &mut faults);
        let http_listen = self.address("--http-listen", &self.http_listen, &mut faults);
        for (flag, value, least, most) in [
            ("--writers", self.writers, 1, 256),
            (
                "--memory-budget-bytes",
                self.memory_budget_bytes,
                1 << 20,
                u32::MAX as usize,
            ),
            ("--batch-events", self.batch_events, 1, 1_000_000),
            ("--batch-bytes", self.batch_bytes, 1, 1 << 30),
            ("--stream-batches", self.stream_batches, 1, 1_000_000),
            (
                "--max-message-bytes",
                self.max_message_bytes,
                1_024,
                512 << 20,
            ),
            ("--max-field-bytes", self.max_field_bytes, 256, 512 << 20),
        ]
        .into_iter()
        .chain(self.doors.counts())
        {
            if !(least..=most).contains(&value) {
                faults.push(format!("{flag} {value} is not between {least} and {most}"));
            }
        }
        if (1..LEAST_SPOOL_BYTES).contains(&self.spool_bytes) {
            faults.push(format!(
                "--spool-bytes {} is neither 0 nor at least {LEAST_SPOOL_BYTES}",
                self.spool_bytes
            ));
        }
        let data_dir = self.data_dir.clone().unwrap_or_else(default_data_dir);
        // A year: added to any clock in use it stays a time that Postgres holds.
        let year = 366.0 * 86_400.0;
        let mut seconds = |flag: &str, value: f64, least: f64| {
            if !(least..=year).contains(&value) {
                faults.push(format!(
                    "{flag} {value} is not between {least} and {year} seconds"
                ));
                return Duration::ZERO;
            }
            Duration::from_secs_f64(value)
        };
        let spool = SpoolSettings {
            dir: self.spool_dir.unwrap_or_else(|| data_dir.join("spool")),
            bytes: self.spool_bytes,
            after: seconds("--spool-after", self.spool_after, 0.05),
        };
        let config = Config {
            spool: (spool.bytes > 0).then_some(spool),
            run_timeout: seconds("--run-timeout", self.run_timeout as f64, 1.0),
            sweep_interval: seconds("--sweep-interval", self.sweep_interval, 0.05),
            commit_timeout: seconds("--commit-timeout", self.commit_timeout, 0.1),
            submit_timeout: seconds("--submit-timeout", self.submit_timeout, 0.1),
            drain_timeout: seconds("--drain-timeout", self.drain_timeout, 0.0),
            linger: seconds("--linger-ms", self.linger_ms as f64 / 1e3, 0.0),
            database: database.unwrap_or(Database::Private {
                data_dir,
                bin_dir: self.pg_bin,
            }),
            grpc_listen: grpc_listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
            http_listen: http_listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
            require_keys: self.require_keys,
            writers: self.writers,
            memory_budget_bytes: self.memory_budget_bytes,
            batch_events: self.batch_events,
            batch_bytes: self.batch_bytes,
            stream_batches: self.stream_batches,
            max_message_bytes: self.max_message_bytes,
            max_field_bytes: self.max_field_bytes,
            keep_foreign_spans: self.keep_foreign_spans,
            migrate: !self.no_migrate,
            connections: self.doors.limits(&mut seconds),
            max_streams: self.doors.max_streams,
            receive_timeout: seconds("--receive-timeout", self.doors.receive_timeout, 0.05),
            max_message_events: self.doors.max_message_events,
            max_json_depth: self.doors.max_json_depth,
            tls,
        };
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(Faults(faults))
        }
    }

    fn database(&self, faults: &mut Vec<String>) -> Option<Database> {
        // Set but empty is how scripts say that a variable is not set.
        let url = self.database_url.as_deref().filter(|url| !url.is_empty())?;
        match parse_database_url(url) {
            Ok(options) => Some(Database::Url(Box::new(options))),
            Err(fault) => {
                faults.push(format!("--database-url {fault}"));
                None
            }
        }
    }

    fn address(&self, flag: &str, text: &str, faults: &mut Vec<String>) -> Option<SocketAddr> {
        let text = text.replace("localhost:", "127.0.0.1:");
        let Ok(address) = text.parse::<SocketAddr>() else {
            faults.push(format!(
                "{flag} {text} is not an address like 127.0.0.1:4317"
            ));
            return None;
        };
        if !address.ip().is_loopback() && !self.insecure && !self.require_keys {
            faults.push(format!(
                "{flag} {address} is beyond loopback, where anybody could write; \
                 say --require-keys, or --insecure if that is wanted"
            ));
        }
        Some(address)
    }
}

/// Reads a database URL without repeating it in the error: it may hold a password.
///
/// # Errors
/// What is wrong with it.
pub fn parse_database_url(url: &str) -> Result<PgConnectOptions, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("does not start with postgres:// or postgresql://".into());
    }
    url.parse()
        .map_err(|_| "is not a valid Postgres URL".into())
}

/// `$XDG_DATA_HOME/runtraced` or `~/.local/share/runtraced`; for root, whose home
/// an unprivileged Postgres cannot enter, `/var/lib/runtraced`.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("HOME");
    let private = home.as_deref().map_or(Ok(false), is_roots);
    if matches!(private, Ok(true)) {
        return PathBuf::from("/var/lib/runtraced");
    }
    set("XDG_DATA_HOME")
        .or_else(|| home.map(|home| home.join(".local/share")))
        .map_or_else(
            || PathBuf::from("runtraced-data"),
            |base| base.join("runtraced"),
        )
}

/// Whether a folder belongs to root and admits nobody else.
fn is_roots(folder: &Path) -> std::io::Result<bool> {
    let metadata = std::fs::metadata(folder)?;
    Ok(metadata.uid() == 0 && metadata.mode() & 0o001 == 0)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn config(args: &[&str]) -> Result<Config, Faults> {
        let args = ["runtraced"].iter().chain(args);
        Cli::try_parse_from(args).expect("flags").serve.config()
    }

    #[test]
    fn all_faults_are_reported_at_once_and_passwords_never() {
        let faults = config(&[
            "--database-url",
            "mysql://me:secret@host/db",
            "--grpc-listen",
            "nowhere",
            "--http-listen",
            "0.0.0.0:4318",
            "--writers",
            "0",
            "--run-timeout",
            "0",
        ])
        .expect_err("five faults");
        assert_eq!(faults.0.len(), 5, "{faults}");
        assert!(!faults.to_string().contains("secret"));
    }

    #[test]
    fn beyond_loopback_only_on_purpose() {
        assert!(config(&["--http-listen", "0.0.0.0:1"]).is_err());
        assert!(config(&["--http-listen", "0.0.0.0:1", "--insecure"]).is_ok());
        assert!(config(&["--http-listen", "0.0.0.0:1", "--require-keys"]).is_ok());
        assert!(config(&["--grpc-listen", "[::1]:0"]).is_ok());
        assert!(config(&["--grpc-listen", "localhost:0"]).is_ok());
    }
}
