//! Measures a request before anything in it is read.
//!
//! An empty span takes two bytes on the wire and hundreds of bytes once it is
//! mapped, so a limit on the bytes of a request does not limit its memory. The
//! scan also limits nesting, because the code that reads a request recurses.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::schema::{FieldKind, MessageId, Schema};

/// The deepest nesting that is read, counted in messages from the request down.
///
/// Deeper values become [`super::TOO_DEEP`]. A value in a list takes two
/// levels. Other decoders stop at 100; this is the only limit on recursion here.
pub const MAX_DEPTH: usize = 96;

/// The estimated memory of a string in a list, without its text. Doubled,
/// because a growing list reserves spare capacity.
const STRING_BYTES: usize = size_of::<String>() * 2;
/// Each byte of a packed list may become a 64-bit number.
const BYTES_PER_PACKED_BYTE: usize = 8;

/// The size of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// The number of spans, log records or data points.
    pub records: u64,
    /// An estimate of the memory that the lists of the request take, without
    /// their text.
    pub structure_bytes: usize,
    /// Whether a value is nested deeper than [`MAX_DEPTH`].
    pub too_deep: bool,
    /// The number of lists and messages that OTLP does not have.
    pub unknown_fields: u64,
}

/// Why a request must not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The bytes are not a protobuf message.
    #[error("the protobuf message is cut off or malformed")]
    Malformed,
    /// The request would take too much memory.
    #[error(
        "its content would take more than {limit} bytes of memory; send it in smaller requests"
    )]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Measures a request. Stops as soon as its lists take more than `limit` bytes.
///
/// # Errors
/// See [`ScanError`].
pub fn scan(
    schema: &Schema,
    request: MessageId,
    bytes: &[u8],
    limit: usize,
) -> Result<WireCounts, ScanError> {
    let mut scanner = WireScanner {
        schema,
        limit,
        counts: WireCounts::default(),
    };
    scanner.message(request, bytes, 0)?;
    Ok(scanner.counts)
}

struct WireScanner<'a> {
    schema: &'a Schema,
    limit: usize,
    counts: WireCounts,
}

impl WireScanner<'_> {
    fn message(&mut self, id: MessageId, mut bytes: &[u8], depth: usize) -> Result<(), ScanError> {
        if depth > MAX_DEPTH {
            self.counts.too_deep = true;
            return Ok(());
        }
        let schema = self.schema;
        let message = schema.message(id);
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes).map_err(|_| ScanError::Malformed)?;
            if wire_type != WireType::LengthDelimited {
                skip_field(wire_type, number, &mut bytes, DecodeContext::default())
                    .map_err(|_| ScanError::Malformed)?;
                continue;
            }
            let content = take_delimited(&mut bytes).ok_or(ScanError::Malformed)?;
            let Some(field) = message.field(number) else {
                self.counts.unknown_fields += 1;
                continue;
            };
            let FieldKind::Message(inner) = field.kind else {
                if field.repeated {
                    let element = if matches!(field.kind, FieldKind::Text) {
                        STRING_BYTES
                    } else {
                        content.len() * BYTES_PER_PACKED_BYTE
                    };
                    self.add_structure(element)?;
                }
                continue;
            };
            if field.repeated {
                let element = schema.message(inner);
                self.counts.records += u64::from(element.record);
                self.add_structure(element.element_bytes)?;
            }
            self.message(inner, content, depth + 1)?;
        }
        Ok(())
    }

    fn add_structure(&mut self, bytes: usize) -> Result<(), ScanError> {
        self.counts.structure_bytes += bytes;
        if self.counts.structure_bytes > self.limit {
            return Err(ScanError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

/// Takes the content of a length-delimited field. `None` if it is cut off.
pub(super) fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (content, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(content)
}
