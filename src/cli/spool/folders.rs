//! The folders of spools: a daemon that writes to several servers has one for each.

use std::path::{Path, PathBuf};

use crate::spool::{self, SpoolError, SpoolFile, folders_in};
use crate::store::StoreServer;

/// The spools of a daemon on so many servers: one for each, in their order. A daemon on one server
/// has one, in the folder itself.
pub fn server_folders(folder: &Path, servers: usize) -> Vec<PathBuf> {
    let servers = StoreServer::all(servers);
    servers.map(|server| server.spool_folder(folder)).collect()
}

/// The spools in a folder: those of servers, and the folder itself if it has files of its own, or
/// nothing else.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn spools_in(folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let mut spools = folders_in(folder, StoreServer::is_spool_folder)?;
    if spools.is_empty() || !spool::list(folder)?.is_empty() {
        spools.insert(0, folder.to_owned());
    }
    Ok(spools)
}

/// The files of all spools in a folder. Those of a server begin with its folder.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn files_in(folder: &Path) -> Result<Vec<SpoolFile>, SpoolError> {
    let mut all = Vec::new();
    for spool in spools_in(folder)? {
        let mut files = spool::list(&spool)?;
        if spool != folder
            && let Some(name) = spool.file_name()
        {
            let name = name.to_string_lossy();
            for file in &mut files {
                file.name = format!("{name}/{}", file.name);
            }
        }
        all.extend(files);
    }
    Ok(all)
}
