//! Prepares the start of a server: folder, user, lock, programs, cluster. All of this
//! blocks on files and processes.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use super::{
    binaries::Binaries,
    config::PrivateConfig,
    error::PrivateError,
    files::{self, FolderLock, PRIVATE_DIR},
    initdb,
    layout::Layout,
    server_user::ServerUser,
};

/// A locked folder with a cluster.
pub(super) struct Prepared {
    pub layout: Layout,
    pub user: ServerUser,
    pub binaries: Binaries,
    pub password: String,
    /// Held as long as the folder is in use.
    pub _lock: FolderLock,
}

pub(super) fn prepare(config: &PrivateConfig) -> Result<Prepared, PrivateError> {
    let layout = make_root(config)?;
    let user = ServerUser::choose(&layout)?;
    let lock = files::lock(&layout)?;
    let made_by = initdb::made_by(&layout)?;
    let cluster = layout.cluster();
    let binaries = Binaries::find(config.bin_dir.as_deref(), made_by, &cluster.data())?;
    open_root(&layout, &user)?;
    user.check_access(&binaries.dir)?;
    initdb::remove_leftovers(&layout)?;
    if made_by.is_none() {
        initdb::create(&layout, &binaries, &user)?;
    }
    let path = cluster.password();
    let password = fs::read_to_string(&path).map_err(PrivateError::io("read", path))?;
    Ok(Prepared {
        layout,
        user,
        binaries,
        password,
        _lock: lock,
    })
}

fn make_root(config: &PrivateConfig) -> Result<Layout, PrivateError> {
    let dir = &config.data_dir;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(PrivateError::io("create", parent))?;
    }
    files::make_dir(dir, PRIVATE_DIR).map_err(PrivateError::io("create", dir))?;
    let root = dir
        .canonicalize()
        .map_err(PrivateError::io("inspect", dir))?;
    Ok(Layout { root })
}

/// The entries of a data directory that may exist before the cluster: the lock and the
/// spool.
const EARLY_ENTRIES: [&str; 2] = ["runtraced.lock", "spool"];
/// The permission bits of a mode.
const PERMISSION_BITS: u32 = 0o7777;
/// Lets all users pass through a folder, without listing it.
const PASS_THROUGH: u32 = 0o011;

/// Lets the unprivileged user pass through the data directory, if root owns the folder and
/// it has runtraced's files only. Its secret files have modes of their own. Other folders
/// are not changed.
fn open_root(layout: &Layout, user: &ServerUser) -> Result<(), PrivateError> {
    let root = &layout.root;
    let inspect = || PrivateError::io("inspect", root);
    if user.is_unprivileged() {
        let metadata = fs::metadata(root).map_err(inspect())?;
        let mut entries = fs::read_dir(root).map_err(inspect())?;
        let is_early = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| EARLY_ENTRIES.iter().any(|name| entry.file_name() == *name))
        };
        let only_ours = entries.all(is_early) || layout.connection().exists();
        if metadata.uid() == 0 && only_ours {
            let mode = metadata.permissions().mode() & PERMISSION_BITS | PASS_THROUGH;
            files::set_mode(root, mode).map_err(PrivateError::io("change the mode of", root))?;
        }
    }
    user.check_access(root)
}
