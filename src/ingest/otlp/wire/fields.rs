//! One message of protobuf, walked field by field where it stands.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::scan::take_delimited;

/// A field is cut off or of another type than its number says, or a text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not OTLP's protobuf")]
pub struct Malformed;

/// What stands in a field; texts and messages are slices of the request.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A number of any length, a flag or an enum's.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
    /// Of a kind that no field of OTLP has.
    Group,
}

impl<'a> Content<'a> {
    /// A text.
    pub fn text(self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// Bytes, or a message that is not read yet.
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// A number of any length.
    pub fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    /// The same where the field has 32 bits: those above are dropped, as every
    /// reader of protobuf does.
    pub fn uint32(self) -> Result<u32, Malformed> {
        Ok(self.varint()? as u32)
    }

    /// Eight bytes.
    pub fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    /// Four bytes.
    pub fn fixed32(self) -> Result<u32, Malformed> {
        match self {
            Self::Fixed32(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    /// A message.
    pub fn message<M: Message<'a>>(self) -> Result<M, Malformed> {
        M::read(self.bytes()?)
    }
}

/// A message, of which each field stands where it came last and each list holds all
/// that came. How deep it goes must have been looked at before: see [`super::scan`].
pub trait Message<'a>: Default {
    /// Takes one field; one that is not known is left.
    ///
    /// # Errors
    /// When it is of the wrong type.
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed>;

    /// Takes all fields of these bytes in addition to those that it has.
    ///
    /// # Errors
    /// When they are no such message.
    fn merge(&mut self, mut bytes: &'a [u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let (number, content) = next(&mut bytes)?;
            self.field(number, content)?;
        }
        Ok(())
    }

    /// A message of these bytes alone.
    ///
    /// # Errors
    /// When they are no such message.
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        message.merge(bytes)?;
        Ok(message)
    }
}

fn next<'a>(bytes: &mut &'a [u8]) -> Result<(u32, Content<'a>), Malformed> {
    let (number, wire_type) = decode_key(bytes).map_err(|_| Malformed)?;
    let content = match wire_type {
        WireType::Varint => Content::Varint(decode_varint(bytes).map_err(|_| Malformed)?),
        WireType::SixtyFourBit => Content::Fixed64(u64::from_le_bytes(array(bytes)?)),
        WireType::ThirtyTwoBit => Content::Fixed32(u32::from_le_bytes(array(bytes)?)),
        WireType::LengthDelimited => Content::Bytes(take_delimited(bytes).ok_or(Malformed)?),
        WireType::StartGroup | WireType::EndGroup => {
            skip_field(wire_type, number, bytes, DecodeContext::default())
                .map_err(|_| Malformed)?;
            Content::Group
        }
    };
    Ok((number, content))
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (array, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    *bytes = rest;
    Ok(*array)
}
