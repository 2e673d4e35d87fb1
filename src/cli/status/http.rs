//! A small HTTP client for the pages of a daemon.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::cli::endpoint::ClientTlsArgs;
use crate::cli::failure;

/// How long the daemon may take for a page. It answers in milliseconds; a person waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The address of an HTTP endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct HttpAddress {
    /// Host and port.
    authority: String,
    host: String,
    tls: bool,
}

impl HttpAddress {
    /// Parses `HOST:PORT`, with `http://` or `https://` before it or without.
    ///
    /// # Errors
    /// What is wrong, to be put behind the flag's name.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (tls, authority) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(format!(
                    "{text} has the scheme {scheme}; write HOST:PORT, http://HOST:PORT or \
                     https://HOST:PORT"
                ));
            }
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let with_port = authority
            .rsplit_once(':')
            .filter(|(host, port)| is_host(host) && port.parse::<u16>().is_ok());
        match with_port {
            Some((host, _)) => Ok(Self {
                authority: authority.to_owned(),
                host: host.trim_matches(['[', ']']).to_owned(),
                tls,
            }),
            None if is_host(authority) => {
                Err(format!("{text} has no port; write {authority}:4318"))
            }
            None => Err(format!("{text} is not an address like 127.0.0.1:4318")),
        }
    }
}

/// Whether a text may be the host of an address: a name, an IPv4 address or `[IPv6]`.
fn is_host(text: &str) -> bool {
    let bracketed = text.starts_with('[') && text.ends_with(']');
    !text.is_empty() && !text.contains(['/', ' ', '@']) && (bracketed || !text.contains(':'))
}

/// Fetches pages from an HTTP endpoint.
pub(super) struct HttpEndpoint {
    address: HttpAddress,
    tls: Option<TlsConnector>,
}

impl HttpEndpoint {
    pub(super) fn new(address: HttpAddress, tls: &ClientTlsArgs) -> anyhow::Result<Self> {
        let tls = address.tls.then(|| tls.connector()).transpose()?;
        Ok(Self { address, tls })
    }

    /// The status and body of a page.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let authority = &self.address.authority;
        let answer = timeout(ANSWER_TIMEOUT, self.exchange(path))
            .await
            .with_context(|| {
                format!("the daemon at {authority} did not answer within {ANSWER_TIMEOUT:?}")
            })??;
        let parsed = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
            let code = head.strip_prefix("HTTP/")?.split(' ').nth(1)?;
            Some((code.parse().ok()?, body.to_owned()))
        });
        match parsed {
            Some(page) => Ok(page),
            None if self.tls.is_some() => bail!("the server at {authority} does not speak HTTP"),
            None => bail!(
                "the server at {authority} does not speak HTTP; if the daemon uses TLS, \
                 write --http https://{authority}"
            ),
        }
    }

    async fn exchange(&self, path: &str) -> anyhow::Result<String> {
        let HttpAddress {
            authority, host, ..
        } = &self.address;
        let socket = match TcpStream::connect(authority).await {
            Ok(socket) => socket,
            Err(error) => bail!(
                "no daemon answers at {authority}: {}; start it with `runtraced serve`, or \
                 correct --http (RUNTRACED_HTTP)",
                failure::explain(&error)
            ),
        };
        let Some(tls) = &self.tls else {
            let broke = || format!("the connection to {authority} broke");
            return ask(socket, authority, path).await.with_context(broke);
        };
        let name = ServerName::try_from(host.clone())?;
        let failed = || format!("the TLS connection to {authority} failed");
        let socket = tls.connect(name, socket).await.with_context(failed)?;
        ask(socket, authority, path).await.with_context(failed)
    }
}

/// Sends a request and reads to the end.
async fn ask(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    path: &str,
) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer).await {
        // What came before the connection broke may be a whole answer.
        Err(_) if !answer.is_empty() => {}
        read => drop(read?),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_be_missing_but_not_the_port() {
        let authority = |text| HttpAddress::parse(text).map(|found| (found.tls, found.authority));
        for text in ["host:1", "http://host:1", "http://host:1/"] {
            assert_eq!(authority(text), Ok((false, "host:1".to_owned())), "{text}");
        }
        assert_eq!(authority("https://[::1]:2"), Ok((true, "[::1]:2".into())));
        for (text, fault) in [
            ("127.0.0.1", "127.0.0.1 has no port; write 127.0.0.1:4318"),
            ("[::1]", "[::1] has no port; write [::1]:4318"),
            (
                "ftp://host:1",
                "ftp://host:1 has the scheme ftp; write HOST:PORT, http://HOST:PORT or https://HOST:PORT",
            ),
            (":::", "::: is not an address like 127.0.0.1:4318"),
            ("", " is not an address like 127.0.0.1:4318"),
            (
                "host:1/metrics",
                "host:1/metrics is not an address like 127.0.0.1:4318",
            ),
        ] {
            assert_eq!(authority(text), Err(fault.to_owned()), "{text}");
        }
    }
}
