//! Request bodies: reading them within a byte budget, decompressing them within a limit.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::ingest::settle::Unsettled;

/// The header of a gRPC message: a flag (compressed or not) and a length of four bytes.
pub const FRAME_HEADER_BYTES: usize = 5;
/// How long the rest of a refused body is read and discarded. Many clients read the
/// response only after they have sent the whole body.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest zstd window that is accepted, as a power of two: 16 MiB. The decoder
/// allocates the window whatever the output size. RFC 8878 recommends at least 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;
/// The initial capacity of the buffer for decompressed bytes.
const INITIAL_CAPACITY_BYTES: usize = 16 << 10;

/// Why a body cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is too large, as sent or when decompressed.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The client did not send the whole body.
    #[error("the body is incomplete: the client stopped sending")]
    Broken,
    /// The body took too long.
    #[error("the body was not received in time")]
    Slow,
    /// The body cannot be decompressed.
    #[error("the body cannot be decompressed: it is truncated or not in its content encoding")]
    Corrupt,
    /// The body is not a gRPC message.
    #[error("the body is not one gRPC message")]
    Frame,
    /// The content encoding is unknown.
    #[error("unknown content encoding; use gzip, deflate, zstd or identity")]
    UnknownEncoding,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Compression {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

impl Compression {
    /// The accepted encodings, for response headers.
    pub const ACCEPTED: &str = "gzip, deflate, zstd, identity";

    /// Parses the name in `Content-Encoding` or `grpc-encoding`.
    ///
    /// # Errors
    /// [`BodyError::UnknownEncoding`].
    pub fn named(name: &[u8]) -> Result<Self, BodyError> {
        let name = name.trim_ascii().to_ascii_lowercase();
        match &*name {
            b"" | b"identity" => Ok(Self::Identity),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"deflate" => Ok(Self::Deflate),
            b"zstd" => Ok(Self::Zstd),
            _ => Err(BodyError::UnknownEncoding),
        }
    }
}

/// The budget of body bytes in memory, over all requests.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    bytes: Arc<Semaphore>,
    /// The time for one body.
    timeout: Duration,
}

/// A body, and its share of the budget.
#[derive(Debug)]
pub struct ReadBody {
    /// The bytes as received, still compressed.
    pub bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// A budget of `bytes`. Each body must be received within `timeout`.
    #[must_use]
    pub fn new(bytes: usize, timeout: Duration) -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            timeout,
        }
    }

    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// `Ok(Err(…))` when the body is too large, broken or late. `Err(…)` when the budget
    /// is full.
    pub async fn read(
        &self,
        mut body: Body,
        limit: usize,
    ) -> Result<Result<ReadBody, BodyError>, Unsettled> {
        let deadline = Instant::now() + self.timeout;
        let mut read = BytesMut::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Ok(Err(BodyError::Broken)),
                Ok(None) => break,
                Err(_) => return Ok(Err(BodyError::Slow)),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if read.len() + data.len() > limit {
                drop((read, share));
                discard(body).await;
                return Ok(Err(BodyError::TooLarge { limit }));
            }
            let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let Ok(more) = self.bytes.clone().try_acquire_many_owned(bytes) else {
                drop((read, share));
                discard(body).await;
                return Err(Unsettled::Full);
            };
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
            read.extend_from_slice(&data);
        }
        Ok(Ok(ReadBody {
            bytes: read.freeze(),
            _share: share,
        }))
    }
}

async fn discard(mut body: Body) {
    let deadline = Instant::now() + DISCARD_TIMEOUT;
    while let Ok(Some(Ok(_))) = timeout_at(deadline, body.frame()).await {}
}

/// Decompresses to at most `limit` bytes.
///
/// # Errors
/// [`BodyError::TooLarge`], [`BodyError::Corrupt`].
pub fn decompress(
    compression: Compression,
    bytes: Bytes,
    limit: usize,
) -> Result<Bytes, BodyError> {
    let compressed = &*bytes;
    match compression {
        _ if bytes.is_empty() => Ok(bytes),
        Compression::Identity => Ok(bytes),
        Compression::Gzip => read_limited(MultiGzDecoder::new(compressed), limit),
        // RFC 9110 requires the zlib format; some senders omit the zlib header.
        Compression::Deflate if has_zlib_header(compressed) => {
            read_limited(ZlibDecoder::new(compressed), limit)
        }
        Compression::Deflate => read_limited(DeflateDecoder::new(compressed), limit),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)
                .map_err(|_| BodyError::Corrupt)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|_| BodyError::Corrupt)?;
            read_limited(decoder, limit)
        }
    }
}

fn read_limited(decoder: impl Read, limit: usize) -> Result<Bytes, BodyError> {
    let bytes = read_up_to(decoder, limit + 1).map_err(|_| BodyError::Corrupt)?;
    if bytes.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(bytes.into())
}

/// Reads to the end, but at most `max_bytes`. The buffer doubles when it is full, but its
/// capacity never exceeds `max_bytes`: growing holds the old and the new buffer at once.
fn read_up_to(mut from: impl Read, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let free = bytes
            .len()
            .max(INITIAL_CAPACITY_BYTES)
            .min(max_bytes - bytes.len());
        bytes.reserve_exact(free);
        let read = from.by_ref().take(free as u64).read_to_end(&mut bytes)?;
        if read < free || bytes.len() == max_bytes {
            return Ok(bytes);
        }
    }
}

/// Detects a zlib header (RFC 1950): the compression method is 8, and the first two
/// bytes are a multiple of 31.
fn has_zlib_header(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression as Level;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn compress_every_way(plain: &[u8]) -> Vec<(Compression, Vec<u8>)> {
        let mut gzip = GzEncoder::new(Vec::new(), Level::best());
        gzip.write_all(plain).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Level::best());
        zlib.write_all(plain).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Level::best());
        raw.write_all(plain).unwrap();
        vec![
            (Compression::Identity, plain.to_vec()),
            (Compression::Gzip, gzip.finish().unwrap()),
            (Compression::Deflate, zlib.finish().unwrap()),
            (Compression::Deflate, raw.finish().unwrap()),
            (Compression::Zstd, zstd::encode_all(plain, 3).unwrap()),
        ]
    }

    #[test]
    fn every_compression_round_trips() {
        let plain = "spans ".repeat(1_000).into_bytes();
        for (compression, bytes) in compress_every_way(&plain) {
            let back = decompress(compression, bytes.into(), plain.len()).unwrap();
            assert_eq!(back, plain, "{compression:?}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        for (compression, bytes) in compress_every_way(&vec![0; 8 << 20]).into_iter().skip(1) {
            assert!(bytes.len() < 16 << 10, "{compression:?}");
            let error = decompress(compression, bytes.into(), 1 << 20).unwrap_err();
            assert_eq!(error, BodyError::TooLarge { limit: 1 << 20 });
        }
    }

    #[test]
    fn the_capacity_never_exceeds_the_limit() {
        let all = vec![1; 1 << 20];
        for most in [
            1,
            40,
            INITIAL_CAPACITY_BYTES,
            3 * INITIAL_CAPACITY_BYTES,
            1 << 20,
        ] {
            for len in [0, most - 1, most, most + 1] {
                let bytes = read_up_to(&all[..len.min(all.len())], most).unwrap();
                assert_eq!(bytes.len(), len.min(most));
                assert!(bytes.capacity() <= most, "{} of {most}", bytes.capacity());
            }
        }
    }

    #[test]
    fn the_limit_is_exact() {
        for limit in [1, INITIAL_CAPACITY_BYTES, 2 * INITIAL_CAPACITY_BYTES + 1] {
            let plain = |len| vec![5; len];
            for (compression, bytes) in compress_every_way(&plain(limit)).into_iter().skip(1) {
                let back = decompress(compression, bytes.into(), limit).unwrap();
                assert_eq!(back, plain(limit), "{compression:?}");
            }
            for (compression, bytes) in compress_every_way(&plain(limit + 1)).into_iter().skip(1) {
                let error = decompress(compression, bytes.into(), limit).unwrap_err();
                assert_eq!(error, BodyError::TooLarge { limit }, "{compression:?}");
            }
        }
    }

    #[test]
    fn a_truncated_body_is_an_error() {
        for (compression, mut bytes) in compress_every_way(&[7; 1_000]).into_iter().skip(1) {
            bytes.truncate(bytes.len() - 3);
            let error = decompress(compression, bytes.into(), 1 << 20).unwrap_err();
            assert_eq!(error, BodyError::Corrupt, "{compression:?}");
        }
    }
}
