//! One of several databases with daemons that are measured in turns.

use super::database::ScratchDatabase;
use super::measure::BenchHarness;
use super::progress::BenchProgress;
use super::{BenchArgs, start_harness, stop_daemon};
use crate::console::child::ChildDaemon;
use crate::store::{SlotCount, move_to_slots};

/// A database and its daemon.
pub(super) struct Contender {
    pub slots: u8,
    pub bench: BenchHarness,
    daemon: ChildDaemon,
}

/// What distinguishes a contender.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContenderSetup<'a> {
    /// The end of the database's name.
    pub suffix: &'a str,
    /// 1: the plain layout.
    pub slots: u8,
    pub writers: usize,
    /// More flags for the daemon.
    pub flags: &'a [&'a str],
}

impl Contender {
    /// Makes the database and starts the daemon.
    ///
    /// # Errors
    /// When any part fails. Then there is no database.
    pub async fn start(
        args: &BenchArgs,
        url: &str,
        setup: &ContenderSetup<'_>,
        progress: &BenchProgress,
    ) -> anyhow::Result<Self> {
        let slots = setup.slots;
        progress.stage(&format!("making a database, number of slots: {slots}"));
        let scratch = ScratchDatabase::of_this_process(url, setup.suffix)?;
        match Self::on(args, &scratch, setup, progress).await {
            Ok(contender) => Ok(contender),
            Err(error) => {
                // The first error says more than one about what it left behind.
                let _ = scratch.remove().await;
                Err(error)
            }
        }
    }

    async fn on(
        args: &BenchArgs,
        scratch: &ScratchDatabase,
        setup: &ContenderSetup<'_>,
        progress: &BenchProgress,
    ) -> anyhow::Result<Self> {
        scratch.create(None).await?;
        if let Some(count) = SlotCount::new(setup.slots) {
            move_to_slots(&mut scratch.connect().await?, count, |_| ()).await?;
        }
        let progress = progress.clone();
        let (bench, daemon) =
            start_harness(args, scratch, setup.writers, setup.flags, progress).await?;
        Ok(Self {
            slots: setup.slots,
            bench,
            daemon,
        })
    }

    /// Stops the daemon and drops the database.
    ///
    /// # Errors
    /// When the daemon complained, or the database is still there.
    async fn remove(self) -> anyhow::Result<()> {
        let stopped = stop_daemon(self.daemon).await;
        self.bench.scratch.remove().await?;
        stopped
    }
}

/// Stops all daemons and drops all databases, whether or not one of them fails.
///
/// # Errors
/// The first of [`Contender::remove`].
pub(super) async fn remove_all(contenders: Vec<Contender>) -> anyhow::Result<()> {
    let mut removed = Ok(());
    for contender in contenders {
        let one = contender.remove().await;
        removed = removed.and(one);
    }
    removed
}
