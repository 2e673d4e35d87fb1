//! A small HTTP client, which sends exactly what a test says.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Duration, timeout};
use uuid::Uuid;

use crate::support::daemon::Daemon;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The ids in a column of the rows.
    pub fn ids(&self, column: &str) -> Vec<String> {
        let answer = self.json();
        let rows = answer["rows"]
            .as_array()
            .unwrap_or_else(|| panic!("{self:?}"));
        rows.iter()
            .map(|row| row[column].as_str().unwrap().to_owned())
            .collect()
    }
}

fn head(
    daemon: &Daemon,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    length: usize,
) -> String {
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        head.push_str(&format!("Host: {}\r\n", daemon.http_address()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

pub async fn request(
    daemon: &Daemon,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut socket = TcpStream::connect(daemon.http_address()).await.unwrap();
    let head = head(daemon, method, path, headers, body.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut bytes))
        .await
        .expect("no answer")
        .unwrap();
    let end = bytes
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .expect("no head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut body = bytes.split_off(end + 4);
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        body = joined(&body);
    }
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: String::from_utf8(body).unwrap(),
    }
}

/// The content of chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = chunks.windows(2).position(|part| part == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        content.extend_from_slice(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[end + 4 + size..];
    }
    content
}

pub async fn get(daemon: &Daemon, path: &str) -> Answer {
    request(daemon, "GET", path, &[], "").await
}

/// With a key or a token.
pub async fn get_as(daemon: &Daemon, token: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers: &[(&str, &str)] = match token {
        "" => &[],
        _ => &[("Authorization", &bearer)],
    };
    request(daemon, "GET", path, headers, "").await
}

pub async fn post_as(daemon: &Daemon, token: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Content-Type", "application/json")];
    if !token.is_empty() {
        headers.push(("Authorization", &bearer));
    }
    request(daemon, "POST", path, &headers, body).await
}

/// Decides an approval as it is now: with a key, or as the operator.
pub async fn decide_as(
    daemon: &Daemon,
    token: &str,
    approval: Uuid,
    decision: &str,
    note: &str,
) -> Answer {
    let one = format!("/api/approvals/{approval}");
    let shown = get(daemon, &one).await.json()["approval"]["revision"].clone();
    let body = json!({ "decision": decision, "note": note, "shown": shown });
    post_as(daemon, token, &format!("{one}/decision"), &body.to_string()).await
}

/// A stream of events.
pub struct Events {
    reader: BufReader<TcpStream>,
    pub last_id: String,
}

impl Events {
    pub async fn open(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Self {
        let socket = TcpStream::connect(daemon.http_address()).await.unwrap();
        Self::over(socket, daemon, path, headers).await
    }

    /// Of a client whose machine takes only a little that it does not read.
    pub async fn open_narrow(daemon: &Daemon, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let address = daemon.http_address().parse().unwrap();
        let socket = socket.connect(address).await.unwrap();
        Self::over(socket, daemon, path, &[]).await
    }

    async fn over(
        mut socket: TcpStream,
        daemon: &Daemon,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let head = head(daemon, "GET", path, headers, 0);
        socket.write_all(head.as_bytes()).await.unwrap();
        Self::of(socket)
    }

    /// What comes over a socket.
    pub fn of(socket: TcpStream) -> Self {
        Self {
            reader: BufReader::new(socket),
            last_id: String::new(),
        }
    }

    /// The next line, whatever it is.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.reader.read_line(&mut line))
            .await
            .expect("no line")
            .unwrap();
        line
    }

    /// The next event: its kind and data. `None`: the daemon has closed the stream.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        let mut kind = String::new();
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.reader.read_line(&mut line))
                .await
                .expect("no event");
            if read.unwrap_or(0) == 0 {
                return None;
            }
            if let Some(name) = line.strip_prefix("event: ") {
                kind = name.trim().to_owned();
            } else if let Some(id) = line.strip_prefix("id: ") {
                self.last_id = id.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((kind, serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// The next event of this kind.
    pub async fn wait_for(&mut self, wanted: &str) -> Value {
        loop {
            let (kind, data) = self
                .next()
                .await
                .unwrap_or_else(|| panic!("the stream ended without {wanted}"));
            if kind == wanted {
                return data;
            }
        }
    }
}
