//! The native protocol `runtraced.v1`.

mod codec;
mod decode;
mod encode;
mod frame;
mod handler;
mod outcome;
mod receive;
mod routes;
mod service;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

pub use codec::MAX_EVENTS_PER_MESSAGE;
pub use decode::{decode_event, decode_event_within};
pub use encode::encode_event;
pub use frame::{FramePart, decode_frame, encode_frame};
pub use handler::{NativeIngest, StreamLimits};
pub use receive::{ReceiveBudget, ReceiveLimits};
pub use routes::routes;
pub use watch::{DecisionSource, MadeDecisions, TooManyWatched, WatchedApprovals};
