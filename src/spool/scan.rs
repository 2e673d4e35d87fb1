//! Reading a segment that may be torn or damaged.

use std::io;

use super::disk::DiskFile;
use super::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, MARKER};
use super::segment::{HEADER_BYTES, SegmentHeader};

/// How much is searched at a time for the next frame behind damage.
const SEARCH_BYTES: usize = 64 << 10;

/// What stands at a position of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A sound frame.
    Frame(Frame),
    /// The end of the file.
    End,
    /// No frame; `whole` if a sound header says that one was written whole.
    Damage { whole: bool },
}

/// What a whole segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// What it says of itself, if that is sound.
    pub header: Option<SegmentHeader>,
    /// Sound frames.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// The sequence of the last one.
    pub last_sequence: Option<u64>,
    /// Where the last sound frame ends; what is behind it, if anything, is a
    /// torn tail.
    pub end: u64,
    /// Damaged places between sound frames, or one that was written whole.
    pub damaged: u64,
}

/// Reads the frame at `offset` of a file of `len` bytes.
pub(super) fn read_frame(file: &impl DiskFile, offset: u64, len: u64) -> io::Result<Found> {
    let left = len.saturating_sub(offset);
    if left == 0 {
        return Ok(Found::End);
    }
    let torn = Found::Damage { whole: false };
    if left < FRAME_HEADER_BYTES as u64 {
        return Ok(torn);
    }
    let mut bytes = [0; FRAME_HEADER_BYTES];
    file.read_exact_at(&mut bytes, offset)?;
    let Some(header) = FrameHeader::decode(&bytes).filter(|h| h.frame_len() <= left) else {
        return Ok(torn);
    };
    let mut payload = vec![0; header.payload_len as usize];
    file.read_exact_at(&mut payload, offset + FRAME_HEADER_BYTES as u64)?;
    if crc32fast::hash(&payload) != header.payload_crc {
        return Ok(Found::Damage { whole: true });
    }
    Ok(Found::Frame(Frame {
        sequence: header.sequence,
        events: header.events,
        payload,
        end: offset + header.frame_len(),
    }))
}

/// The position of the next sound frame at or behind `offset`.
pub(super) fn find_frame(
    file: &impl DiskFile,
    mut offset: u64,
    len: u64,
) -> io::Result<Option<u64>> {
    let mut window = vec![0; SEARCH_BYTES];
    while len.saturating_sub(offset) >= FRAME_HEADER_BYTES as u64 {
        let size = usize::try_from(len - offset)
            .unwrap_or(SEARCH_BYTES)
            .min(SEARCH_BYTES);
        file.read_exact_at(&mut window[..size], offset)?;
        let candidates = window[..size].windows(MARKER.len()).enumerate();
        for (at, _) in candidates.filter(|(_, bytes)| *bytes == MARKER) {
            let position = offset + at as u64;
            if matches!(read_frame(file, position, len)?, Found::Frame(_)) {
                return Ok(Some(position));
            }
        }
        // A marker may lie across the border of two windows.
        offset += (size - (MARKER.len() - 1)) as u64;
    }
    Ok(None)
}

/// Reads all of a segment of `len` bytes.
pub(super) fn scan(file: &impl DiskFile, len: u64) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut offset = 0;
    if len >= HEADER_BYTES as u64 {
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0)?;
        scan.header = SegmentHeader::decode(&bytes);
    }
    if scan.header.is_some() {
        offset = HEADER_BYTES as u64;
        scan.end = offset;
    }
    loop {
        match read_frame(file, offset, len)? {
            Found::End => return Ok(scan),
            Found::Frame(frame) => {
                if scan.header.is_none() && scan.frames == 0 {
                    // Frames follow a header that was sound once.
                    scan.damaged += 1;
                }
                scan.frames += 1;
                scan.events += u64::from(frame.events);
                scan.last_sequence = Some(frame.sequence);
                offset = frame.end;
                scan.end = offset;
            }
            Found::Damage { whole } => match find_frame(file, offset + 1, len)? {
                Some(next) => {
                    if scan.header.is_some() || scan.frames > 0 {
                        scan.damaged += 1;
                    }
                    offset = next;
                }
                None => {
                    scan.damaged += u64::from(whole);
                    if whole {
                        // Kept, to be looked at by a person.
                        scan.end = len;
                    }
                    return Ok(scan);
                }
            },
        }
    }
}
