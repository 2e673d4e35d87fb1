//! The binary COPY format (`COPY … FROM STDIN (FORMAT binary)`).
//!
//! The layout is in the PostgreSQL manual, "COPY, Binary Format":
//!
//! 1. a header,
//! 2. per row an i16 field count, then per field an i32 length (-1 for NULL) and the
//!    value in the form that the type's `recv` function reads,
//! 3. an i16 of -1.

use uuid::Uuid;

use crate::event::{FiniteNumber, Json, Timestamp};

/// The signature, no flags, and an empty header extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The version byte that `jsonb_recv` expects before the text.
const JSONB_VERSION: u8 = 1;

/// The rows of one COPY, encoded as they are added. They can be sent in parts.
#[derive(Debug, Default)]
pub struct CopyBuffer {
    bytes: Vec<u8>,
    has_header: bool,
}

impl CopyBuffer {
    /// Begins a row. Exactly `fields` calls of the methods below must follow.
    pub fn row(&mut self, fields: i16) -> &mut Self {
        self.header();
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self
    }

    /// Appends a `uuid`.
    pub fn uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        self.field(value.as_ref().map(|id| id.as_bytes().as_slice()))
    }

    /// Appends a `text`.
    pub fn text(&mut self, value: Option<&str>) -> &mut Self {
        self.field(value.map(str::as_bytes))
    }

    /// Appends a `jsonb`, as a row holds it.
    pub fn jsonb(&mut self, value: Option<&Json>) -> &mut Self {
        self.json_text(value.map(Json::stored))
    }

    /// Appends a `jsonb` that is JSON text.
    pub fn json_text(&mut self, value: Option<&str>) -> &mut Self {
        let Some(text) = value.map(str::as_bytes) else {
            return self.field(None);
        };
        self.length(text.len() + 1);
        self.bytes.push(JSONB_VERSION);
        self.bytes.extend_from_slice(text);
        self
    }

    /// Appends a `timestamptz`.
    pub fn timestamp(&mut self, value: Option<Timestamp>) -> &mut Self {
        self.int8(value.map(Timestamp::postgres_micros))
    }

    /// Appends a `smallint`.
    pub fn int2(&mut self, value: Option<i16>) -> &mut Self {
        self.field(
            value
                .map(i16::to_be_bytes)
                .as_ref()
                .map(<[u8; 2]>::as_slice),
        )
    }

    /// Appends an `integer`.
    pub fn int4(&mut self, value: Option<i32>) -> &mut Self {
        self.field(
            value
                .map(i32::to_be_bytes)
                .as_ref()
                .map(<[u8; 4]>::as_slice),
        )
    }

    /// Appends a `bigint`.
    pub fn int8(&mut self, value: Option<i64>) -> &mut Self {
        self.field(
            value
                .map(i64::to_be_bytes)
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        )
    }

    /// Appends a `double precision`.
    pub fn float8(&mut self, value: Option<FiniteNumber>) -> &mut Self {
        self.field(
            value
                .map(|number| number.get().to_be_bytes())
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        )
    }

    /// Appends a `boolean`.
    pub fn bool(&mut self, value: Option<bool>) -> &mut Self {
        self.field(
            value
                .map(|flag| [u8::from(flag)])
                .as_ref()
                .map(<[u8; 1]>::as_slice),
        )
    }

    /// The bytes that are not sent yet.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Drops the bytes after they were sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends the trailer. Nothing may follow it.
    pub fn finish(&mut self) {
        self.header();
        self.bytes.extend_from_slice(&TRAILER);
    }

    fn header(&mut self) {
        if !self.has_header {
            self.has_header = true;
            self.bytes.extend_from_slice(HEADER);
        }
    }

    fn field(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(bytes) => {
                self.length(bytes.len());
                self.bytes.extend_from_slice(bytes);
            }
            None => self.bytes.extend_from_slice(&NULL),
        }
        self
    }

    fn length(&mut self, length: usize) {
        // It always fits: gRPC messages, and so their fields, are far below 2 GiB.
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Repairs;

    #[test]
    fn the_bytes_match_the_manual() {
        let mut copy = CopyBuffer::default();
        let json = Json::new("{}".into(), &mut Repairs::default()).expect("json");
        let time = Timestamp::from_unix(946_684_801, 5_000).expect("time");
        copy.row(9)
            .uuid(Some(Uuid::from_u128(0x0102)))
            .uuid(None)
            .text(Some("é"))
            .jsonb(Some(&json))
            .timestamp(Some(time))
            .int2(Some(-2))
            .int4(Some(7))
            .int8(Some(-1))
            .bool(Some(true));
        let mut want = b"PGCOPY\n\xff\r\n\0".to_vec();
        want.extend([0; 8]); // flags, no extension
        want.extend([0, 9]);
        want.extend([0, 0, 0, 16]);
        want.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        want.extend([0xff; 4]);
        want.extend([0, 0, 0, 2, 0xc3, 0xa9]);
        want.extend([0, 0, 0, 3, 1, b'{', b'}']);
        want.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x45]);
        want.extend([0, 0, 0, 2, 0xff, 0xfe]);
        want.extend([0, 0, 0, 4, 0, 0, 0, 7]);
        want.extend([0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255]);
        want.extend([0, 0, 0, 1, 1]);
        want.extend([0xff, 0xff]);
        copy.finish();
        assert_eq!(copy.bytes(), want);
    }

    #[test]
    fn an_empty_copy_is_a_header_and_a_trailer() {
        let mut copy = CopyBuffer::default();
        copy.finish();
        assert_eq!(copy.bytes().len(), HEADER.len() + 2);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let whole = |parts: bool| {
            let mut copy = CopyBuffer::default();
            let mut sent = Vec::new();
            for number in 0..3 {
                copy.row(1).int2(Some(number));
                if parts {
                    sent.extend_from_slice(copy.bytes());
                    copy.clear();
                }
            }
            copy.finish();
            sent.extend_from_slice(copy.bytes());
            sent
        };
        assert_eq!(whole(true), whole(false));
    }
}
