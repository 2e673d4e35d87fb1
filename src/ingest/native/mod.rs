//! The native protocol, `runtraced.v1`.

mod codec;
mod decode;
mod encode;
mod service;
mod stream;
#[cfg(test)]
mod tests;

pub use codec::{LimitedCodec, MAX_EVENTS_PER_MESSAGE};
pub use decode::decode_event;
pub use encode::encode_event;
pub use service::NativeIngest;
pub use stream::StreamLimits;
