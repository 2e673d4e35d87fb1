//! How much a request holds, found before any of it is read.
//!
//! An empty span is two bytes on the wire and hundreds as what becomes of it, so
//! bytes alone bound nothing. And what is read afterwards recurses: how deep, is
//! bounded here.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::MAX_DEPTH;
use super::schema::{Kind, MessageId, Schema};

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Spans, log records or data points.
    pub records: u64,
    /// About how many bytes of memory the lists in it take, beside their text.
    pub structure_bytes: usize,
    /// Something is nested deeper than [`MAX_DEPTH`].
    pub too_deep: bool,
}

/// Why a request is not to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Its bytes are no message.
    #[error("it is cut off, or no protobuf message")]
    Malformed,
    /// It would take too much memory.
    #[error("what it holds takes more than {limit} bytes of memory; send it in several")]
    TooLarge {
        /// The limit that was given.
        limit: usize,
    },
}

/// Walks a request; stops where it would take more than `limit` bytes.
///
/// # Errors
/// See [`ScanError`].
pub fn scan(
    schema: &Schema,
    request: MessageId,
    bytes: &[u8],
    limit: usize,
) -> Result<Extent, ScanError> {
    let mut scan = Scan {
        schema,
        limit,
        extent: Extent::default(),
    };
    scan.message(request, bytes, 0)?;
    Ok(scan.extent)
}

struct Scan<'a> {
    schema: &'a Schema,
    limit: usize,
    extent: Extent,
}

impl Scan<'_> {
    fn message(&mut self, id: MessageId, mut bytes: &[u8], depth: usize) -> Result<(), ScanError> {
        if depth > MAX_DEPTH {
            self.extent.too_deep = true;
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
                continue;
            };
            let Kind::Message(inner) = field.kind else {
                if field.repeated {
                    // Strings of a list, or packed numbers of which a byte may become eight.
                    let element = if matches!(field.kind, Kind::Text) {
                        size_of::<String>() * 2
                    } else {
                        content.len() * 8
                    };
                    self.add(element)?;
                }
                continue;
            };
            if field.repeated {
                let element = schema.message(inner);
                self.extent.records += u64::from(element.record);
                self.add(element.element_bytes)?;
            }
            self.message(inner, content, depth + 1)?;
        }
        Ok(())
    }

    fn add(&mut self, bytes: usize) -> Result<(), ScanError> {
        self.extent.structure_bytes += bytes;
        if self.extent.structure_bytes > self.limit {
            return Err(ScanError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

/// The content of a field with a length; none if it is cut off.
pub(super) fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (content, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(content)
}
