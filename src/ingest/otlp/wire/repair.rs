//! A request written anew, with what no decoder takes replaced: text that is
//! not UTF-8, and values that are nested too deep. Only requests that need it
//! come here.

use std::str;

use bytes::BufMut as _;
use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, encode_varint, skip_field};

use super::scan::take_delimited;
use super::schema::{Kind, MessageId, Schema};
use super::{MAX_DEPTH, TOO_DEEP, WireRepairs};

/// The field of `AnyValue` that holds text.
pub(super) const STRING_VALUE: u32 = 1;

/// Writes a request anew. `None` when it is no message at all.
#[must_use]
pub fn repair(schema: &Schema, request: MessageId, bytes: &[u8]) -> Option<(Vec<u8>, WireRepairs)> {
    let mut repair = Repair {
        schema,
        out: Vec::with_capacity(bytes.len()),
        repairs: WireRepairs::default(),
    };
    repair.message(request, bytes, 0)?;
    Some((repair.out, repair.repairs))
}

struct Repair<'a> {
    schema: &'a Schema,
    out: Vec<u8>,
    repairs: WireRepairs,
}

impl Repair<'_> {
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
                // The next message would be beyond what is taken, so the last
                // value that has room is text that says so.
                Some(Kind::Message(_)) if message.any_value && depth + 2 > MAX_DEPTH => {
                    self.repairs.too_deep += 1;
                    self.text(STRING_VALUE, TOO_DEEP.as_bytes());
                }
                Some(Kind::Message(inner)) => {
                    encode_key(number, WireType::LengthDelimited, &mut self.out);
                    let start = begin_delimited(&mut self.out);
                    self.message(*inner, content, depth + 1)?;
                    end_delimited(&mut self.out, start);
                }
                Some(Kind::Text) if str::from_utf8(content).is_err() => {
                    self.repairs.invalid_utf8 += 1;
                    self.text(number, String::from_utf8_lossy(content).as_bytes());
                }
                _ => self.text(number, content),
            }
        }
        Some(())
    }

    fn text(&mut self, number: u32, content: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.out);
        encode_varint(content.len() as u64, &mut self.out);
        self.out.put_slice(content);
    }
}

/// A length of so many bytes takes any message there can be, so that the
/// content can be written before its length is known.
const LENGTH_BYTES: usize = 5;

/// Leaves room for the length of what follows; returns where that starts.
pub(super) fn begin_delimited(out: &mut Vec<u8>) -> usize {
    out.extend([0; LENGTH_BYTES]);
    out.len()
}

/// Fills in the length: a varint with as many idle bytes as it takes.
pub(super) fn end_delimited(out: &mut [u8], start: usize) {
    let mut len = out.len() - start;
    let (last, rest) = (start - 1, start - LENGTH_BYTES);
    for byte in &mut out[rest..last] {
        *byte = (len & 0x7f) as u8 | 0x80;
        len >>= 7;
    }
    out[last] = (len & 0x7f) as u8;
}
