//! Reads segments that may be torn or damaged.

use std::io;

use super::disk::DiskFile;
use super::frame::{
    FRAME_HEADER_BYTES, FRAME_TRAILER_BYTES, Frame, FrameHeader, FramePlace, MARKER_BYTES,
    decode_trailer, is_end_marker, is_marker,
};
use super::segment::{HEADER_BYTES, SegmentHeader};

/// How many bytes are read at a time to find a marker after damage.
const SEARCH_BYTES: usize = 64 << 10;

/// What a segment has at some offset.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameRead {
    /// An intact frame.
    Frame(Frame),
    /// The end of the file.
    End,
    /// No intact frame. `complete`: the header is intact and the payload is not torn, so
    /// the payload has changed.
    Damaged { complete: bool },
}

/// What a segment contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentScan {
    /// The header, if it is intact.
    pub header: Option<SegmentHeader>,
    /// The number of intact frames.
    pub frames: u64,
    /// The number of events in these frames.
    pub events: u64,
    /// The sequence number of the last intact frame.
    pub last_sequence: Option<u64>,
    /// The end of the last intact frame. All bytes after it are a torn tail.
    pub end: u64,
    /// The number of damaged places: between intact frames, or a complete damaged frame.
    pub damaged: u64,
}

/// Reads the frame at `offset` of a file of `len` bytes. The frame's place has no segment.
pub(super) fn read_frame(file: &impl DiskFile, offset: u64, len: u64) -> io::Result<FrameRead> {
    let rest = len.saturating_sub(offset);
    if rest == 0 {
        return Ok(FrameRead::End);
    }
    let torn = FrameRead::Damaged { complete: false };
    if rest < FRAME_HEADER_BYTES as u64 {
        return Ok(torn);
    }
    let mut bytes = [0; FRAME_HEADER_BYTES];
    file.read_exact_at(&mut bytes, offset)?;
    let Some(header) = FrameHeader::decode(&bytes).filter(|h| h.frame_len() <= rest) else {
        return Ok(torn);
    };
    let mut payload = vec![0; header.payload_len as usize];
    file.read_exact_at(&mut payload, offset + FRAME_HEADER_BYTES as u64)?;
    if crc32fast::hash(&payload) != header.payload_crc {
        return Ok(FrameRead::Damaged { complete: true });
    }
    Ok(FrameRead::Frame(Frame {
        sequence: header.sequence,
        events: header.events,
        payload,
        place: FramePlace { segment: 0, offset },
        end: offset + header.frame_len(),
    }))
}

/// The offset of the next intact frame at or after `offset`.
pub(super) fn find_frame(file: &impl DiskFile, offset: u64, len: u64) -> io::Result<Option<u64>> {
    find(file, offset, len, is_marker, |position| {
        let read = read_frame(file, position, len)?;
        Ok(matches!(read, FrameRead::Frame(_)))
    })
}

/// Whether a frame that begins at or after `offset` was written to its end.
fn has_trailer(file: &impl DiskFile, offset: u64, len: u64) -> io::Result<bool> {
    let found = find(file, offset, len, is_end_marker, |position| {
        let end = position + FRAME_TRAILER_BYTES as u64;
        if end > len {
            return Ok(false);
        }
        let mut bytes = [0; FRAME_TRAILER_BYTES];
        file.read_exact_at(&mut bytes, position)?;
        Ok(decode_trailer(&bytes).is_some_and(|frame_len| offset + frame_len <= end))
    })?;
    Ok(found.is_some())
}

/// The first offset at or after `offset` where a marker is and `accept` says yes.
fn find(
    file: &impl DiskFile,
    mut offset: u64,
    len: u64,
    is_marker: fn(&[u8]) -> bool,
    mut accept: impl FnMut(u64) -> io::Result<bool>,
) -> io::Result<Option<u64>> {
    let mut window = vec![0; SEARCH_BYTES];
    while len.saturating_sub(offset) >= MARKER_BYTES as u64 {
        let size = usize::try_from(len - offset)
            .unwrap_or(SEARCH_BYTES)
            .min(SEARCH_BYTES);
        file.read_exact_at(&mut window[..size], offset)?;
        let candidates = window[..size].windows(MARKER_BYTES).enumerate();
        for (at, _) in candidates.filter(|(_, bytes)| is_marker(bytes)) {
            let position = offset + at as u64;
            if accept(position)? {
                return Ok(Some(position));
            }
        }
        // Windows overlap, because a marker may cross the border of two windows.
        offset += (size - (MARKER_BYTES - 1)) as u64;
    }
    Ok(None)
}

/// Scans a segment of `len` bytes.
pub(super) fn scan(file: &impl DiskFile, len: u64) -> io::Result<SegmentScan> {
    let mut scan = SegmentScan::default();
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
            FrameRead::End => return Ok(scan),
            FrameRead::Frame(frame) => {
                if scan.header.is_none() && scan.frames == 0 {
                    // There are frames, so there once was a header: it is damaged.
                    scan.damaged += 1;
                }
                scan.frames += 1;
                scan.events += u64::from(frame.events);
                scan.last_sequence = Some(frame.sequence);
                offset = frame.end;
                scan.end = offset;
            }
            FrameRead::Damaged { complete } => match find_frame(file, offset + 1, len)? {
                Some(next) => {
                    if scan.header.is_some() || scan.frames > 0 {
                        scan.damaged += 1;
                    }
                    offset = next;
                }
                None => {
                    // A frame that was written to its end may have been acked.
                    let complete = complete || has_trailer(file, offset, len)?;
                    scan.damaged += u64::from(complete);
                    if complete {
                        // Not a torn tail: keep the bytes, so that a person can inspect them.
                        scan.end = len;
                    }
                    return Ok(scan);
                }
            },
        }
    }
}
