//! `runtraced demo`: starts a daemon, streams the runs of three agents to it, and shows what
//! the database then holds. It takes a few seconds and leaves nothing behind.

mod screen;
mod script;
mod story;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use runtraced_client::{Client, RetryPolicy, StreamOptions, StreamSender};
use sqlx::PgConnection;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    child::{ChildDaemon, ListeningAddresses, TemporaryFolder},
    output, runs, timeline,
};
use crate::{
    config::parse_database_url,
    query::{self, InspectError, RunFilter, RunSummary},
};
pub use script::Scene;
pub use story::{GLANCE_AT_MS, Story, story};

/// More rows than the story has runs.
const MAX_TABLE_ROWS: i64 = 10;

/// Watch three agent runs arrive in a temporary Postgres.
///
/// Starts a daemon on free ports with a private Postgres in a temporary folder, streams
/// three runs to it while they happen, draws them, and then stops and removes everything.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Keep the folder with the database, and print how to serve it again.
    #[arg(long, env = "RUNTRACED_DEMO_KEEP")]
    pub keep: bool,
}

/// Runs the command.
///
/// # Errors
/// If a part of it fails. Everything is stopped and removed even then.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Declared first, so it is removed last.
    let folder = TemporaryFolder::new("demo", args.keep);
    let flags = ["--data-dir".as_ref(), folder.path().as_os_str()];
    let mut daemon = ChildDaemon::spawn(&flags, &[])?;
    let shown = tokio::select! {
        shown = show(&mut daemon) => shown,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
        _ = hangup.recv() => Err(anyhow::anyhow!("hung up")),
    };
    let stopped = tokio::task::spawn_blocking(|| daemon.stop()).await?;
    shown?;
    stopped?;
    farewell(&folder, args.keep)?;
    Ok(ExitCode::SUCCESS)
}

async fn show(daemon: &mut ChildDaemon) -> anyhow::Result<()> {
    screen::say("Starting a daemon with a private Postgres …")?;
    let began = Instant::now();
    let ListeningAddresses {
        grpc, database_url, ..
    } = daemon.ready().await?;
    let database_url = database_url.context("the daemon has no private Postgres")?;
    let took = began.elapsed().as_secs_f64();
    screen::say(&format!("Ready after {took:.1} s: gRPC on {grpc}."))?;
    screen::say(&format!("While the demo runs: psql '{database_url}'"))?;
    let options = parse_database_url(&database_url).map_err(anyhow::Error::msg)?;
    let mut database = query::connect(&options).await?;

    screen::head("Three agents at work, streamed as it happens")?;
    let client = Client::connect(&format!("http://{grpc}"), RetryPolicy::default()).await?;
    let story = story(now_us()?, &mut Uuid::now_v7);
    let delivered = play(&client, &story, &mut database).await?;
    screen::say(&format!("\n{delivered}"))?;

    for (run, title) in screen::pictures(&story) {
        screen::head(title)?;
        draw(&mut database, run).await?;
    }
    screen::head("All runs: select * from run_summary")?;
    output::print(&table(&mut database).await?)?;
    Ok(())
}

fn now_us() -> anyhow::Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_micros())?)
}

/// Sends each scene at its time, each agent over its own stream. In the middle, draws a run
/// that is still running.
async fn play(
    client: &Client,
    story: &Story,
    database: &mut PgConnection,
) -> anyhow::Result<String> {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let mut streams = BTreeMap::new();
    let began = Instant::now();
    let mut glanced = false;
    for scene in &story.scenes {
        if scene.at_ms >= GLANCE_AT_MS && !glanced {
            glanced = true;
            sleep_until(began + Duration::from_millis(GLANCE_AT_MS)).await;
            glance(&mut streams, database, story.renewal).await?;
        }
        sleep_until(began + Duration::from_millis(scene.at_ms)).await;
        screen::scene(scene)?;
        let stream = streams
            .entry(scene.agent)
            .or_insert_with(|| open(client, &waits));
        stream.send(scene.events.clone(), scene.at_ms).await?;
    }
    finish(streams, &waits).await
}

/// How long each batch waited for its ack.
type AckWaits = Arc<Mutex<Vec<Duration>>>;

fn open(client: &Client, waits: &AckWaits) -> StreamSender<u64> {
    let waits = Arc::clone(waits);
    client.stream_observed(StreamOptions::default(), move |batch| {
        let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.push(batch.waited);
    })
}

/// Ends the streams. Gives a sentence on how many events were committed and how fast.
async fn finish(
    streams: BTreeMap<&'static str, StreamSender<u64>>,
    waits: &AckWaits,
) -> anyhow::Result<String> {
    let count = streams.len();
    let mut committed = 0;
    for stream in streams.into_values() {
        let totals = stream.finish().await?;
        if let Some(refused) = totals.refused.first() {
            bail!(
                "the daemon refused an event of the demo: {}",
                refused.reason
            );
        }
        committed += totals.committed;
    }
    let mut waits = std::mem::take(&mut *waits.lock().unwrap_or_else(PoisonError::into_inner));
    waits.sort_unstable();
    let median = waits.get(waits.len() / 2).copied().unwrap_or_default();
    Ok(format!(
        "{committed} events over {count} streams, each acknowledged after its commit: \
         median {:.1} ms.",
        median.as_secs_f64() * 1_000.0
    ))
}

async fn glance(
    streams: &mut BTreeMap<&'static str, StreamSender<u64>>,
    database: &mut PgConnection,
    run: Uuid,
) -> anyhow::Result<()> {
    for stream in streams.values_mut() {
        stream.flush().await.context("the daemon ended")?;
    }
    screen::head("Meanwhile in the database: a run that is still running")?;
    draw(database, run).await?;
    screen::say("")?;
    Ok(())
}

async fn draw(database: &mut PgConnection, run: Uuid) -> anyhow::Result<()> {
    let cells = timeline::cells_for(output::width());
    output::print(&timeline::drawing(database, run, cells).await?)?;
    Ok(())
}

async fn table(database: &mut PgConnection) -> anyhow::Result<String> {
    let filter = RunFilter {
        limit: MAX_TABLE_ROWS,
        ..RunFilter::default()
    };
    let rows = query::runs(database, &filter).await?;
    let rows: Result<Vec<_>, InspectError> =
        rows.iter().map(|row| RunSummary::from_row(row)).collect();
    Ok(runs::table(&rows?))
}

fn farewell(folder: &TemporaryFolder, keep: bool) -> anyhow::Result<()> {
    let dir = folder.path().display();
    if keep {
        screen::head("Look for yourself")?;
        screen::say("The daemon and its Postgres are stopped. The data is kept.")?;
        screen::say("To serve it again, and then to query it in another terminal:")?;
        screen::say(&format!("\n  runtraced serve --data-dir {dir}"))?;
        screen::say(&format!("  runtraced psql --data-dir {dir}"))?;
    } else {
        screen::say("\nThe daemon and its Postgres are stopped, and their data is removed.")?;
        screen::say("To keep it and look for yourself: runtraced demo --keep")?;
    }
    Ok(())
}
