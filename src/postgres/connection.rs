//! How to connect to the private Postgres, and the file that tells other processes.

use std::{
    fmt,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    constants::{DATABASE, ROLE},
    error::PrivateError,
    files,
    layout::Layout,
};

/// Where a private Postgres listens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// The URL over the unix socket, without a password: for the daemon, `psql` and
    /// commands of the same user or root.
    pub url: String,
    /// The URL over loopback TCP, with the password: for tools without unix sockets.
    pub tcp_url: String,
    /// The TCP port. It is also part of the socket's name.
    pub port: u16,
    /// The folder of the unix socket.
    pub socket_dir: PathBuf,
}

impl ConnectionInfo {
    pub(super) fn new(port: u16, socket_dir: &Path, password: &str) -> Self {
        let host = percent_encode(&socket_dir.to_string_lossy());
        Self {
            url: format!("postgresql://{ROLE}@localhost:{port}/{DATABASE}?host={host}"),
            tcp_url: format!("postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}"),
            port,
            socket_dir: socket_dir.to_owned(),
        }
    }

    /// The path of the unix socket.
    pub fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Reads the file that the last start wrote. The server may not run any more.
    pub(super) fn read(layout: &Layout) -> Result<Option<Self>, PrivateError> {
        let path = layout.connection();
        match files::read_optional(&path).map_err(PrivateError::io("read", &path))? {
            None => Ok(None),
            Some(text) => {
                serde_json::from_str(&text)
                    .map(Some)
                    .map_err(|error| PrivateError::Damaged {
                        path,
                        reason: error.to_string(),
                    })
            }
        }
    }

    pub(super) fn write(&self, layout: &Layout) -> Result<(), PrivateError> {
        let path = layout.connection();
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| PrivateError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        text.push(b'\n');
        files::replace_secret(&path, &text).map_err(PrivateError::io("write", &path))
    }

    /// Finds the running server of a folder, from any process.
    pub(super) fn locate(data_dir: &Path) -> Result<Self, PrivateError> {
        let not_running = || PrivateError::NotRunning {
            dir: data_dir.to_owned(),
        };
        let root = data_dir.canonicalize().map_err(|_| not_running())?;
        let info = Self::read(&Layout { root })?.ok_or_else(not_running)?;
        UnixStream::connect(info.socket())
            .map(|_| info)
            .map_err(|_| not_running())
    }
}

/// Omits the password, so that it cannot get into a log.
impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("url", &self.url)
            .field("port", &self.port)
            .field("socket_dir", &self.socket_dir)
            .finish_non_exhaustive()
    }
}

/// Percent-encodes all bytes that are not allowed in a URL's query.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_hold_any_path() {
        let info = ConnectionInfo::new(5499, Path::new("/a b/ü&?"), "secret");
        assert_eq!(
            info.url,
            "postgresql://runtraced@localhost:5499/runtraced?host=/a%20b/%C3%BC%26%3F"
        );
        let options: sqlx::postgres::PgConnectOptions = info.url.parse().unwrap();
        assert_eq!(options.get_socket(), Some(&PathBuf::from("/a b/ü&?")));
        assert_eq!(options.get_port(), 5499);
        assert!(!format!("{info:?}").contains("secret"));
    }
}
