//! `postmaster.pid`: whether a server runs on the cluster, and where it listens.
//! Its lines are: process, data directory, start time, port, socket folder,
//! address, shared memory key, status.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    error::PrivateError,
    files,
    identity::Identity,
    layout::{Cluster, Layout},
};

/// What a running postmaster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub pid: u32,
    /// Where it listens; missing in the first moments of its life.
    pub listen: Option<(u16, PathBuf)>,
    /// Whether it says that it accepts connections.
    pub ready: bool,
}

/// The postmaster that runs on this cluster, if any.
pub(super) fn running(cluster: &Cluster) -> Result<Option<Running>, PrivateError> {
    let path = cluster.pid_file();
    let text = files::read_optional(&path).map_err(PrivateError::io("read", &path))?;
    let found = text.as_deref().and_then(parse);
    Ok(found.filter(|found| is_postmaster_of(found.pid, &cluster.data())))
}

fn parse(text: &str) -> Option<Running> {
    let lines: Vec<&str> = text.lines().collect();
    let port = lines.get(3).and_then(|line| line.trim().parse().ok());
    let sockets = lines.get(4).filter(|line| line.starts_with('/'));
    Some(Running {
        pid: lines.first()?.trim().parse().ok()?,
        listen: port.zip(sockets.map(PathBuf::from)),
        ready: lines.get(7).is_some_and(|line| line.trim() == "ready"),
    })
}

/// Whether the process is a server on `data`. A process number alone proves
/// nothing: after a reboot, or in a container, another process has it.
pub(super) fn is_postmaster_of(pid: u32, data: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    if !Path::new("/proc/self").exists() {
        return speaks_of(&ps(pid), data);
    }
    // A server works in its data directory. A container may forbid to look.
    match fs::read_link(proc.join("cwd")) {
        Ok(dir) => dir == data,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            speaks_of(&fs::read(proc.join("cmdline")).unwrap_or_default(), data)
        }
        Err(_) => false,
    }
}

fn speaks_of(command_line: &[u8], data: &Path) -> bool {
    contains(command_line, b"postgres")
        && contains(command_line, data.as_os_str().as_encoded_bytes())
}

fn ps(pid: u32) -> Vec<u8> {
    Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Makes a stale file harmless without removing it.
///
/// Postgres removes a stale file by itself, except when its process number is
/// another process' now. But it must not be removed here: Postgres also reads
/// the shared memory key in it, to refuse while orphaned backends still write.
/// A file that names its own parent process, us, it takes as stale.
pub(super) fn defuse(layout: &Layout, identity: &Identity) -> Result<(), PrivateError> {
    let path = layout.cluster().pid_file();
    let Some(text) = files::read_optional(&path).map_err(PrivateError::io("read", &path))? else {
        return Ok(());
    };
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    if rest.is_empty() {
        // Cut off while it was written: nothing ran yet.
        return fs::remove_file(&path).map_err(PrivateError::io("remove", path));
    }
    let ours = format!("{}\n{rest}", std::process::id());
    files::replace_secret(&path, ours.as_bytes()).map_err(PrivateError::io("write", &path))?;
    identity.own(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_and_a_young_one_are_read() {
        let whole = "123\n/data\n1700000000\n5433\n/run/pg\n127.0.0.1\n  1 2\nready   \n";
        let listen = Some((5433, PathBuf::from("/run/pg")));
        let ready = true;
        let pid = 123;
        assert_eq!(parse(whole), Some(Running { pid, listen, ready }));
        let young = parse("123\n/data\n1700000000\n5433\n").unwrap();
        assert_eq!((young.listen, young.ready), (None, false));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn another_process_is_no_postmaster() {
        assert!(!is_postmaster_of(
            std::process::id(),
            Path::new("/no/such/data")
        ));
    }
}
