//! One of several stores with daemons that are measured in turns.

use uuid::Uuid;

use super::database::ScratchDatabase;
use super::measure::BenchHarness;
use super::progress::BenchProgress;
use super::{BenchArgs, start_harness_on, stop_daemon};
use crate::console::child::ChildDaemon;
use crate::store::{SlotCount, StoreServer, join_store, move_to_slots};

/// A store and its daemon.
pub(super) struct Contender {
    pub slots: u8,
    pub servers: usize,
    pub bench: BenchHarness,
    /// The databases of all servers but the first.
    others: Vec<ScratchDatabase>,
    daemon: ChildDaemon,
}

/// What distinguishes a contender.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContenderSetup<'a> {
    /// The end of the database's name.
    pub suffix: &'a str,
    /// 1: the plain layout.
    pub slots: u8,
    /// How many databases the store is spread over.
    pub servers: usize,
    /// For each of them.
    pub writers: usize,
    /// More flags for the daemon.
    pub flags: &'a [&'a str],
}

impl Contender {
    /// Makes the databases and starts the daemon.
    ///
    /// # Errors
    /// When any part fails. Then there are no databases.
    pub async fn start(
        args: &BenchArgs,
        url: &str,
        setup: &ContenderSetup<'_>,
        progress: &BenchProgress,
    ) -> anyhow::Result<Self> {
        let ContenderSetup { slots, servers, .. } = *setup;
        progress.stage(&format!(
            "making databases: {servers}, number of slots: {slots}"
        ));
        let scratch: anyhow::Result<Vec<ScratchDatabase>> = (1..=servers)
            .map(|server| match server {
                1 => ScratchDatabase::of_this_process(url, setup.suffix),
                _ => ScratchDatabase::of_this_process(url, &format!("{}_{server}", setup.suffix)),
            })
            .collect();
        let scratch = scratch?;
        match Self::on(args, &scratch, setup, progress).await {
            Ok(contender) => Ok(contender),
            Err(error) => {
                for scratch in scratch {
                    // The first error says more than one about what it left behind.
                    let _ = scratch.remove().await;
                }
                Err(error)
            }
        }
    }

    async fn on(
        args: &BenchArgs,
        scratch: &[ScratchDatabase],
        setup: &ContenderSetup<'_>,
        progress: &BenchProgress,
    ) -> anyhow::Result<Self> {
        let store = Uuid::new_v4();
        for (server, scratch) in StoreServer::all(setup.servers).zip(scratch) {
            scratch.create(None).await?;
            if let Some(count) = SlotCount::new(setup.slots) {
                move_to_slots(&mut scratch.connect().await?, count, |_| ()).await?;
            }
            if server.has_others() {
                join_store(&mut scratch.connect().await?, store, server).await?;
            }
        }
        let progress = progress.clone();
        let (bench, daemon) =
            start_harness_on(args, scratch, setup.writers, setup.flags, progress).await?;
        Ok(Self {
            slots: setup.slots,
            servers: setup.servers,
            bench,
            others: scratch[1..].to_vec(),
            daemon,
        })
    }

    /// Empties the tables of all databases.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn truncate(&self) -> anyhow::Result<()> {
        self.bench.scratch.truncate().await?;
        for scratch in &self.others {
            scratch.truncate().await?;
        }
        Ok(())
    }

    /// Stops the daemon and drops the databases.
    ///
    /// # Errors
    /// When the daemon complained, or a database is still there.
    async fn remove(self) -> anyhow::Result<()> {
        let stopped = stop_daemon(self.daemon).await;
        self.bench.scratch.remove().await?;
        for scratch in &self.others {
            scratch.remove().await?;
        }
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
