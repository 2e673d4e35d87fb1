//! The flags of `runtraced bench`.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use super::workload::{IdVersion, WorkloadKind};

/// `--quick` divides the rows by this, so that two workloads take under two minutes.
const QUICK_ROWS_DIVISOR: usize = 4;
/// Rounds with `--quick`, and of variant workloads: the fewest that give a median and a spread.
const REDUCED_ROUNDS: usize = 3;

/// Measure how many rows per second become durable, compared with plain COPY.
///
/// Starts a daemon, and a private Postgres unless --database-url is given. Sends
/// workloads generated from a seed. Then copies the same rows into the same schema
/// with plain COPY, over the same number of connections, and shows both results
/// side by side. Removes everything it created.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// Workloads to send.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_WORKLOAD",
        value_enum,
        value_delimiter = ',',
        default_value = "steps,agent",
        value_name = "NAMES"
    )]
    pub workload: Vec<WorkloadKind>,
    /// Approximate number of rows that a workload becomes.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_ROWS",
        default_value_t = 200_000,
        value_name = "N"
    )]
    pub rows: usize,
    /// Rounds. Each round measures runtraced and plain COPY; they take turns in going first.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_ROUNDS",
        default_value_t = 5,
        value_name = "N"
    )]
    pub rounds: usize,
    /// Use fewer rows and rounds: under two minutes for two workloads, but less exact.
    #[arg(long, env = "RUNTRACED_BENCH_QUICK", value_parser = BoolishValueParser::new())]
    pub quick: bool,
    /// Measure all workloads, and the effect of connection count and batch size. Takes longer.
    #[arg(long, env = "RUNTRACED_BENCH_FULL", value_parser = BoolishValueParser::new(), conflicts_with = "quick")]
    pub full: bool,
    /// Connections to Postgres, for the daemon and for plain COPY alike.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_CONNECTIONS",
        default_value_t = 2,
        value_name = "N"
    )]
    pub connections: usize,
    /// Streams of the client. Each stream has its own connection.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_STREAMS",
        default_value_t = 4,
        value_name = "N"
    )]
    pub streams: usize,
    /// Events per request under full load.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_REQUEST_EVENTS",
        default_value_t = 100,
        value_name = "N"
    )]
    pub request_events: usize,
    /// Seed of all generated ids, texts and choices.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SEED",
        default_value_t = 1,
        value_name = "N"
    )]
    pub seed: u64,
    /// UUID version of the ids that the client generates.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_IDS",
        value_enum,
        default_value = "v7",
        value_name = "VERSION"
    )]
    pub ids: IdVersion,
    /// Do not measure ack latency at fixed rates.
    #[arg(long, env = "RUNTRACED_BENCH_NO_LATENCY", value_parser = BoolishValueParser::new())]
    pub no_latency: bool,
    /// Also measure with this many steps already in the tables.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_GROW_TO",
        default_value_t = 0,
        value_name = "STEPS"
    )]
    pub grow_to: u64,
    /// Instead of rates, measure the daemon's memory while Postgres is stopped for this many
    /// seconds under full load, with 1,000 idle streams open.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_OUTAGE",
        default_value_t = 0,
        value_name = "SECONDS",
        conflicts_with_all = ["quick", "full", "grow_to", "html", "markdown"]
    )]
    pub outage: u64,
    /// Instead of rates, measure the CPU time that the daemon's own spans (--otel-endpoint)
    /// take, with and without them in turn.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_OTEL_COST",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["outage", "grow_to", "html", "markdown"]
    )]
    pub otel_cost: bool,
    /// Instead of rates, measure what a reader of the page and writers cost each other. With
    /// --template, over the rows of a database that exists.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_READ_COST",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["outage", "grow_to", "html", "markdown", "otel_cost"]
    )]
    pub read_cost: bool,
    /// Instead of rates, measure what `runtraced prune` and writers cost each other, while a tenth
    /// of the table is deleted.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_PRUNE_COST",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["outage", "grow_to", "html", "markdown", "otel_cost", "read_cost"]
    )]
    pub prune_cost: bool,
    /// Instead of rates, measure `steps` with plain tables, with empty partitions by month and with
    /// twelve months of rows (--grow-to steps together), and how long one of these months takes to go
    /// while writers go on.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_MONTHS_COST",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["outage", "html", "markdown", "otel_cost", "read_cost", "prune_cost"]
    )]
    pub months_cost: bool,
    /// Instead of rates, measure `steps` and `agent` with 1, 4 and 16 slots.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SLOTS_COST",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["outage", "html", "markdown", "otel_cost", "read_cost", "prune_cost", "months_cost"]
    )]
    pub slots_cost: bool,
    /// Instead of rates, measure what spreading a store over several servers costs: `steps` and
    /// `agent` with 1, 2 and 4 databases of this one server. --connections is the number of all writers.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SERVERS_COST",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["outage", "html", "markdown", "otel_cost", "read_cost", "prune_cost", "months_cost", "slots_cost"]
    )]
    pub servers_cost: bool,
    /// Instead of rates, measure the CPU time of each part of the daemon and of Postgres with slots,
    /// and compute what slots on up to 64 servers would reach. Slots on several servers do not exist.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SLOTS_MODEL",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["outage", "html", "markdown", "otel_cost", "read_cost", "prune_cost", "months_cost", "slots_cost", "servers_cost"]
    )]
    pub slots_model: bool,
    /// Begin with a copy of this database of the server. Nobody may be connected to it.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_TEMPLATE",
        value_name = "DATABASE",
        requires_all = ["read_cost", "database_url"]
    )]
    pub template: Option<String>,
    /// Write the plot of --outage to this file, as SVG.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_PLOT",
        value_name = "FILE",
        requires = "outage"
    )]
    pub plot: Option<PathBuf>,
    /// Create a scratch database on this server, and drop it at the end. Default: start a private Postgres.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// Setting of the private Postgres. Can be given several times.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SET",
        value_delimiter = ';',
        value_name = "NAME=VALUE"
    )]
    pub set: Vec<String>,
    /// Flag for the daemon, as in --serve=--linger-ms=5. Can be given several times.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SERVE",
        value_delimiter = ';',
        allow_hyphen_values = true,
        value_name = "FLAG"
    )]
    pub serve: Vec<String>,
    /// Write all figures to this file, as JSON.
    #[arg(long, env = "RUNTRACED_BENCH_JSON", value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with tables and plots to this file, as HTML.
    #[arg(long, env = "RUNTRACED_BENCH_HTML", value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the figures into this Markdown page, between its two marker comments.
    #[arg(long, env = "RUNTRACED_BENCH_MARKDOWN", value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

impl BenchArgs {
    /// The workloads to measure.
    #[must_use]
    pub fn workloads(&self) -> Vec<WorkloadKind> {
        if self.full {
            vec![
                WorkloadKind::Steps,
                WorkloadKind::Agent,
                WorkloadKind::Tiny,
                WorkloadKind::Huge,
                WorkloadKind::Otlp,
                WorkloadKind::Long,
                WorkloadKind::Wide,
            ]
        } else {
            self.workload.clone()
        }
    }

    /// Whether to measure what `--content-once` does.
    #[must_use]
    pub fn measures_histories(&self) -> bool {
        self.workloads().iter().any(|kind| kind.is_history())
    }

    /// Rows of a workload in one round.
    #[must_use]
    pub fn round_rows(&self, kind: WorkloadKind) -> usize {
        kind.rows_in_equal_time(if self.quick {
            self.rows / QUICK_ROWS_DIVISOR
        } else {
            self.rows
        })
    }

    /// Rounds of a workload. Workloads that only vary another one get fewer.
    #[must_use]
    pub fn round_count(&self, kind: WorkloadKind) -> usize {
        let most = match kind {
            _ if self.quick => REDUCED_ROUNDS,
            WorkloadKind::Steps | WorkloadKind::Agent | WorkloadKind::Otlp => self.rounds,
            _ => REDUCED_ROUNDS,
        };
        self.rounds.min(most).max(1)
    }
}
