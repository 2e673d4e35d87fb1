//! What comes before a server can run: folder, user, lock, programs, cluster.
//! All of it blocks on files and processes.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use super::{
    binaries::Binaries,
    config::PrivateConfig,
    error::PrivateError,
    files::{self, FolderLock},
    identity::Identity,
    initdb,
    layout::Layout,
};

/// A folder that is ours and holds a cluster.
pub(super) struct Prepared {
    pub layout: Layout,
    pub identity: Identity,
    pub binaries: Binaries,
    pub password: String,
    /// Held for as long as we use the folder.
    pub _lock: FolderLock,
}

pub(super) fn prepare(config: &PrivateConfig) -> Result<Prepared, PrivateError> {
    let layout = make_root(config)?;
    let identity = Identity::choose(&layout)?;
    let lock = files::lock(&layout)?;
    let made_by = initdb::made_by(&layout)?;
    let cluster = layout.cluster();
    let binaries = Binaries::find(config.bin_dir.as_deref(), made_by, &cluster.data())?;
    open_way(&layout, &identity)?;
    identity.check_reach(&binaries.dir)?;
    initdb::remove_leftovers(&layout)?;
    if made_by.is_none() {
        initdb::create(&layout, &binaries, &identity)?;
    }
    let path = cluster.password();
    let password = fs::read_to_string(&path).map_err(PrivateError::io("read", path))?;
    Ok(Prepared {
        layout,
        identity,
        binaries,
        password,
        _lock: lock,
    })
}

fn make_root(config: &PrivateConfig) -> Result<Layout, PrivateError> {
    let dir = &config.data_dir;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(PrivateError::io("make", parent))?;
    }
    files::make_dir(dir, 0o700).map_err(PrivateError::io("make", dir))?;
    let root = dir
        .canonicalize()
        .map_err(PrivateError::io("look at", dir))?;
    Ok(Layout { root })
}

/// What stands in a new folder before there is a cluster: the lock, and the spool.
const NEW_ENTRIES: [&str; 2] = ["runtraced.lock", "spool"];

/// Lets the unprivileged user pass through a folder that is root's and holds
/// nothing but our own; everything secret in it is closed by itself. Others'
/// folders are left as they are.
fn open_way(layout: &Layout, identity: &Identity) -> Result<(), PrivateError> {
    let root = &layout.root;
    let look_at = || PrivateError::io("look at", root);
    if identity.drops() {
        let found = fs::metadata(root).map_err(look_at())?;
        let mut entries = fs::read_dir(root).map_err(look_at())?;
        let new = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| NEW_ENTRIES.iter().any(|name| entry.file_name() == *name))
        };
        let only_ours = entries.all(new) || layout.connection().exists();
        if found.uid() == 0 && only_ours {
            let mode = found.permissions().mode() & 0o7777 | 0o011;
            files::set_mode(root, mode).map_err(PrivateError::io("open", root))?;
        }
    }
    identity.check_reach(root)
}
