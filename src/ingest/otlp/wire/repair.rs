//! Rewrites a request and replaces what no decoder accepts: text that is not
//! UTF-8 and values that are nested too deep.
//!
//! Only requests that need a repair are rewritten.

use std::str;

use bytes::BufMut as _;
use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, encode_varint, skip_field};

use super::scan::{MAX_DEPTH, take_delimited};
use super::schema::{FieldKind, MessageId, Schema};

/// Replaces a value that is nested too deep.
pub const TOO_DEEP: &str = "[nested too deep]";

/// The field of `AnyValue` that holds text.
pub(super) const STRING_VALUE: u32 = 1;

/// How many parts of a request were replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireRepairs {
    /// Texts in which bytes that are not UTF-8 became U+FFFD.
    pub invalid_utf8: u64,
    /// Lone surrogates in JSON escapes that became U+FFFD.
    pub surrogates: u64,
    /// Values that were nested too deep and became [`TOO_DEEP`].
    pub too_deep: u64,
}

impl WireRepairs {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            invalid_utf8: self.invalid_utf8 + other.invalid_utf8,
            surrogates: self.surrogates + other.surrogates,
            too_deep: self.too_deep + other.too_deep,
        }
    }
}

/// Rewrites a request. `None` if the bytes are not a protobuf message.
#[must_use]
pub fn repair(schema: &Schema, request: MessageId, bytes: &[u8]) -> Option<(Vec<u8>, WireRepairs)> {
    let mut repairer = WireRepairer {
        schema,
        out: Vec::with_capacity(bytes.len()),
        repairs: WireRepairs::default(),
    };
    repairer.message(request, bytes, 0)?;
    Some((repairer.out, repairer.repairs))
}

/// Whether a message below an `AnyValue` at this depth would exceed
/// [`MAX_DEPTH`]. The value then becomes text, for which one level is left.
pub(super) fn nests_too_deep(value_depth: usize) -> bool {
    value_depth + 2 > MAX_DEPTH
}

struct WireRepairer<'a> {
    schema: &'a Schema,
    out: Vec<u8>,
    repairs: WireRepairs,
}

impl WireRepairer<'_> {
    fn message(&mut self, id: MessageId, mut bytes: &[u8], depth: usize) -> Option<()> {
        let schema = self.schema;
        let message = schema.message(id);
        while !bytes.is_empty() {
            let field_start = bytes;
            let (number, wire_type) = decode_key(&mut bytes).ok()?;
            if wire_type != WireType::LengthDelimited {
                skip_field(wire_type, number, &mut bytes, DecodeContext::default()).ok()?;
                let len = field_start.len() - bytes.len();
                self.out.put_slice(&field_start[..len]);
                continue;
            }
            let content = take_delimited(&mut bytes)?;
            let field = message.field(number);
            match field.map(|field| &field.kind) {
                Some(FieldKind::Message(_)) if message.any_value && nests_too_deep(depth) => {
                    self.repairs.too_deep += 1;
                    self.delimited(STRING_VALUE, TOO_DEEP.as_bytes());
                }
                Some(FieldKind::Message(inner)) => {
                    encode_key(number, WireType::LengthDelimited, &mut self.out);
                    let start = begin_delimited(&mut self.out);
                    self.message(*inner, content, depth + 1)?;
                    end_delimited(&mut self.out, start);
                }
                Some(FieldKind::Text) if str::from_utf8(content).is_err() => {
                    self.repairs.invalid_utf8 += 1;
                    self.delimited(number, String::from_utf8_lossy(content).as_bytes());
                }
                _ => self.delimited(number, content),
            }
        }
        Some(())
    }

    fn delimited(&mut self, number: u32, content: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.out);
        encode_varint(content.len() as u64, &mut self.out);
        self.out.put_slice(content);
    }
}

/// The bytes reserved for a length that is not known yet. Five 7-bit groups
/// hold the length of any message that fits in memory here.
const LENGTH_BYTES: usize = 5;
/// The payload bits of one varint byte.
const VARINT_PAYLOAD: usize = 0x7f;
/// The bit that marks a varint byte with a successor.
const VARINT_CONTINUES: u8 = 0x80;

/// Reserves bytes for a length. Returns the position where the content starts.
pub(super) fn begin_delimited(out: &mut Vec<u8>) -> usize {
    out.extend([0; LENGTH_BYTES]);
    out.len()
}

/// Writes the length of the content as a varint, padded to [`LENGTH_BYTES`].
pub(super) fn end_delimited(out: &mut [u8], start: usize) {
    let mut len = out.len() - start;
    let (last, first) = (start - 1, start - LENGTH_BYTES);
    for byte in &mut out[first..last] {
        *byte = (len & VARINT_PAYLOAD) as u8 | VARINT_CONTINUES;
        len >>= 7;
    }
    out[last] = (len & VARINT_PAYLOAD) as u8;
}
