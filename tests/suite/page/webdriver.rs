//! The WebDriver protocol, as far as these tests need it: JSON over HTTP/1.1 on loopback.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A whole page may take this long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends one command; its value, or what the driver says is wrong.
pub fn command(port: u16, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let body = if method == "POST" {
        body.to_string()
    } else {
        String::new()
    };
    let text = exchange(port, method, path, &body).map_err(|error| error.to_string())?;
    let (_, answer) = text.split_once("\r\n\r\n").unwrap_or_default();
    let answer: Value = serde_json::from_str(answer).map_err(|error| format!("{error}: {text}"))?;
    match &answer["value"]["error"] {
        Value::String(error) => Err(format!("{error}: {}", answer["value"]["message"])),
        _ => Ok(answer["value"].clone()),
    }
}

fn exchange(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    let mut part = [0; 65_536];
    // The driver may keep the connection open: the answer ends where its length says.
    loop {
        let read = match socket.read(&mut part) {
            // A signal, such as that of a child that has ended, interrupts a read with a timeout.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        answer.extend_from_slice(&part[..read]);
        if read == 0 || complete(&answer) {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= head.len() + 4 + length)
}
