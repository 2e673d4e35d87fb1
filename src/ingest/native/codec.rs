//! The limit of events in one message. A limit of bytes is not enough: an empty event
//! takes two bytes on the wire and hundreds in memory.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use tonic::Status;

/// The largest number of events in one message. If all of them are refused, the response
/// still fits the 4 MiB that gRPC clients accept by default.
pub const MAX_EVENTS_PER_MESSAGE: usize = 32_768;

/// Counts the length-delimited fields at the top level of a message, which is where the
/// events are. Stops at the first invalid byte: the decoder reports it, and reads no
/// further either.
///
/// # Errors
/// When there are more than `limit`.
pub(super) fn count_parts(mut message: &[u8], limit: usize) -> Result<usize, Status> {
    let mut parts = 0;
    while message.has_remaining() {
        let Ok((tag, wire_type)) = decode_key(&mut message) else {
            break;
        };
        if skip_field(wire_type, tag, &mut message, DecodeContext::default()).is_err() {
            break;
        }
        parts += usize::from(wire_type == WireType::LengthDelimited);
        if parts > limit {
            let reason = format!("the message holds more than {limit} events");
            return Err(Status::out_of_range(reason));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{Event, StreamRequest};

    #[test]
    fn events_are_counted_between_any_other_fields() {
        let mut message = StreamRequest {
            sequence: 7,
            events: vec![Event::default(); 10],
            ..Default::default()
        }
        .encode_to_vec();
        message.extend([0x1b, 0x08, 0x01, 0x1c]); // an unknown group
        message.extend([0x25, 1, 2, 3, 4]); // fixed32
        message.extend([0x29, 1, 2, 3, 4, 5, 6, 7, 8]); // fixed64
        message.extend([0x12, 0x00]); // an eleventh event
        assert!(count_parts(&message, 10).is_err());
        assert_eq!(count_parts(&message, 11).unwrap(), 11);
        assert_eq!(count_parts(b"", 0).unwrap(), 0);
    }

    #[test]
    fn invalid_messages_are_left_to_the_decoder() {
        for bytes in [&b"\xff"[..], b"\x12\x05a", b"\x0c", b"\x07"] {
            assert_eq!(count_parts(bytes, 0).unwrap(), 0, "{bytes:?}");
            assert!(StreamRequest::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
