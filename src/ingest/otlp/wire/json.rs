//! OTLP's JSON as its protobuf, so that both go the same way from there.
//!
//! As [the specification](https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding)
//! says: hex ids, 64-bit integers as text or numbers, unknown fields ignored.
//! Where senders are known to stray and what they mean is plain, it is taken:
//! names of enum values, ids in base64, integers that are none.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::BufMut as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::reader::{JsonError, Reader};
use super::repair::{STRING_VALUE, begin_delimited, end_delimited};
use super::schema::{Field, Kind, Message, MessageId, Schema};
use super::{MAX_DEPTH, TOO_DEEP, WireRepairs};

/// The field of `AnyValue` that holds a floating-point number.
const DOUBLE_VALUE: u32 = 4;

/// Writes the JSON of a request as protobuf.
///
/// # Errors
/// Where it is no JSON, or does not fit the request.
pub fn json_to_wire(
    schema: &Schema,
    request: MessageId,
    json: &[u8],
) -> Result<(Vec<u8>, WireRepairs), JsonError> {
    let mut writer = Writer {
        schema,
        reader: Reader::new(json),
        out: Vec::with_capacity(json.len()),
        text: Vec::new(),
    };
    writer.message(request, 0)?;
    writer.reader.end()?;
    Ok((writer.out, writer.reader.repairs))
}

struct Writer<'a> {
    schema: &'a Schema,
    reader: Reader<'a>,
    out: Vec<u8>,
    /// The last string that was read.
    text: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn message(&mut self, id: MessageId, depth: usize) -> Result<(), JsonError> {
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
                None => self.reader.skip()?,
                Some(field) if field.repeated => self.list(message, field, depth)?,
                Some(field) => self.value(message, field, depth)?,
            }
            if !self.reader.take(b',') {
                return self.reader.expect(b'}', "a comma or the end of an object");
            }
        }
    }

    fn list(&mut self, message: &Message, field: &Field, depth: usize) -> Result<(), JsonError> {
        self.reader.expect(b'[', "a list")?;
        if self.reader.take(b']') {
            return Ok(());
        }
        loop {
            if self.reader.word("null") {
                // A value that is nothing keeps its place among the others.
                if let Kind::Message(inner) = field.kind
                    && self.schema.message(inner).any_value
                {
                    self.delimited(field.number, &[]);
                }
            } else {
                self.value(message, field, depth)?;
            }
            if !self.reader.take(b',') {
                return self.reader.expect(b']', "a comma or the end of a list");
            }
        }
    }

    fn value(&mut self, message: &Message, field: &Field, depth: usize) -> Result<(), JsonError> {
        let number = field.number;
        match &field.kind {
            Kind::Message(_) if message.any_value && depth + 2 > MAX_DEPTH => {
                self.reader.skip()?;
                self.reader.repairs.too_deep += 1;
                self.delimited(STRING_VALUE, TOO_DEEP.as_bytes());
            }
            Kind::Message(inner) => {
                encode_key(number, WireType::LengthDelimited, &mut self.out);
                let start = begin_delimited(&mut self.out);
                self.message(*inner, depth + 1)?;
                end_delimited(&mut self.out, start);
            }
            Kind::Text => {
                encode_key(number, WireType::LengthDelimited, &mut self.out);
                let start = begin_delimited(&mut self.out);
                self.reader.string(&mut self.out)?;
                end_delimited(&mut self.out, start);
            }
            Kind::Hex => {
                self.string()?;
                // What is no id stands for itself: its span is refused, not the request.
                let id = id(&self.text).unwrap_or_else(|| self.text.clone());
                self.delimited(number, &id);
            }
            Kind::Base64 => {
                self.string()?;
                match base64(&self.text) {
                    Some(bytes) => self.delimited(number, &bytes),
                    None => return self.reader.error("base64"),
                }
            }
            Kind::Bool => {
                let value = self.reader.word("true");
                if !value && !self.reader.word("false") {
                    return self.reader.error("true or false");
                }
                self.varint(number, u64::from(value));
            }
            Kind::Enum(names) => {
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
            Kind::Int if message.any_value => self.int_value(number)?,
            Kind::Int => {
                let value = self.integer::<i64>()?;
                self.varint(number, value as u64);
            }
            Kind::Sint => {
                let value = self.integer::<i64>()?;
                self.varint(number, ((value << 1) ^ (value >> 63)) as u64);
            }
            Kind::Uint => {
                let value = self.integer::<u64>()?;
                self.varint(number, value);
            }
            Kind::Fixed32 => {
                let value = self.integer::<u32>()?;
                encode_key(number, WireType::ThirtyTwoBit, &mut self.out);
                self.out.put_u32_le(value);
            }
            Kind::Sfixed32 => {
                let value = self.integer::<i32>()?;
                encode_key(number, WireType::ThirtyTwoBit, &mut self.out);
                self.out.put_i32_le(value);
            }
            Kind::Fixed64 => {
                let value = self.integer::<u64>()?;
                encode_key(number, WireType::SixtyFourBit, &mut self.out);
                self.out.put_u64_le(value);
            }
            Kind::Sfixed64 => {
                let value = self.integer::<i64>()?;
                encode_key(number, WireType::SixtyFourBit, &mut self.out);
                self.out.put_i64_le(value);
            }
            Kind::Float => {
                let value = self.float()?;
                encode_key(number, WireType::ThirtyTwoBit, &mut self.out);
                self.out.put_f32_le(value as f32);
            }
            Kind::Double => {
                let value = self.float()?;
                self.double(number, value);
            }
        }
        Ok(())
    }

    /// JavaScript has one kind of number: what it calls an integer may be larger
    /// than any, and is then the floating-point number that it was.
    fn int_value(&mut self, number: u32) -> Result<(), JsonError> {
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

    fn integer<T: TryFrom<i128>>(&mut self) -> Result<T, JsonError> {
        match integer(self.numeric()?) {
            Some(value) => Ok(value),
            None => self.reader.error("an integer that fits"),
        }
    }

    fn float(&mut self) -> Result<f64, JsonError> {
        // "NaN" and "Infinity" are among what Rust parses.
        match self.numeric()?.parse() {
            Ok(value) => Ok(value),
            Err(_) => self.reader.error("a number"),
        }
    }

    /// The text of a number, which may stand in a string.
    fn numeric(&mut self) -> Result<&str, JsonError> {
        if self.reader.peek() != b'"' {
            return self.reader.number();
        }
        self.string()?;
        Ok(str::from_utf8(&self.text).unwrap_or_default())
    }

    fn string(&mut self) -> Result<&[u8], JsonError> {
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

/// An integer, also where it is written as `1e3` or `2.0`.
fn integer<T: TryFrom<i128>>(text: &str) -> Option<T> {
    let value = text.parse::<i128>().ok().or_else(|| {
        let float = text.parse::<f64>().ok()?;
        // Beyond that a float does not know its own last digits.
        (float.fract() == 0.0 && float.abs() < 2_f64.powi(64)).then_some(float as i128)
    })?;
    T::try_from(value).ok()
}

/// The bytes of an id in hex, or in base64, which only its length tells apart.
fn id(text: &[u8]) -> Option<Vec<u8>> {
    if matches!(text.len(), 12 | 24) {
        return base64(text).filter(|id| matches!(id.len(), 8 | 16));
    }
    let (pairs, rest) = text.as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    rest.is_empty()
        .then(|| pairs.iter().map(pair).collect())
        .flatten()
}

/// Base64 with either alphabet, padded or not.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
}
