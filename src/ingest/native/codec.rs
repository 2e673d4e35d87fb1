//! Messages are limited in events, not only in bytes: an empty event is two
//! bytes on the wire and hundreds in memory.

use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Events of one message, so that the refusal of each of them still makes a
/// response of less than the 4 MiB that gRPC clients take by default.
pub const MAX_EVENTS_PER_MESSAGE: usize = 32_768;

/// The codec of all messages of the protocol.
#[derive(Debug)]
pub struct LimitedCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for LimitedCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for LimitedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = LimitedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        LimitedDecoder(self.0.decoder())
    }
}

/// Counts before it decodes.
#[derive(Debug)]
pub struct LimitedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for LimitedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if has_more_parts_than(MAX_EVENTS_PER_MESSAGE, message.chunk()) {
            let reason = format!("a message holds more than {MAX_EVENTS_PER_MESSAGE} events");
            return Err(Status::out_of_range(reason));
        }
        self.0.decode(message)
    }
}

/// Whether a message holds more messages (or strings) at its top level, which
/// is where events are. What is no message at all is left to the decoder to
/// complain of: it reads no further than this does.
fn has_more_parts_than(limit: usize, mut message: &[u8]) -> bool {
    let mut parts = 0;
    while message.has_remaining() && parts <= limit {
        let Ok((tag, wire_type)) = decode_key(&mut message) else {
            return false;
        };
        if skip_field(wire_type, tag, &mut message, DecodeContext::default()).is_err() {
            return false;
        }
        parts += usize::from(wire_type == WireType::LengthDelimited);
    }
    parts > limit
}

#[cfg(test)]
mod tests {
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
        assert!(has_more_parts_than(10, &message));
        assert!(!has_more_parts_than(11, &message));
        assert!(!has_more_parts_than(0, b""));
    }

    #[test]
    fn what_is_no_message_is_left_to_the_decoder() {
        for bytes in [&b"\xff"[..], b"\x12\x05a", b"\x0c", b"\x07"] {
            assert!(!has_more_parts_than(0, bytes), "{bytes:?}");
            assert!(StreamRequest::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
