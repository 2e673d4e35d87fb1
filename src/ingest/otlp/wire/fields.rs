//! Reads one protobuf message field by field, without copying its bytes.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::scan::take_delimited;

/// A field is cut off or has the wrong type, or a text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a protobuf message of OTLP")]
pub struct MalformedProtobuf;

/// The content of one field. Texts and messages are slices of the request.
#[derive(Clone, Copy, Debug)]
pub enum FieldContent<'a> {
    /// A varint: an integer, a flag or an enum value.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
    /// A group. No field of OTLP is one.
    Group,
}

impl<'a> FieldContent<'a> {
    /// The content as text.
    pub fn text(self) -> Result<&'a str, MalformedProtobuf> {
        str::from_utf8(self.bytes()?).map_err(|_| MalformedProtobuf)
    }

    /// The content as bytes; for a message, the bytes that encode it.
    pub fn bytes(self) -> Result<&'a [u8], MalformedProtobuf> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(MalformedProtobuf),
        }
    }

    /// The content as a varint.
    pub fn varint(self) -> Result<u64, MalformedProtobuf> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(MalformedProtobuf),
        }
    }

    /// The content as a 32-bit varint. Higher bits are dropped, as protobuf
    /// requires of every reader.
    pub fn uint32(self) -> Result<u32, MalformedProtobuf> {
        Ok(self.varint()? as u32)
    }

    /// The content as eight bytes.
    pub fn fixed64(self) -> Result<u64, MalformedProtobuf> {
        match self {
            Self::Fixed64(number) => Ok(number),
            _ => Err(MalformedProtobuf),
        }
    }

    /// The content as four bytes.
    pub fn fixed32(self) -> Result<u32, MalformedProtobuf> {
        match self {
            Self::Fixed32(number) => Ok(number),
            _ => Err(MalformedProtobuf),
        }
    }

    /// The content as a message.
    pub fn message<M: WireMessage<'a>>(self) -> Result<M, MalformedProtobuf> {
        M::read(self.bytes()?)
    }
}

/// A message that is read in place.
///
/// The last value of a field wins; a list collects all values. The caller must
/// have limited the depth with [`super::scan`], because reading recurses.
pub trait WireMessage<'a>: Default {
    /// Stores one field. Unknown fields are ignored.
    ///
    /// # Errors
    /// If the field has the wrong type.
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf>;

    /// Adds the fields of these bytes to the message.
    ///
    /// # Errors
    /// If the bytes do not encode such a message.
    fn merge(&mut self, mut bytes: &'a [u8]) -> Result<(), MalformedProtobuf> {
        while !bytes.is_empty() {
            let (number, content) = take_field(&mut bytes)?;
            self.field(number, content)?;
        }
        Ok(())
    }

    /// Reads a new message from these bytes.
    ///
    /// # Errors
    /// If the bytes do not encode such a message.
    fn read(bytes: &'a [u8]) -> Result<Self, MalformedProtobuf> {
        let mut message = Self::default();
        message.merge(bytes)?;
        Ok(message)
    }
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Result<(u32, FieldContent<'a>), MalformedProtobuf> {
    let (number, wire_type) = decode_key(bytes).map_err(|_| MalformedProtobuf)?;
    let content = match wire_type {
        WireType::Varint => {
            FieldContent::Varint(decode_varint(bytes).map_err(|_| MalformedProtobuf)?)
        }
        WireType::SixtyFourBit => FieldContent::Fixed64(u64::from_le_bytes(take_array(bytes)?)),
        WireType::ThirtyTwoBit => FieldContent::Fixed32(u32::from_le_bytes(take_array(bytes)?)),
        WireType::LengthDelimited => {
            FieldContent::Bytes(take_delimited(bytes).ok_or(MalformedProtobuf)?)
        }
        WireType::StartGroup | WireType::EndGroup => {
            skip_field(wire_type, number, bytes, DecodeContext::default())
                .map_err(|_| MalformedProtobuf)?;
            FieldContent::Group
        }
    };
    Ok((number, content))
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], MalformedProtobuf> {
    let (array, rest) = bytes.split_first_chunk().ok_or(MalformedProtobuf)?;
    *bytes = rest;
    Ok(*array)
}
