//! The forms in which events are kept that are not in their tables yet: frames of
//! the spool, and payloads of dead letters.

use prost::Message as _;

use crate::event::{Event, Repairs};
use crate::ingest::native::{decode_event, decode_frame, encode_event};
use crate::json_mapping::event_to_json;

/// The events of a frame of the spool; `None` where it holds what this version does
/// not take.
pub(super) fn decode_events(frame: &[u8]) -> Option<Vec<Event>> {
    // They were repaired at the door.
    let mut repairs = Repairs::default();
    let mut events = Vec::new();
    for part in decode_frame(frame)? {
        for event in part.events {
            let event = decode_event(event, &mut repairs).ok()?;
            let tenant = part.tenant;
            events.push(Event { tenant, ..event });
        }
    }
    Some(events)
}

/// The JSON form of an event, for dead letters; of one that has none (its times
/// lie beyond the years that JSON's timestamps know), the wire form in hex.
pub(super) fn render_event(event: &Event) -> String {
    let event = encode_event(event);
    event_to_json(&event).unwrap_or_else(|_| {
        let hex: String = event
            .encode_to_vec()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{{\"protobufHex\":\"{hex}\"}}")
    })
}
