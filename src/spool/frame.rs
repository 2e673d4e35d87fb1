//! A frame: a marker, what follows, and checksums over both.
//!
//! ```text
//! marker u32 | payload length u32 | sequence u64 | events u32 | CRC-32 of the payload u32
//!            | CRC-32 of the fields before u32 | payload
//! ```
//! Little-endian. The marker and the header's own checksum let a reader find
//! the next frame behind a damaged one.

/// What a frame begins with.
pub(super) const MARKER: [u8; 4] = *b"\xf5RTf";
/// Bytes before the payload.
pub(super) const FRAME_HEADER_BYTES: usize = 28;
/// No frame is longer; a length beyond is damage.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// A frame that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Ascends by one from frame to frame, in the order of appending.
    pub sequence: u64,
    /// How many events the payload holds.
    pub events: u32,
    /// The payload.
    pub payload: Vec<u8>,
    /// Where its segment goes on.
    pub(super) end: u64,
}

/// What stands before the payload.
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

    /// `None` for what is no header of a frame.
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
        let sound = bytes[..4] == MARKER
            && u32_at(24) == crc32fast::hash(&bytes[..24])
            && header.payload_len as usize <= MAX_PAYLOAD_BYTES;
        sound.then_some(header)
    }

    /// Bytes of the whole frame.
    pub fn frame_len(self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.payload_len)
    }
}
