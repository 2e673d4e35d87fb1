//! A frame: a header with a marker and checksums, the payload, and a trailer.
//!
//! ```text
//! marker [4] | payload length u32 | sequence u64 | events u32 | CRC-32 of the payload u32
//!            | CRC-32 of the fields before u32 | payload
//!            | end marker [4] | frame length u32 | CRC-32 of these two u32
//! ```
//! Integers are little-endian. With the marker and the header's own checksum, a reader
//! can find the next frame after a damaged one. An intact trailer proves that a frame was
//! written to its end: a frame with a trailer and without a header is damaged, not torn.
//! Frames of format version 1 have another marker and no trailer.

/// The first bytes of a frame, by format version.
const MARKERS: [[u8; 4]; 2] = [*b"\xf5RTf", *b"\xf5RTg"];
/// The format version whose frames have a trailer, and all later ones.
const FIRST_WITH_TRAILER: usize = 2;
/// The first bytes of a trailer.
const END_MARKER: [u8; 4] = *b"\xf6RTe";
/// The length of a marker.
pub(super) const MARKER_BYTES: usize = 4;
/// The length of the header.
pub(super) const FRAME_HEADER_BYTES: usize = 28;
/// The length of the trailer.
pub(super) const FRAME_TRAILER_BYTES: usize = 12;
/// The longest payload. A greater length in a header means damage.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// A frame that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the frame. It grows by one with every appended frame.
    pub sequence: u64,
    /// The number of events in the payload.
    pub events: u32,
    /// The payload.
    pub payload: Vec<u8>,
    /// Where the frame is.
    pub place: FramePlace,
    /// The offset of the frame's end in its segment.
    pub end: u64,
}

/// The place of a frame in its spool. Frames are ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FramePlace {
    /// The number of the segment.
    pub segment: u64,
    /// The offset in the segment.
    pub offset: u64,
}

/// Whether a frame of any version may begin with these bytes.
pub(super) fn is_marker(bytes: &[u8]) -> bool {
    MARKERS.iter().any(|marker| marker == bytes)
}

/// Whether a trailer may begin with these bytes.
pub(super) fn is_end_marker(bytes: &[u8]) -> bool {
    bytes == END_MARKER
}

/// The length of the frame that an intact trailer ends. `None` if the bytes are not an
/// intact trailer.
pub(super) fn decode_trailer(bytes: &[u8; FRAME_TRAILER_BYTES]) -> Option<u64> {
    let u32_at = |at: usize| u32_at(bytes, at);
    let intact = is_end_marker(&bytes[..4]) && u32_at(8) == crc32fast::hash(&bytes[..8]);
    intact.then(|| u64::from(u32_at(4)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The header of a frame, without marker and header checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Whether a trailer follows the payload. True for frames that this version writes.
    pub trailer: bool,
    pub payload_len: u32,
    pub sequence: u64,
    pub events: u32,
    pub payload_crc: u32,
}

impl FrameHeader {
    pub fn of(payload: &[u8], payload_len: u32, sequence: u64, events: u32) -> Self {
        Self {
            trailer: true,
            payload_len,
            sequence,
            events,
            payload_crc: crc32fast::hash(payload),
        }
    }

    fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&MARKERS[MARKERS.len() - 1]);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.events.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The whole frame with its payload.
    pub fn frame(self, payload: &[u8]) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(FRAME_HEADER_BYTES + payload.len() + FRAME_TRAILER_BYTES);
        bytes.extend_from_slice(&self.encode());
        bytes.extend_from_slice(payload);
        let mut trailer = [0; FRAME_TRAILER_BYTES];
        trailer[..4].copy_from_slice(&END_MARKER);
        // Fits, because payloads are at most `MAX_PAYLOAD_BYTES` long.
        let len = u32::try_from(self.frame_len()).unwrap_or(u32::MAX);
        trailer[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = crc32fast::hash(&trailer[..8]);
        trailer[8..].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&trailer);
        bytes
    }

    /// Decodes a header. `None` if the bytes are not an intact frame header.
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| u32_at(bytes, at);
        let version = 1 + MARKERS.iter().position(|marker| *marker == bytes[..4])?;
        let header = Self {
            trailer: version >= FIRST_WITH_TRAILER,
            payload_len: u32_at(4),
            sequence: u64::from(u32_at(8)) | u64::from(u32_at(12)) << 32,
            events: u32_at(16),
            payload_crc: u32_at(20),
        };
        let intact = u32_at(24) == crc32fast::hash(&bytes[..24])
            && header.payload_len as usize <= MAX_PAYLOAD_BYTES;
        intact.then_some(header)
    }

    /// The length of the whole frame, in bytes.
    pub fn frame_len(self) -> u64 {
        let trailer = if self.trailer { FRAME_TRAILER_BYTES } else { 0 };
        FRAME_HEADER_BYTES as u64 + u64::from(self.payload_len) + trailer as u64
    }
}
