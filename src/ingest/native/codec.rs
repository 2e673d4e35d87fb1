//! Messages are limited in events, not only in bytes: an empty event is two
//! bytes on the wire and hundreds in memory.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use tonic::Status;

/// Events of one message at most, so that the refusal of each of them still
/// makes a response of less than the 4 MiB that gRPC clients take by default.
pub const MAX_EVENTS_PER_MESSAGE: usize = 32_768;

/// The messages (or strings) that a message holds at its top level, which is
/// where events are. What is no message at all is left to the decoder to
/// complain of: it reads no further than this does.
///
/// # Errors
/// When there are more than `limit`.
pub(super) fn parts(mut message: &[u8], limit: usize) -> Result<usize, Status> {
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
            let reason = format!("a message holds more than {limit} events");
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
    fn events_are_counted_whatever_stands_between_them() {
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
        assert!(parts(&message, 10).is_err());
        assert_eq!(parts(&message, 11).unwrap(), 11);
        assert_eq!(parts(b"", 0).unwrap(), 0);
    }

    #[test]
    fn what_is_no_message_is_left_to_the_decoder() {
        for bytes in [&b"\xff"[..], b"\x12\x05a", b"\x0c", b"\x07"] {
            assert_eq!(parts(bytes, 0).unwrap(), 0, "{bytes:?}");
            assert!(StreamRequest::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
