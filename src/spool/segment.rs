//! A segment file: its name and its header.
//!
//! ```text
//! magic [8] | version u32 | spool id [16] | instance [16] | CRC-32 of the fields before u32
//! ```
//! Integers are little-endian. Frames follow the header. A later format version may
//! change everything except the magic, the version, and the checksum of the first
//! [`HEADER_BYTES`].

use uuid::Uuid;

/// The format version that runtraced writes. It reads this version and all earlier ones.
pub const FORMAT_VERSION: u32 = 3;
/// The length of the header.
pub(super) const HEADER_BYTES: usize = 48;
const MAGIC: [u8; 8] = *b"RTSPOOL\n";
const SUFFIX: &str = ".spool";
const QUARANTINE: &str = ".quarantined";

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The format version.
    pub version: u32,
    /// The id of the spool that the segment belongs to.
    pub spool: Uuid,
    /// The daemon process that wrote the segment.
    pub instance: Uuid,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..28].copy_from_slice(self.spool.as_bytes());
        bytes[28..44].copy_from_slice(self.instance.as_bytes());
        let crc = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes a header. `None` if the bytes are not an intact header.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let intact = bytes[..8] == MAGIC && u32_at(44) == crc32fast::hash(&bytes[..44]);
        intact.then(|| Self {
            version: u32_at(8),
            spool: Uuid::from_slice(&bytes[12..28]).unwrap_or_default(),
            instance: Uuid::from_slice(&bytes[28..44]).unwrap_or_default(),
        })
    }
}

/// The name of a segment. Zero-padded, so names sort like numbers.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The name of a damaged segment whose intact frames are all acknowledged.
pub(super) fn quarantine_name(number: u64) -> String {
    format!("{number:020}{QUARANTINE}")
}

/// The number of a segment. `None` for other files.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

/// The number of a quarantined segment. `None` for other files.
pub(super) fn quarantined_number(name: &str) -> Option<u64> {
    name.strip_suffix(QUARANTINE)?.parse().ok()
}
