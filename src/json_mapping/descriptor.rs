//! The message descriptors that drive the mapping.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::error::EventJsonError;

/// The full name of the mapped message.
const EVENT: &str = "runtraced.v1.Event";
pub(super) const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";

/// The descriptor of `Event`, decoded once.
pub(super) fn event_descriptor() -> Result<MessageDescriptor, EventJsonError> {
    static DESCRIPTOR: LazyLock<Option<MessageDescriptor>> = LazyLock::new(|| {
        DescriptorPool::decode(crate::proto::DESCRIPTORS)
            .ok()?
            .get_message_by_name(EVENT)
    });
    DESCRIPTOR.clone().ok_or_else(|| {
        EventJsonError::without_position(format!("{EVENT} is not in the descriptors"))
    })
}

/// Whether JSON writes a message as a string: a timestamp or a duration.
pub(super) fn is_time(message: &MessageDescriptor) -> bool {
    [TIMESTAMP, DURATION].contains(&message.full_name())
}
