//! Opens the spool of each server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::AppError;
use crate::config::SpoolSettings;
use crate::spool::{self, Spool, SpoolFolder, SpoolLimits, folders_in};
use crate::store::StoreServer;

/// The largest segment. Replayed segments are deleted whole, so small ones free disk
/// space early.
const MAX_SEGMENT_BYTES: u64 = 16 << 20;
/// The least number of segments of a full spool, for the same reason.
const MIN_SEGMENTS: u64 = 8;

/// Opens a spool for each server. With several servers, each has a folder and an equal part of the bytes.
///
/// # Errors
/// If a folder cannot be used, or the folder holds events for another number of servers.
pub(super) fn open_spools(
    settings: Option<&SpoolSettings>,
    servers: &[StoreServer],
    instance: Uuid,
) -> Result<Vec<Option<Arc<Spool>>>, AppError> {
    let Some(settings) = settings else {
        return Ok(vec![None; servers.len()]);
    };
    refuse_others(&settings.dir, servers)?;
    let bytes = settings.bytes / servers.len().max(1) as u64;
    let limits = SpoolLimits {
        total_bytes: bytes,
        segment_bytes: MAX_SEGMENT_BYTES.min(bytes / MIN_SEGMENTS),
    };
    let open = |server: &StoreServer| {
        let spool = SpoolFolder::open(&server.spool_folder(&settings.dir), limits, instance)?;
        let found = spool.found_events();
        if found > 0 {
            tracing::info!(
                events = found,
                "the spool holds events of an earlier daemon"
            );
        }
        Ok(Some(Arc::new(spool)))
    };
    servers.iter().map(open).collect()
}

/// With another number of servers, runs are elsewhere: nobody may replay what is there as it is, nor forget it.
fn refuse_others(dir: &Path, servers: &[StoreServer]) -> Result<(), AppError> {
    let own: Vec<PathBuf> = servers
        .iter()
        .map(|server| server.spool_folder(dir))
        .collect();
    let mut folders = folders_in(dir, StoreServer::is_spool_folder)?;
    if dir.exists() {
        folders.push(dir.to_owned());
    }
    for folder in folders {
        if !own.contains(&folder) && spool::list(&folder)?.iter().any(|file| file.events > 0) {
            return Err(AppError::OtherServers {
                folder,
                servers: servers.len(),
            });
        }
    }
    Ok(())
}
