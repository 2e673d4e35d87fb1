//! The configuration of the daemon, from flags and environment variables.

mod database;
mod dialects;
mod doors;
mod masking;
mod otel;
mod retention;
mod spool;
mod units;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction::SetTrue;
use clap::Args;

pub use database::{
    DatabaseSource, MAX_SERVERS, database_address, default_data_dir, given_urls,
    parse_database_url, parse_database_urls,
};
pub use dialects::{DialectFault, read_dialects};
pub use doors::{ConnectionArgs, TlsArgs};
pub use masking::{MaskArgs, MaskKeyFile, MaskSettings};
pub use otel::{CollectorTrust, OtelArgs, OtelSettings};
pub use retention::{RetentionArgs, RetentionSettings, keep};
pub use spool::SpoolSettings;
pub use values::{Faults, FlagReader, FlagValue, FlagValueParser, MAX_DURATION};

use crate::event::{ContentRule, MAX_JSON_DEPTH};
use crate::ingest::native::MAX_EVENTS_PER_MESSAGE;
use crate::ingest::otlp::map::Dialects;
use crate::listen::{ConnectionLimits, TlsFiles};

/// Each writer holds a Postgres session; servers rarely allow more.
const MAX_WRITERS: usize = 256;
/// The value of --writers that leaves the choice to the daemon.
const AUTO: &str = "auto";
/// Limit of all other counts. Higher ones are typing mistakes: memory runs out first.
const MAX_COUNT: usize = 1_000_000;
/// A smaller budget cannot hold a few events.
const MIN_MEMORY_BUDGET_BYTES: u64 = 1 << 20;
/// Semaphores that count bytes hand out at most this many at a time.
const MAX_MEMORY_BUDGET_BYTES: u64 = u32::MAX as u64;
/// Postgres refuses values and messages above 1 GiB.
const MAX_BATCH_BYTES: u64 = 1 << 30;
/// A smaller message cannot hold one event.
const MIN_MESSAGE_BYTES: u64 = 1 << 10;
/// Half of what Postgres stores in one value: text may grow when it is escaped.
const MAX_MESSAGE_BYTES: u64 = 512 << 20;
/// Below this, names and ids would be cut.
const MIN_FIELD_BYTES: u64 = 256;
/// Shorter timeouts and intervals would fire on a healthy but busy machine.
const MIN_TIMEOUT: Duration = Duration::from_millis(50);
/// The same for whatever waits for a transaction.
const MIN_COMMIT_TIMEOUT: Duration = Duration::from_millis(100);
/// Runs rarely send events more often.
const MIN_RUN_TIMEOUT: Duration = Duration::from_secs(1);

/// `runtraced serve`. Each flag has an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_help = UNITS_HELP, after_long_help = UNITS_HELP)]
pub struct ServeArgs {
    /// Postgres to write to; without it, a private one in --data-dir. Needs session
    /// pooling or no pooler: transaction pooling does not work. Several, with the flag repeated or
    /// spaces between them: the servers of one store, in the order of `runtraced migrate`.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ' '
    )]
    pub database_url: Vec<String>,
    /// Folder of the private Postgres; without it, $XDG_DATA_HOME/runtraced or
    /// ~/.local/share/runtraced; for root, /var/lib/runtraced.
    #[arg(long, env = "RUNTRACED_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Folder with the programs initdb and postgres for the private Postgres; without it,
    /// PATH and the usual folders are searched.
    #[arg(long, env = "RUNTRACED_PG_BIN", value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Folder for events while Postgres is away; without it, `spool` in --data-dir. It
    /// belongs to one daemon and one database.
    #[arg(long, env = "RUNTRACED_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,
    /// Largest size of the spool on disk. 0: no spool, events wait for Postgres.
    #[arg(
        long,
        env = "RUNTRACED_SPOOL_BYTES",
        default_value = "4GiB",
        value_name = "SIZE"
    )]
    pub spool_bytes: FlagValue,
    /// Time that an event waits for Postgres before it is spooled.
    #[arg(
        long,
        env = "RUNTRACED_SPOOL_AFTER",
        default_value = "2s",
        value_name = "DURATION"
    )]
    pub spool_after: FlagValue,
    /// Address of the gRPC endpoint: TraceIngest, OTLP, health, reflection. Port 0: any
    /// free port.
    #[arg(
        long,
        env = "RUNTRACED_GRPC_LISTEN",
        default_value = "127.0.0.1:4317",
        value_name = "ADDR"
    )]
    pub grpc_listen: FlagValue,
    /// Address of the HTTP endpoint: the page, its API, OTLP at /v1/traces, events as JSON at
    /// /v1/events, /livez, /readyz, /metrics. Port 0: any free port.
    #[arg(
        long,
        env = "RUNTRACED_HTTP_LISTEN",
        default_value = "127.0.0.1:4318",
        value_name = "ADDR"
    )]
    pub http_listen: FlagValue,
    /// Reject requests without a valid key (`runtraced keys create`). Without this flag a
    /// key is optional, but an invalid one is rejected.
    #[arg(long, env = "RUNTRACED_REQUIRE_KEYS", action = SetTrue)]
    pub require_keys: FlagValue,
    /// Listen beyond loopback without keys: anyone who reaches the address can write.
    #[arg(long, env = "RUNTRACED_INSECURE", action = SetTrue)]
    pub insecure: FlagValue,
    /// On loopback without --require-keys, let programs of all users of this machine read
    /// and decide without a key. Without this flag only those of the daemon's user may.
    #[arg(long, env = "RUNTRACED_OPEN_PAGE", action = SetTrue)]
    pub open_page: FlagValue,
    /// Role under which the page reads for keys of one customer and for users. `runtraced
    /// grant --reader` makes it; on Supabase, authenticated.
    #[arg(
        long,
        env = "RUNTRACED_READ_ROLE",
        default_value = "runtraced_reader",
        value_name = "NAME"
    )]
    pub read_role: String,
    /// File with the keys that sign tokens of users, a JSON Web Key Set. Without it, tokens
    /// are no right to read.
    #[arg(long, env = "RUNTRACED_JWT_KEYS", value_name = "FILE")]
    pub jwt_keys: Option<PathBuf>,
    /// Writer threads, each with its own Postgres connection. `auto`: 2; if the database has slots,
    /// one for each slot, up to 16.
    #[arg(long, env = "RUNTRACED_WRITERS", default_value = AUTO, value_name = "N")]
    pub writers: FlagValue,
    /// Largest total size of unsettled events in memory.
    #[arg(
        long,
        env = "RUNTRACED_MEMORY_BUDGET_BYTES",
        default_value = "64MiB",
        value_name = "SIZE"
    )]
    pub memory_budget_bytes: FlagValue,
    /// Number of events after which a writer commits.
    #[arg(
        long,
        env = "RUNTRACED_BATCH_EVENTS",
        default_value = "10000",
        value_name = "N"
    )]
    pub batch_events: FlagValue,
    /// Total size of events after which a writer commits.
    #[arg(
        long,
        env = "RUNTRACED_BATCH_BYTES",
        default_value = "8MiB",
        value_name = "SIZE"
    )]
    pub batch_bytes: FlagValue,
    /// Milliseconds that a writer waits for more events before it commits. 0: commit
    /// immediately.
    #[arg(
        long,
        env = "RUNTRACED_LINGER_MS",
        default_value = "0",
        value_name = "MS"
    )]
    pub linger_ms: FlagValue,
    /// Batches of one stream that may wait for their acks.
    #[arg(
        long,
        env = "RUNTRACED_STREAM_BATCHES",
        default_value = "1024",
        value_name = "N"
    )]
    pub stream_batches: FlagValue,
    /// Largest message, gRPC or HTTP, after decompression.
    #[arg(
        long,
        env = "RUNTRACED_MAX_MESSAGE_BYTES",
        default_value = "64MiB",
        value_name = "SIZE"
    )]
    pub max_message_bytes: FlagValue,
    /// Largest text of an event. OTLP: longer texts are cut, marked and counted. Native
    /// protocol: the event is refused.
    #[arg(
        long,
        env = "RUNTRACED_MAX_FIELD_BYTES",
        default_value = "32MiB",
        value_name = "SIZE"
    )]
    pub max_field_bytes: FlagValue,
    /// Keep spans that have nothing to do with an agent (HTTP, SQL) as steps.
    #[arg(long, env = "RUNTRACED_KEEP_FOREIGN_SPANS", action = SetTrue)]
    pub keep_foreign_spans: FlagValue,
    /// Folder with dialect files (*.toml), which add to the built-in dialects of OTLP or
    /// replace those of the same name.
    #[arg(long, env = "RUNTRACED_OTLP_DIALECTS", value_name = "DIR")]
    pub otlp_dialects: Option<PathBuf>,
    /// Store what the large inputs and outputs of steps have in common once for each session, or
    /// for each run without a session. SQL then reads them with content_value(), and the views
    /// show them as they were sent.
    #[arg(long, env = "RUNTRACED_CONTENT_ONCE", action = SetTrue)]
    pub content_once: FlagValue,
    /// Time without an event after which a run counts as abandoned.
    #[arg(
        long,
        env = "RUNTRACED_RUN_TIMEOUT",
        default_value = "1h",
        value_name = "DURATION"
    )]
    pub run_timeout: FlagValue,
    /// Time between searches for abandoned runs and expired approvals.
    #[arg(
        long,
        env = "RUNTRACED_SWEEP_INTERVAL",
        default_value = "10s",
        value_name = "DURATION"
    )]
    pub sweep_interval: FlagValue,
    /// Time after which a transaction is cancelled and retried.
    #[arg(
        long,
        env = "RUNTRACED_COMMIT_TIMEOUT",
        default_value = "60s",
        value_name = "DURATION"
    )]
    pub commit_timeout: FlagValue,
    /// Time after which the daemon tells the client of an unsettled Submit to retry.
    #[arg(
        long,
        env = "RUNTRACED_SUBMIT_TIMEOUT",
        default_value = "30s",
        value_name = "DURATION"
    )]
    pub submit_timeout: FlagValue,
    /// Time that a shutdown may take to settle the events in memory.
    #[arg(
        long,
        env = "RUNTRACED_DRAIN_TIMEOUT",
        default_value = "20s",
        value_name = "DURATION"
    )]
    pub drain_timeout: FlagValue,
    /// Do not migrate the schema at start. It must be up to date.
    #[arg(long, env = "RUNTRACED_NO_MIGRATE", action = SetTrue)]
    pub no_migrate: FlagValue,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub masking: MaskArgs,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub retention: RetentionArgs,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub connections: ConnectionArgs,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub tls: TlsArgs,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub otel: OtelArgs,
}

/// How to write values, below the flags of a command.
pub const UNITS_HELP: &str = "\
SIZE is a number of bytes, or has a unit: 512KiB, 64MiB, 4GB.
DURATION is a number of seconds, or has a unit: 500ms, 30s, 5m, 2h.";

/// A valid configuration of the daemon.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields are the flags, parsed
pub struct Config {
    pub database: DatabaseSource,
    pub grpc_listen: SocketAddr,
    pub http_listen: SocketAddr,
    pub require_keys: bool,
    pub open_page: bool,
    pub read_role: String,
    pub jwt_keys: Option<PathBuf>,
    /// `None`: as the database has slots.
    pub writers: Option<usize>,
    pub memory_budget_bytes: usize,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub linger: Duration,
    pub stream_batches: usize,
    pub max_message_bytes: usize,
    pub max_field_bytes: usize,
    pub keep_foreign_spans: bool,
    pub otlp_dialects: Arc<Dialects>,
    pub contents: ContentRule,
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
    pub mask: Option<MaskSettings>,
    pub retention: Option<RetentionSettings>,
    pub tls: Option<TlsFiles>,
    pub otel: Option<OtelSettings>,
}

impl ServeArgs {
    /// Parses all values.
    ///
    /// # Errors
    /// Every fault found.
    pub fn config(self) -> Result<Config, Faults> {
        let mut flags = FlagReader::default();
        let database = database::source(&mut flags, &self.database_url);
        let tls = self.tls.files(&mut flags);
        let require_keys = flags.switch(&self.require_keys);
        let open = flags.switch(&self.insecure) || require_keys;
        let data_dir = self.data_dir.unwrap_or_else(default_data_dir);
        let mask = self.masking.settings(&mut flags, &data_dir);
        let config = Config {
            mask,
            grpc_listen: listen_address(&mut flags, &self.grpc_listen, open),
            http_listen: listen_address(&mut flags, &self.http_listen, open),
            spool: spool::settings(
                &mut flags,
                (&self.spool_bytes, &self.spool_after),
                self.spool_dir.unwrap_or_else(|| data_dir.join("spool")),
                database.as_ref().map_or(1, DatabaseSource::servers),
            ),
            database: database.unwrap_or(DatabaseSource::Private {
                data_dir,
                bin_dir: self.pg_bin,
            }),
            require_keys,
            open_page: flags.switch(&self.open_page),
            read_role: self.read_role,
            // Scripts set a variable to nothing to say that it is not set.
            jwt_keys: self.jwt_keys.filter(|file| !file.as_os_str().is_empty()),
            writers: (self.writers.text() != AUTO)
                .then(|| flags.integer(&self.writers, 1..=MAX_WRITERS)),
            memory_budget_bytes: flags.memory_size(
                &self.memory_budget_bytes,
                MIN_MEMORY_BUDGET_BYTES..=MAX_MEMORY_BUDGET_BYTES,
            ),
            batch_events: flags.integer(&self.batch_events, 1..=MAX_COUNT),
            batch_bytes: flags.memory_size(&self.batch_bytes, 1..=MAX_BATCH_BYTES),
            linger: linger(&mut flags, &self.linger_ms),
            stream_batches: flags.integer(&self.stream_batches, 1..=MAX_COUNT),
            max_message_bytes: flags.memory_size(
                &self.max_message_bytes,
                MIN_MESSAGE_BYTES..=MAX_MESSAGE_BYTES,
            ),
            max_field_bytes: flags
                .memory_size(&self.max_field_bytes, MIN_FIELD_BYTES..=MAX_MESSAGE_BYTES),
            keep_foreign_spans: flags.switch(&self.keep_foreign_spans),
            otlp_dialects: dialects(&mut flags, self.otlp_dialects.as_deref()),
            contents: match flags.switch(&self.content_once) {
                true => ContentRule::Large,
                false => ContentRule::Lookalikes,
            },
            run_timeout: flags.duration(&self.run_timeout, MIN_RUN_TIMEOUT),
            sweep_interval: flags.duration(&self.sweep_interval, MIN_TIMEOUT),
            commit_timeout: flags.duration(&self.commit_timeout, MIN_COMMIT_TIMEOUT),
            submit_timeout: flags.duration(&self.submit_timeout, MIN_COMMIT_TIMEOUT),
            drain_timeout: flags.duration(&self.drain_timeout, Duration::ZERO),
            migrate: !flags.switch(&self.no_migrate),
            connections: self.connections.limits(&mut flags),
            max_streams: flags.integer(&self.connections.max_streams, 1..=MAX_COUNT),
            receive_timeout: flags.duration(&self.connections.receive_timeout, MIN_TIMEOUT),
            max_message_events: flags.integer(
                &self.connections.max_message_events,
                1..=MAX_EVENTS_PER_MESSAGE,
            ),
            max_json_depth: flags.integer(&self.connections.max_json_depth, 1..=MAX_JSON_DEPTH),
            tls,
            retention: self.retention.settings(&mut flags),
            otel: self.otel.settings(&mut flags),
        };
        flags.finish(config)
    }
}

/// An address to listen on; `open`: it may be beyond loopback.
fn listen_address(flags: &mut FlagReader, value: &FlagValue, open: bool) -> SocketAddr {
    let text = value.text().replace("localhost:", "127.0.0.1:");
    let Ok(address) = text.parse::<SocketAddr>() else {
        flags.fault(format!(
            "{} {value} is not an address like 127.0.0.1:4317",
            value.name()
        ));
        return SocketAddr::from(([127, 0, 0, 1], 0));
    };
    if !address.ip().is_loopback() && !open {
        flags.fault(format!(
            "{} {address} is beyond loopback, where anyone could write: add --require-keys, or \
             --insecure to allow that",
            value.name()
        ));
    }
    address
}

fn dialects(flags: &mut FlagReader, dir: Option<&Path>) -> Arc<Dialects> {
    // Scripts set a variable to nothing to say that it is not set.
    let dir = dir.filter(|dir| !dir.as_os_str().is_empty());
    read_dialects(dir).unwrap_or_else(|fault| {
        flags.fault(format!("--otlp-dialects {fault}"));
        Dialects::built_in()
    })
}

fn linger(flags: &mut FlagReader, value: &FlagValue) -> Duration {
    let most = u64::try_from(MAX_DURATION.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(flags.integer(value, 0..=most))
}

#[cfg(test)]
mod tests;
