//! The formats of events outside the tables: spool frames and dead-letter payloads.

use prost::Message as _;

use crate::event::{ContentRule, Event, Repairs};
use crate::ingest::native::{decode_event, decode_frame, encode_event};
use crate::json_mapping::event_to_json;

/// How events of a spool frame are decoded. `None`: this version cannot read some of them.
pub(super) fn frame_decoder(contents: ContentRule) -> fn(&[u8]) -> Option<Vec<Event>> {
    match contents {
        ContentRule::Lookalikes => |frame| decode_events(frame, ContentRule::Lookalikes),
        ContentRule::Large => |frame| decode_events(frame, ContentRule::Large),
    }
}

/// Decodes the events of a spool frame. The spool holds whole values, so they are cut here.
fn decode_events(frame: &[u8], contents: ContentRule) -> Option<Vec<Event>> {
    // The endpoint repaired these events already.
    let mut repairs = Repairs::default();
    let mut events = Vec::new();
    for part in decode_frame(frame)? {
        for event in part.events {
            let mut event = decode_event(event, &mut repairs).ok()?;
            event.cut_contents(contents);
            let tenant = part.tenant;
            events.push(Event { tenant, ..event });
        }
    }
    Some(events)
}

/// Renders an event for a dead letter: as JSON, or as its wire form in hex if it has no
/// JSON form.
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
