//! A frame: a header with a marker and checksums, then the payload.
//!
//! ```text
//! marker u32 | payload length u32 | sequence u64 | events u32 | CRC-32 of the payload u32
//!            | CRC-32 of the fields before u32 | payload
//! ```
//! Integers are little-endian. With the marker and the header's own checksum, a reader
//! can find the next frame after a damaged one.

/// The first bytes of a frame.
pub(super) const MARKER: [u8; 4] = *b"\xf5RTf";
/// The length of the header.
pub(super) const FRAME_HEADER_BYTES: usize = 28;
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
    /// The offset of the frame's end in its segment.
    pub(super) end: u64,
}

/// The header of a frame, without marker and header checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub payload_len: u32,
    pub sequence: u64,
    pub events: u32,
    pub payload_crc: u32,
}

impl FrameHeader {
    pub fn of(payload: &[u8], payload_len: u32, sequence: u64, events: u32) -> Self {
        Self {
            payload_len,
            sequence,
            events,
            payload_crc: crc32fast::hash(payload),
        }
    }

    pub fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&MARKER);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.events.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes a header. `None` if the bytes are not an intact frame header.
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let header = Self {
            payload_len: u32_at(4),
            sequence: u64::from(u32_at(8)) | u64::from(u32_at(12)) << 32,
            events: u32_at(16),
            payload_crc: u32_at(20),
        };
        let intact = bytes[..4] == MARKER
            && u32_at(24) == crc32fast::hash(&bytes[..24])
            && header.payload_len as usize <= MAX_PAYLOAD_BYTES;
        intact.then_some(header)
    }

    /// The length of the whole frame, in bytes.
    pub fn frame_len(self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.payload_len)
    }
}
