//! The file `postmaster.pid`, which tells whether a server runs on the cluster and where
//! it listens. Its lines: process id, data directory, start time, port, socket folder,
//! address, shared memory key, status.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    error::PrivateError,
    files,
    layout::{Cluster, Layout},
    server_user::ServerUser,
};

// Lines of the file, counted from 0.
const PID_LINE: usize = 0;
const PORT_LINE: usize = 3;
const SOCKETS_LINE: usize = 4;
const STATUS_LINE: usize = 7;

/// What the file says about a running postmaster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunningPostmaster {
    pub pid: u32,
    /// The port and the socket folder. A postmaster that has just started has not written
    /// them yet.
    pub listen: Option<(u16, PathBuf)>,
    /// Whether the postmaster accepts connections.
    pub ready: bool,
}

/// The postmaster that runs on this cluster, if any.
pub(super) fn running(cluster: &Cluster) -> Result<Option<RunningPostmaster>, PrivateError> {
    let path = cluster.pid_file();
    let text = files::read_optional(&path).map_err(PrivateError::io("read", &path))?;
    let found = text.as_deref().and_then(parse);
    Ok(found.filter(|found| is_postmaster_of(found.pid, &cluster.data())))
}

fn parse(text: &str) -> Option<RunningPostmaster> {
    let lines: Vec<&str> = text.lines().collect();
    let port = lines
        .get(PORT_LINE)
        .and_then(|line| line.trim().parse().ok());
    let sockets = lines.get(SOCKETS_LINE).filter(|line| line.starts_with('/'));
    Some(RunningPostmaster {
        pid: lines.get(PID_LINE)?.trim().parse().ok()?,
        listen: port.zip(sockets.map(PathBuf::from)),
        ready: lines
            .get(STATUS_LINE)
            .is_some_and(|line| line.trim() == "ready"),
    })
}

/// Whether the process is a server on `data`. The process id alone proves nothing: after
/// a reboot, or in a container, another process may have it.
pub(super) fn is_postmaster_of(pid: u32, data: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    if !Path::new("/proc/self").exists() {
        return names_server_on(&ps(pid), data);
    }
    // A server's working directory is its data directory. A container may forbid reading
    // it.
    match fs::read_link(proc.join("cwd")) {
        Ok(dir) => dir == data,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            names_server_on(&fs::read(proc.join("cmdline")).unwrap_or_default(), data)
        }
        Err(_) => false,
    }
}

/// Whether a command line is that of a server on `data`.
fn names_server_on(command_line: &[u8], data: &Path) -> bool {
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

/// Makes a stale file harmless, by writing our own process id into it.
///
/// Postgres removes a stale file, except if another process now has the process id in it.
/// We must not remove the file: Postgres also reads its shared memory key, and refuses to
/// start while orphaned backends still write. Postgres takes a file that names its parent
/// process, which is us, as stale.
pub(super) fn neutralize_stale(layout: &Layout, user: &ServerUser) -> Result<(), PrivateError> {
    let path = layout.cluster().pid_file();
    let Some(text) = files::read_optional(&path).map_err(PrivateError::io("read", &path))? else {
        return Ok(());
    };
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    if rest.is_empty() {
        // The writer was cut off before the server ran.
        return fs::remove_file(&path).map_err(PrivateError::io("remove", path));
    }
    let ours = format!("{}\n{rest}", std::process::id());
    files::replace_secret(&path, ours.as_bytes()).map_err(PrivateError::io("write", &path))?;
    user.take_ownership(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_file_and_a_new_one_are_parsed() {
        let complete = "123\n/data\n1700000000\n5433\n/run/pg\n127.0.0.1\n  1 2\nready   \n";
        let listen = Some((5433, PathBuf::from("/run/pg")));
        let ready = true;
        let pid = 123;
        assert_eq!(
            parse(complete),
            Some(RunningPostmaster { pid, listen, ready })
        );
        let new = parse("123\n/data\n1700000000\n5433\n").unwrap();
        assert_eq!((new.listen, new.ready), (None, false));
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
