//! Converts OTLP's JSON to protobuf, so that one path reads both encodings.
//!
//! Follows [the specification](https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding):
//! ids in hex, 64-bit integers as text or numbers, unknown fields ignored.
//! Also accepts known deviations with a clear meaning: enum values by name,
//! ids in base64, and integer fields with a number that is not an integer.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::BufMut as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::json_error::{FaultInField, OtlpJsonError};
use super::json_reader::{JsonFault, JsonReader};
use super::repair::{
    STRING_VALUE, TOO_DEEP, WireRepairs, begin_delimited, end_delimited, nests_too_deep,
};
use super::schema::{FieldKind, FieldSchema, MessageId, MessageSchema, Schema};

/// The field of `AnyValue` that holds a floating-point number.
const DOUBLE_VALUE: u32 = 4;
/// 2^64: floats from here on exceed every integer field.
const INTEGER_FIELD_LIMIT: f64 = 18_446_744_073_709_551_616.0;
/// Lengths of a span id in bytes and in base64.
const SPAN_ID_BYTES: usize = 8;
const SPAN_ID_BASE64: usize = 12;
/// Lengths of a trace id in bytes and in base64.
const TRACE_ID_BYTES: usize = 16;
const TRACE_ID_BASE64: usize = 24;

/// A request that was converted from JSON.
#[derive(Debug)]
pub struct ConvertedJson {
    /// The request as protobuf.
    pub wire: Vec<u8>,
    /// What was replaced.
    pub repairs: WireRepairs,
    /// The number of fields that OTLP does not have. They are left out.
    pub unknown_fields: u64,
}

/// Converts the JSON of a request to protobuf.
///
/// # Errors
/// If the bytes are not JSON, or a value does not fit its field.
pub fn json_to_protobuf(
    schema: &Schema,
    request: MessageId,
    json: &[u8],
) -> Result<ConvertedJson, OtlpJsonError> {
    let mut writer = ProtobufWriter {
        schema,
        reader: JsonReader::new(json),
        out: Vec::with_capacity(json.len()),
        text: Vec::new(),
        unknown_fields: 0,
    };
    let written = writer
        .message(request, 0)
        .and_then(|()| Ok(writer.reader.end()?));
    let located = |fault: Box<FaultInField>| fault.located(writer.reader.bytes());
    written.map_err(located)?;
    Ok(ConvertedJson {
        wire: writer.out,
        repairs: writer.reader.repairs,
        unknown_fields: writer.unknown_fields,
    })
}

struct ProtobufWriter<'a> {
    schema: &'a Schema,
    reader: JsonReader<'a>,
    out: Vec<u8>,
    /// The last string that [`Self::string`] read.
    text: Vec<u8>,
    unknown_fields: u64,
}

impl<'a> ProtobufWriter<'a> {
    fn message(&mut self, id: MessageId, depth: usize) -> Result<(), Box<FaultInField>> {
        let message = self.schema.message(id);
        self.reader.expect(b'{', "an object")?;
        if self.reader.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            let field = str::from_utf8(name)
                .ok()
                .and_then(|name| message.field_named(name));
            self.reader.expect(b':', "a colon")?;
            match field {
                _ if self.reader.word("null") => {}
                None => {
                    self.unknown_fields += 1;
                    self.reader.skip()?;
                }
                Some(field) => {
                    let written = if field.repeated {
                        self.list(message, field, depth)
                    } else {
                        self.value(message, field, depth)
                    };
                    written.map_err(|fault| fault.in_field(&field.name))?;
                }
            }
            if !self.reader.take(b',') {
                return Ok(self
                    .reader
                    .expect(b'}', "a comma or the end of the object")?);
            }
        }
    }

    fn list(
        &mut self,
        message: &MessageSchema,
        field: &FieldSchema,
        depth: usize,
    ) -> Result<(), Box<FaultInField>> {
        self.reader.expect(b'[', "an array")?;
        if self.reader.take(b']') {
            return Ok(());
        }
        let mut index = 0;
        loop {
            if self.reader.word("null") {
                // An empty value in a list keeps its position.
                if let FieldKind::Message(inner) = field.kind
                    && self.schema.message(inner).any_value
                {
                    self.delimited(field.number, &[]);
                }
            } else {
                let written = self.value(message, field, depth);
                written.map_err(|fault| fault.at_index(index))?;
            }
            index += 1;
            if !self.reader.take(b',') {
                return Ok(self
                    .reader
                    .expect(b']', "a comma or the end of the array")?);
            }
        }
    }

    fn value(
        &mut self,
        message: &MessageSchema,
        field: &FieldSchema,
        depth: usize,
    ) -> Result<(), Box<FaultInField>> {
        let number = field.number;
        match &field.kind {
            FieldKind::Message(_) if message.any_value && nests_too_deep(depth) => {
                self.reader.skip()?;
                self.reader.repairs.too_deep += 1;
                self.delimited(STRING_VALUE, TOO_DEEP.as_bytes());
            }
            FieldKind::Message(inner) => {
                encode_key(number, WireType::LengthDelimited, &mut self.out);
                let start = begin_delimited(&mut self.out);
                self.message(*inner, depth + 1)?;
                end_delimited(&mut self.out, start);
            }
            FieldKind::Text => {
                encode_key(number, WireType::LengthDelimited, &mut self.out);
                let start = begin_delimited(&mut self.out);
                self.reader.string(&mut self.out)?;
                end_delimited(&mut self.out, start);
            }
            FieldKind::Hex => {
                self.string()?;
                // Keep an invalid id: the mapping refuses its span, not the whole request.
                let id = id(&self.text).unwrap_or_else(|| self.text.clone());
                self.delimited(number, &id);
            }
            FieldKind::Base64 => {
                self.string()?;
                match base64(&self.text) {
                    Some(bytes) => self.delimited(number, &bytes),
                    None => return Ok(self.reader.error("base64")?),
                }
            }
            FieldKind::Bool => {
                let value = self.reader.word("true");
                if !value && !self.reader.word("false") {
                    return Ok(self.reader.error("true or false")?);
                }
                self.varint(number, u64::from(value));
            }
            FieldKind::Enum(names) => {
                if self.reader.peek() == b'"' {
                    self.string()?;
                    let text = str::from_utf8(&self.text).unwrap_or_default();
                    let value = names.get(text).copied().or_else(|| text.parse().ok());
                    self.varint(number, i64::from(value.unwrap_or(0)) as u64);
                } else {
                    let value = self.integer::<i32>()?;
                    self.varint(number, i64::from(value) as u64);
                }
            }
            FieldKind::Int if message.any_value => self.int_value(number)?,
            FieldKind::Int => {
                let value = self.integer::<i64>()?;
                self.varint(number, value as u64);
            }
            FieldKind::Sint => {
                let value = self.integer::<i64>()?;
                self.varint(number, ((value << 1) ^ (value >> 63)) as u64);
            }
            FieldKind::Uint => {
                let value = self.integer::<u64>()?;
                self.varint(number, value);
            }
            FieldKind::Fixed32 => {
                let value = self.integer::<u32>()?;
                encode_key(number, WireType::ThirtyTwoBit, &mut self.out);
                self.out.put_u32_le(value);
            }
            FieldKind::Sfixed32 => {
                let value = self.integer::<i32>()?;
                encode_key(number, WireType::ThirtyTwoBit, &mut self.out);
                self.out.put_i32_le(value);
            }
            FieldKind::Fixed64 => {
                let value = self.integer::<u64>()?;
                encode_key(number, WireType::SixtyFourBit, &mut self.out);
                self.out.put_u64_le(value);
            }
            FieldKind::Sfixed64 => {
                let value = self.integer::<i64>()?;
                encode_key(number, WireType::SixtyFourBit, &mut self.out);
                self.out.put_i64_le(value);
            }
            FieldKind::Float => {
                let value = self.float()?;
                encode_key(number, WireType::ThirtyTwoBit, &mut self.out);
                self.out.put_f32_le(value as f32);
            }
            FieldKind::Double => {
                let value = self.float()?;
                self.double(number, value);
            }
        }
        Ok(())
    }

    /// Writes an `intValue`. JavaScript has one type of number, so the value may
    /// be too large or have a fraction; it is then written as a double.
    fn int_value(&mut self, number: u32) -> Result<(), JsonFault> {
        let text = self.numeric()?;
        if let Some(value) = integer::<i64>(text) {
            self.varint(number, value as u64);
        } else if let Some(value) = text.parse().ok().filter(|value: &f64| value.is_finite()) {
            self.double(DOUBLE_VALUE, value);
        } else {
            return self.reader.error("an integer");
        }
        Ok(())
    }

    fn integer<T: TryFrom<i128>>(&mut self) -> Result<T, JsonFault> {
        match integer(self.numeric()?) {
            Some(value) => Ok(value),
            None => self.reader.error("an integer in the range of its field"),
        }
    }

    fn float(&mut self) -> Result<f64, JsonFault> {
        // Rust parses "NaN" and "Infinity" too.
        match self.numeric()?.parse() {
            Ok(value) => Ok(value),
            Err(_) => self.reader.error("a number"),
        }
    }

    /// The text of a number, with or without quotes.
    fn numeric(&mut self) -> Result<&str, JsonFault> {
        if self.reader.peek() != b'"' {
            return self.reader.number();
        }
        self.string()?;
        Ok(str::from_utf8(&self.text).unwrap_or_default())
    }

    fn string(&mut self) -> Result<&[u8], JsonFault> {
        self.text.clear();
        self.reader.string(&mut self.text)?;
        Ok(&self.text)
    }

    fn varint(&mut self, number: u32, value: u64) {
        encode_key(number, WireType::Varint, &mut self.out);
        encode_varint(value, &mut self.out);
    }

    fn double(&mut self, number: u32, value: f64) {
        encode_key(number, WireType::SixtyFourBit, &mut self.out);
        self.out.put_f64_le(value);
    }

    fn delimited(&mut self, number: u32, content: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.out);
        encode_varint(content.len() as u64, &mut self.out);
        self.out.put_slice(content);
    }
}

/// Parses an integer. Accepts `1e3` and `2.0`.
fn integer<T: TryFrom<i128>>(text: &str) -> Option<T> {
    let value = text.parse::<i128>().ok().or_else(|| {
        let float = text.parse::<f64>().ok()?;
        (float.fract() == 0.0 && float.abs() < INTEGER_FIELD_LIMIT).then_some(float as i128)
    })?;
    T::try_from(value).ok()
}

/// Decodes an id from hex or base64. Only its length tells the two apart.
fn id(text: &[u8]) -> Option<Vec<u8>> {
    if matches!(text.len(), SPAN_ID_BASE64 | TRACE_ID_BASE64) {
        return base64(text).filter(|id| matches!(id.len(), SPAN_ID_BYTES | TRACE_ID_BYTES));
    }
    let (pairs, rest) = text.as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    rest.is_empty()
        .then(|| pairs.iter().map(pair).collect())
        .flatten()
}

/// Decodes base64 in either alphabet, with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
}
