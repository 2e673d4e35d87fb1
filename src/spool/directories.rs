//! Creates folders so that they survive a crash.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// The operations on folders, as a trait. Tests use one that loses unsynced names.
pub(super) trait Directories {
    /// Whether the folder exists.
    fn exists(&self, path: &Path) -> bool;
    /// Creates a folder in an existing one.
    fn create(&mut self, path: &Path, mode: u32) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync(&mut self, path: &Path) -> io::Result<()>;
}

/// Creates a folder and its missing parents, and makes their names durable: otherwise a
/// crash could lose the folder together with the synced files in it.
pub(super) fn create_durably(
    directories: &mut impl Directories,
    path: &Path,
    mode: u32,
    parent_mode: u32,
) -> io::Result<()> {
    let folders: Vec<&Path> = path
        .ancestors()
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect();
    for folder in folders.into_iter().rev() {
        if directories.exists(folder) {
            // A process that was killed may have created it. What this user cannot read,
            // it has not created.
            let _ = directories.sync(parent(folder));
            continue;
        }
        // Parents get the default mode: other users may need to pass through them.
        let mode = if folder == path { mode } else { parent_mode };
        match directories.create(folder, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        directories.sync(parent(folder))?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The folders of the real file system.
pub(super) struct RealDirectories;

impl Directories for RealDirectories {
    fn exists(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        fs::DirBuilder::new().mode(mode).create(path)
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
