//! The transport of one connection, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// The first bytes of every HTTP/2 client (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    Http1,
    Http2,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A transport that notes each byte that is sent or received.
#[derive(Debug)]
pub(super) struct ClientIo {
    transport: Transport,
    /// Bytes read to detect the HTTP version. HTTP still has to read them.
    first: [u8; PREFACE.len()],
    first_len: usize,
    first_taken: usize,
    activity: Activity,
}

impl ClientIo {
    pub(super) fn plain(socket: TcpStream, activity: Activity) -> Self {
        Self::new(Transport::Plain(socket), activity)
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, activity: Activity) -> Self {
        Self::new(Transport::Tls(Box::new(stream)), activity)
    }

    fn new(transport: Transport, activity: Activity) -> Self {
        Self {
            transport,
            first: [0; PREFACE.len()],
            first_len: 0,
            first_taken: 0,
            activity,
        }
    }

    /// Reads enough bytes to detect the HTTP version. `None`: the client closed the
    /// connection without sending a byte.
    ///
    /// # Errors
    /// When the transport fails.
    pub(super) async fn version(&mut self) -> io::Result<Option<HttpVersion>> {
        let mut first = [0; PREFACE.len()];
        let mut len = 0;
        let version = loop {
            let read = self.read(&mut first[len..]).await?;
            if read == 0 && len == 0 {
                return Ok(None);
            }
            len += read;
            if read == 0 || first[..len] != PREFACE[..len] {
                break HttpVersion::Http1;
            }
            if len == PREFACE.len() {
                break HttpVersion::Http2;
            }
        };
        self.first = first;
        self.first_len = len;
        Ok(Some(version))
    }

    fn transport(&mut self) -> Pin<&mut (dyn Duplex + Unpin)> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket),
            Transport::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite {}

impl<T: AsyncRead + AsyncWrite> Duplex for T {}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let first = &this.first[this.first_taken..this.first_len];
        if !first.is_empty() {
            let len = first.len().min(buf.remaining());
            buf.put_slice(&first[..len]);
            this.first_taken += len;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = this.transport().poll_read(cx, buf);
        if buf.filled().len() > before {
            this.activity.note();
        }
        read
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.transport().poll_write(cx, buf);
        if matches!(written, Poll::Ready(Ok(1..))) {
            this.activity.note();
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.transport().poll_write_vectored(cx, bufs);
        if matches!(written, Poll::Ready(Ok(1..))) {
            this.activity.note();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(socket) => socket.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().transport().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().transport().poll_shutdown(cx)
    }
}
