//! `runtraced spool`: what is in a spool, whether it is sound, and the way out
//! of one whose daemon is gone.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;

use super::endpoint::EndpointArgs;
use crate::console::output::{self, EXIT_REFUSED, thousands};
use crate::{
    client::RetryPolicy,
    config,
    ingest::native::decode_frame,
    spool::{self, SpoolFile, SpoolFolder, SpoolLimits},
};

/// Look into a spool, check it, or send what is in it.
#[derive(Debug, Clone, clap::Args)]
pub struct SpoolArgs {
    #[command(subcommand)]
    command: SpoolCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum SpoolCommand {
    /// List the files of a spool. A daemon may be using it.
    Ls(FolderArgs),
    /// Read all of a spool and check it; exit code 1 if anything is damaged.
    Verify(FolderArgs),
    /// Send what is in a spool that no daemon uses to a daemon, and delete it
    /// there once that has committed it. Doing so again is harmless.
    Replay(ReplayArgs),
}

/// Which folder.
#[derive(Debug, Clone, clap::Args)]
pub struct FolderArgs {
    /// The folder. Without it, `spool` in --data-dir.
    #[arg(long, env = "RUNTRACED_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,
    /// The folder that `runtraced serve` was started with.
    #[arg(long, env = "RUNTRACED_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    daemon: EndpointArgs,
}

impl FolderArgs {
    fn path(&self) -> PathBuf {
        let data_dir = || {
            self.data_dir
                .clone()
                .unwrap_or_else(config::default_data_dir)
        };
        self.spool_dir
            .clone()
            .unwrap_or_else(|| data_dir().join("spool"))
    }
}

/// Runs the command.
///
/// # Errors
/// When stdout fails, the folder cannot be read, or the daemon does not take
/// what is in it.
pub async fn run(args: SpoolArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        SpoolCommand::Ls(folder) => {
            output::print(&table(&spool::list(&folder.path())?))?;
            Ok(ExitCode::SUCCESS)
        }
        SpoolCommand::Verify(folder) => {
            let files = spool::list(&folder.path())?;
            let damaged: Vec<_> = files.iter().filter(|file| !is_sound(file)).collect();
            let mut text = String::new();
            for file in &damaged {
                writeln!(text, "{}: {}", file.name, state(file))?;
            }
            let count = |of: fn(&SpoolFile) -> u64| number(files.iter().map(of).sum());
            let (frames, events) = (count(|file| file.frames), count(|file| file.events));
            writeln!(
                text,
                "{events} events in {frames} sound frames of {} files, {} of them damaged",
                files.len(),
                damaged.len()
            )?;
            output::print(&text)?;
            Ok(if damaged.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_REFUSED)
            })
        }
        SpoolCommand::Replay(args) => replay(&args).await,
    }
}

async fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let client = match args.daemon.connect(RetryPolicy::default()).await {
        Ok(client) => client,
        Err(error) => return Ok(output::fail(error.exit_code(), error)),
    };
    // Nothing is written to it.
    let limits = SpoolLimits {
        total_bytes: 0,
        segment_bytes: 0,
    };
    let spool = SpoolFolder::open(&args.folder.path(), limits, uuid::Uuid::now_v7())?;
    let (mut sent, mut refused) = (0, 0);
    while let Some(frame) = spool.read()? {
        let Some(parts) = decode_frame(&frame.payload) else {
            let message = format!("frame {} is none of this version", frame.sequence);
            return Ok(output::fail(EXIT_REFUSED, message));
        };
        let mut sound = true;
        let mut first = 0;
        for part in parts {
            let events = part.events.len();
            // Nobody's events are given more power than they came with.
            let sender = match part.tenant {
                Some(tenant) => client.clone().for_customer(tenant.get()),
                None => client.clone(),
            };
            let response = sender.submit_committed(part.events).await;
            let response = response.context("the rest stays in the spool")?;
            sent += events as u64;
            for refusal in response.outcome.unwrap_or_default().refused {
                sound = false;
                refused += 1;
                let (at, why) = (first + refusal.index as usize, &refusal.reason);
                output::warn(format!("frame {}, event {at}: {why}", frame.sequence));
            }
            first += events;
        }
        if sound {
            spool.ack();
        } else {
            // Kept: it was acknowledged once.
            spool.quarantine();
        }
    }
    let text = format!(
        "{} events sent, {} refused\n",
        number(sent),
        number(refused)
    );
    output::print(&text)?;
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_REFUSED)
    })
}

fn is_sound(file: &SpoolFile) -> bool {
    file.damaged == 0 && !file.quarantined && file.version.is_some()
}

fn state(file: &SpoolFile) -> String {
    if file.quarantined {
        return format!("put aside, {} damaged places", file.damaged);
    }
    match (file.damaged, file.tail_bytes) {
        (0, 0) if file.version.is_some() => "sound".to_owned(),
        (0, _) if file.version.is_none() => "no header that makes sense".to_owned(),
        (0, tail) => format!("sound, {tail} bytes torn or being written"),
        (places, _) => format!("{places} damaged places"),
    }
}

fn number(count: u64) -> String {
    thousands(i64::try_from(count).unwrap_or(i64::MAX))
}

fn table(files: &[SpoolFile]) -> String {
    if files.is_empty() {
        return "The spool is empty.\n".to_owned();
    }
    let heads = ["file", "bytes", "frames", "events", "state", "written by"];
    output::table(
        &heads,
        &[1, 2, 3],
        files.iter().map(|file| {
            [
                file.name.clone(),
                number(file.bytes),
                number(file.frames),
                number(file.events),
                state(file),
                file.instance.map(|id| id.to_string()).unwrap_or_default(),
            ]
        }),
    )
}
