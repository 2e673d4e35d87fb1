//! Rows made durable a second, end to end, beside their limit: the same rows
//! COPYed in BINARY by plain connections into the same schema, in the same run.
//!
//! `cargo bench --bench ingest -- [--rounds N] [--steps N] [--connections N] [--json FILE]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]
#![allow(missing_docs)]

mod cpu;
mod direct;
mod report;
mod through;
mod workload;

use std::path::PathBuf;

use clap::Parser;
use runtraced::store::postgres::{PrivateConfig, PrivatePostgres, StopMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use report::{Round, Sample};

#[derive(Debug, Parser)]
struct Args {
    /// Rounds; each measures both ways, and they alternate in which goes first.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Steps a round and way.
    #[arg(long, default_value_t = 100_000)]
    steps: usize,
    /// Connections to Postgres, of the daemon and of the direct COPY.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Rows of one direct COPY and commit.
    #[arg(long, default_value_t = 10_000)]
    copy_rows: usize,
    /// Write the figures here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&args));
}

async fn run(args: &Args) {
    let dir = tempfile::Builder::new()
        .prefix("runtraced-bench-")
        .tempdir()
        .unwrap();
    // An unprivileged Postgres must be able to pass.
    std::fs::set_permissions(
        dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o711),
    )
    .unwrap();
    let mut server = PrivatePostgres::start(&PrivateConfig::new(dir.path().join("data")))
        .await
        .unwrap();
    let url = scratch_database(server.url()).await;
    let mut rounds = Vec::new();
    // Round 0 warms up and is not counted.
    for round in 0..=args.rounds {
        let measured = measure(args, &url, server.pid(), round % 2 == 0).await;
        if round > 0 {
            println!("round {round}: {measured}");
            rounds.push(measured);
        }
    }
    report::print(args, &rounds, server.major_version());
    if let Some(path) = &args.json {
        std::fs::write(path, report::json(args, &rounds, server.major_version())).unwrap();
    }
    server.stop(StopMode::Immediate).await.unwrap();
}

/// Both ways once, on empty tables.
async fn measure(args: &Args, url: &str, postmaster: u32, direct_first: bool) -> Round {
    let mut samples: [Option<Sample>; 2] = [None, None];
    for way in if direct_first { [0, 1] } else { [1, 0] } {
        let runs = workload::runs(args.steps);
        empty(url).await;
        let sample = if way == 0 {
            direct::run(url, &runs, args.connections, args.copy_rows, postmaster).await
        } else {
            through::run(url, runs, args.connections, postmaster).await
        };
        let mut conn = PgConnection::connect(url).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_steps")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(
            usize::try_from(count).unwrap(),
            args.steps,
            "rows in the table"
        );
        samples[way] = Some(sample);
    }
    let [direct, through] = samples.map(Option::unwrap);
    Round { direct, through }
}

async fn scratch_database(url: &str) -> String {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE bench")
        .execute(&mut conn)
        .await
        .unwrap();
    let url = url.replace("/runtraced?", "/bench?");
    let mut conn = PgConnection::connect(&url).await.unwrap();
    runtraced::store::migrate(&mut conn).await.unwrap();
    url
}

/// Empty tables, and a checkpoint now rather than in the measurement.
async fn empty(url: &str) {
    let mut conn = PgConnection::connect(url).await.unwrap();
    for statement in [
        "TRUNCATE agent_runs, agent_sessions, ingest_ledger CASCADE",
        "CHECKPOINT",
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut conn)
            .await
            .unwrap();
    }
}
