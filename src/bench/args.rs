//! The flags of `runtraced bench`.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use super::workload::{Ids, Kind};

/// Measure how many rows a second become durable, beside plain COPY.
///
/// Starts a daemon, and a private Postgres where no --database-url is given;
/// sends workloads that a seed decides; copies the very rows that they have
/// become into the same schema over as many plain connections; and shows each
/// figure beside its limit. Leaves nothing behind.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// What is sent.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_WORKLOAD",
        value_enum,
        value_delimiter = ',',
        default_value = "steps,agent",
        value_name = "NAMES"
    )]
    pub workload: Vec<Kind>,
    /// Rows that a workload becomes, about.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_ROWS",
        default_value_t = 200_000,
        value_name = "N"
    )]
    pub rows: usize,
    /// Rounds; each measures both ways, which take turns in going first.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_ROUNDS",
        default_value_t = 5,
        value_name = "N"
    )]
    pub rounds: usize,
    /// Fewer rows and rounds: under two minutes for two workloads, and less exact.
    #[arg(long, env = "RUNTRACED_BENCH_QUICK", value_parser = BoolishValueParser::new())]
    pub quick: bool,
    /// Also everything that takes longer: all workloads, and what changes with one setting.
    #[arg(long, env = "RUNTRACED_BENCH_FULL", value_parser = BoolishValueParser::new(), conflicts_with = "quick")]
    pub full: bool,
    /// Connections to Postgres, of the daemon and of plain COPY alike.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_CONNECTIONS",
        default_value_t = 2,
        value_name = "N"
    )]
    pub connections: usize,
    /// Streams of the client, each over a connection of its own.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_STREAMS",
        default_value_t = 4,
        value_name = "N"
    )]
    pub streams: usize,
    /// Events of a request under full load.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_REQUEST_EVENTS",
        default_value_t = 100,
        value_name = "N"
    )]
    pub request_events: usize,
    /// Decides all ids, texts and choices.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SEED",
        default_value_t = 1,
        value_name = "N"
    )]
    pub seed: u64,
    /// Which UUIDs the client makes.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_IDS",
        value_enum,
        default_value = "v7",
        value_name = "VERSION"
    )]
    pub ids: Ids,
    /// Leave the waits for acks at fixed rates out.
    #[arg(long, env = "RUNTRACED_BENCH_NO_LATENCY", value_parser = BoolishValueParser::new())]
    pub no_latency: bool,
    /// Also measure beside tables that hold so many steps already.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_GROW_TO",
        default_value_t = 0,
        value_name = "STEPS"
    )]
    pub grow_to: u64,
    /// Instead of rates, measure the daemon's memory while Postgres is stopped for so many
    /// seconds at full load, with 1,000 idle streams open.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_OUTAGE",
        default_value_t = 0,
        value_name = "SECONDS",
        conflicts_with_all = ["quick", "full", "grow_to", "html", "markdown"]
    )]
    pub outage: u64,
    /// Write the plot of --outage here, as SVG.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_PLOT",
        value_name = "FILE",
        requires = "outage"
    )]
    pub plot: Option<PathBuf>,
    /// A server on which a scratch database is made and dropped. Without it, a private Postgres.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// A setting of the private Postgres; may be given several times.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SET",
        value_delimiter = ';',
        value_name = "NAME=VALUE"
    )]
    pub set: Vec<String>,
    /// A flag for the daemon, as in --serve=--linger-ms=5; may be given several times.
    #[arg(
        long,
        env = "RUNTRACED_BENCH_SERVE",
        value_delimiter = ';',
        allow_hyphen_values = true,
        value_name = "FLAG"
    )]
    pub serve: Vec<String>,
    /// Write all figures here.
    #[arg(long, env = "RUNTRACED_BENCH_JSON", value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with plots here.
    #[arg(long, env = "RUNTRACED_BENCH_HTML", value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the figures into this Markdown page, between its two marks.
    #[arg(long, env = "RUNTRACED_BENCH_MARKDOWN", value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

impl BenchArgs {
    /// The workloads that are meant.
    #[must_use]
    pub fn workloads(&self) -> Vec<Kind> {
        if self.full {
            vec![
                Kind::Steps,
                Kind::Agent,
                Kind::Tiny,
                Kind::Huge,
                Kind::Otlp,
                Kind::Long,
                Kind::Wide,
            ]
        } else {
            self.workload.clone()
        }
    }

    /// Rows of a round.
    #[must_use]
    pub fn round_rows(&self, kind: Kind) -> usize {
        kind.scaled(if self.quick { self.rows / 4 } else { self.rows })
    }

    /// Rounds of a workload: fewer of those that only vary another.
    #[must_use]
    pub fn round_count(&self, kind: Kind) -> usize {
        let most = match kind {
            _ if self.quick => 3,
            Kind::Steps | Kind::Agent | Kind::Otlp => self.rounds,
            _ => 3,
        };
        self.rounds.min(most).max(1)
    }
}
