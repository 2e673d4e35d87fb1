//! `runtraced spool`: lists, checks and sends the content of a spool.

mod folders;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use runtraced_client::{Client, RetryPolicy};

pub(super) use self::folders::server_folders;
use super::count;
use super::endpoint::EndpointArgs;
use super::output::{self, EXIT_REFUSED};
use crate::{
    config::{self, Faults, FlagReader},
    ingest::native::decode_frame,
    spool::{Spool, SpoolError, SpoolFile, SpoolFolder, SpoolLimits},
};

/// List, check or send the content of a spool.
#[derive(Debug, Clone, clap::Args)]
pub struct SpoolArgs {
    #[command(subcommand)]
    command: SpoolCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum SpoolCommand {
    /// List the files of a spool. A daemon may be using it.
    Ls(SpoolFolderArgs),
    /// Read and check a whole spool. Exit code 1: something is damaged.
    Verify(SpoolFolderArgs),
    /// Send the events of a spool that no daemon uses to a daemon. Files are deleted once the
    /// daemon has committed their events. Repeating this is harmless.
    Replay(ReplaySpoolArgs),
    /// Make the spool belong to the database that the next daemon on it is started with,
    /// for example because its database was restored into a new cluster.
    Rebind(SpoolFolderArgs),
}

/// The folder of a spool.
#[derive(Debug, Clone, clap::Args)]
pub struct SpoolFolderArgs {
    /// Folder of the spool; without it, `spool` in --data-dir.
    #[arg(long, env = "RUNTRACED_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,
    /// The --data-dir of `runtraced serve`.
    #[arg(long, env = "RUNTRACED_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct ReplaySpoolArgs {
    #[command(flatten)]
    folder: SpoolFolderArgs,
    #[command(flatten)]
    daemon: EndpointArgs,
}

impl SpoolFolderArgs {
    pub(super) fn path(&self) -> PathBuf {
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

impl SpoolArgs {
    pub(super) fn check(&self) -> Result<(), Faults> {
        let mut flags = FlagReader::default();
        if let SpoolCommand::Replay(args) = &self.command {
            args.daemon.check(&mut flags);
        }
        flags.finish(())
    }
}

/// Runs the command.
///
/// # Errors
/// If stdout fails, the folder cannot be read, or the daemon does not accept the events.
pub async fn run(args: SpoolArgs) -> anyhow::Result<ExitCode> {
    args.check()?;
    match args.command {
        SpoolCommand::Ls(folder) => {
            output::print(&table(&folders::files_in(&folder.path())?))?;
            Ok(ExitCode::SUCCESS)
        }
        SpoolCommand::Verify(folder) => verify(&folders::files_in(&folder.path())?),
        SpoolCommand::Replay(args) => replay(&args).await,
        SpoolCommand::Rebind(folder) => rebind(&folder.path()),
    }
}

/// Opens a spool that no daemon uses, and that exists. Nothing is written to it.
fn open_unused(folder: &Path) -> anyhow::Result<Spool> {
    // Opening would create it, and a mistyped folder would look like an empty spool.
    if !folder.is_dir() {
        bail!("there is no spool folder {}", folder.display());
    }
    let limits = SpoolLimits {
        total_bytes: 0,
        segment_bytes: 0,
    };
    match SpoolFolder::open(folder, limits, uuid::Uuid::now_v7()) {
        Err(SpoolError::InUse(folder)) => bail!(
            "the spool folder {} is in use by another daemon; stop that daemon first",
            folder.display()
        ),
        opened => Ok(opened?),
    }
}

fn rebind(folder: &Path) -> anyhow::Result<ExitCode> {
    let mut events = 0;
    for folder in folders::spools_in(folder)? {
        let spool = open_unused(&folder)?;
        spool.set_owner(None)?;
        events += spool.found_events();
    }
    output::print(&format!(
        "the next daemon on this spool replays {} events into its database\n",
        count(events)
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn verify(files: &[SpoolFile]) -> anyhow::Result<ExitCode> {
    let damaged: Vec<_> = files.iter().filter(|file| !is_sound(file)).collect();
    let mut text = String::new();
    for file in &damaged {
        writeln!(text, "{}: {}", file.name, state(file))?;
    }
    let sum = |of: fn(&SpoolFile) -> u64| count(files.iter().map(of).sum());
    writeln!(
        text,
        "{} events in {} sound frames; {} files, {} of them damaged",
        sum(|file| file.events),
        sum(|file| file.frames),
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

/// What became of events that were sent again.
#[derive(Default)]
struct SentEvents {
    sent: u64,
    refused: u64,
}

async fn replay(args: &ReplaySpoolArgs) -> anyhow::Result<ExitCode> {
    let folders = folders::spools_in(&args.folder.path())?;
    let spools: anyhow::Result<Vec<Spool>> =
        folders.iter().map(|folder| open_unused(folder)).collect();
    let spools = spools?;
    let client = args.daemon.connect(RetryPolicy::default()).await?;
    let mut events = SentEvents::default();
    for spool in &spools {
        replay_spool(spool, &client, &args.daemon, &mut events).await?;
    }
    let SentEvents { sent, refused } = events;
    let text = format!("{} events sent, {} refused\n", count(sent), count(refused));
    output::print(&text)?;
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_REFUSED)
    })
}

/// Sends the events of one spool.
async fn replay_spool(
    spool: &Spool,
    client: &Client,
    daemon: &EndpointArgs,
    events: &mut SentEvents,
) -> anyhow::Result<()> {
    while let Some(frame) = spool.read()? {
        let Some(parts) = decode_frame(&frame.payload) else {
            bail!(
                "frame {} was written by another version of runtraced; replay it with that version",
                frame.sequence
            );
        };
        let mut all_accepted = true;
        let mut first = 0;
        for part in parts {
            let number = part.events.len();
            // Events of a tenant must not gain rights by being spooled.
            let sender = match part.tenant {
                Some(tenant) => client.clone().for_customer(tenant.get()),
                None => client.clone(),
            };
            let response = sender
                .submit_committed(part.events)
                .await
                .map_err(|error| daemon.error(&error))
                .context("the remaining events stay in the spool")?;
            events.sent += number as u64;
            for refusal in response.outcome.unwrap_or_default().refused {
                all_accepted = false;
                events.refused += 1;
                let (at, why) = (first + refusal.index as usize, &refusal.reason);
                output::warn(format!("frame {}, event {at}: {why}", frame.sequence));
            }
            first += number;
        }
        if all_accepted {
            spool.ack();
        } else {
            // A daemon acknowledged these events once, so they must not be deleted.
            spool.quarantine();
        }
    }
    Ok(())
}

fn is_sound(file: &SpoolFile) -> bool {
    file.damaged == 0 && !file.quarantined && file.version.is_some()
}

fn state(file: &SpoolFile) -> String {
    let places = match file.damaged {
        1 => "1 damaged place".to_owned(),
        places => format!("{places} damaged places"),
    };
    if file.quarantined {
        return format!("quarantined, {places}");
    }
    match (file.damaged, file.tail_bytes) {
        (0, 0) if file.version.is_some() => "sound".to_owned(),
        (0, _) if file.version.is_none() => "damaged header".to_owned(),
        (0, tail) => format!("sound, {tail} bytes incomplete or being written"),
        _ => places,
    }
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
                count(file.bytes),
                count(file.frames),
                count(file.events),
                state(file),
                file.instance.map(|id| id.to_string()).unwrap_or_default(),
            ]
        }),
    )
}
