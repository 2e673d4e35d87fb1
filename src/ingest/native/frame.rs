//! Frames of the spool: events as bytes, and for whom each of them is.
//!
//! Events that may touch anything are a `SubmitRequest`, as they have always been.
//! With a bound event among them a frame is a message of its own, which a version
//! that knows no customers cannot read: it keeps the file, rather than write for
//! everybody what may be written for one. Clients send neither; for whom an event
//! is comes from its key alone.

use bytes::Bytes;
use prost::Message as _;
use uuid::{NonNilUuid, Uuid};

use super::encode::encode_event;
use crate::event::Event;
use crate::proto;

/// Of the frames with customers in them.
const VERSION: u32 = 1;

/// Events of one frame, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct FramePart {
    /// For whom they are; `None`: anybody.
    pub tenant: Option<NonNilUuid>,
    /// The events.
    pub events: Vec<proto::Event>,
}

/// In place of the events of a `SubmitRequest` stands a number.
#[derive(Clone, PartialEq, prost::Message)]
struct BoundFrame {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    parts: Vec<BoundPart>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BoundPart {
    /// 16 bytes, or none.
    #[prost(bytes = "bytes", tag = "1")]
    tenant: Bytes,
    #[prost(message, repeated, tag = "2")]
    events: Vec<proto::Event>,
}

/// The bytes of a frame.
#[must_use]
pub fn encode_frame(events: &[&Event]) -> Vec<u8> {
    if events.iter().all(|event| event.tenant.is_none()) {
        let events = events.iter().map(|event| encode_event(event)).collect();
        let request = proto::SubmitRequest {
            events,
            ..Default::default()
        };
        return request.encode_to_vec();
    }
    let parts = events
        .chunk_by(|one, next| one.tenant == next.tenant)
        .map(|part| {
            let tenant = part.first().and_then(|event| event.tenant);
            BoundPart {
                tenant: tenant
                    .map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.get().as_bytes())),
                events: part.iter().map(|event| encode_event(event)).collect(),
            }
        })
        .collect();
    let frame = BoundFrame {
        version: VERSION,
        parts,
    };
    frame.encode_to_vec()
}

/// The way back; `None` where it is no frame that this version knows.
#[must_use]
pub fn decode_frame(frame: &[u8]) -> Option<Vec<FramePart>> {
    if let Ok(request) = proto::SubmitRequest::decode(frame) {
        let events = request.events;
        return Some(vec![FramePart {
            tenant: None,
            events,
        }]);
    }
    let frame = BoundFrame::decode(frame).ok()?;
    if frame.version != VERSION {
        return None;
    }
    frame
        .parts
        .into_iter()
        .map(|part| {
            let tenant = match &part.tenant[..] {
                [] => None,
                // Whatever is no customer must not become everybody.
                bytes => Some(NonNilUuid::new(Uuid::from_slice(bytes).ok()?)?),
            };
            Some(FramePart {
                tenant,
                events: part.events,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::decode::decode_event;
    use super::*;
    use crate::event::{EventBody, Heartbeat, Repairs, Timestamp};

    fn event(run: u128, tenant: u128) -> Event {
        let run_id = Uuid::from_u128(run);
        let time = Timestamp::from_unix(0, 0).unwrap();
        Event {
            tenant: NonNilUuid::new(Uuid::from_u128(tenant)),
            ..Event::new(time, EventBody::Heartbeat(Heartbeat { run_id }))
        }
    }

    fn encoded(events: &[Event]) -> Vec<u8> {
        encode_frame(&events.iter().collect::<Vec<_>>())
    }

    #[test]
    fn events_come_back_in_order_and_for_whom_they_were() {
        for tenants in [vec![0, 0], vec![7], vec![0, 7, 7, 8, 0, 7]] {
            let events: Vec<Event> = (1..).zip(&tenants).map(|(n, t)| event(n, *t)).collect();
            let parts = decode_frame(&encoded(&events)).unwrap();
            let back: Vec<Event> = parts
                .into_iter()
                .flat_map(|part| {
                    let tenant = part.tenant;
                    let events = part.events.into_iter();
                    events.map(move |event| Event {
                        tenant,
                        ..decode_event(event, &mut Repairs::default()).unwrap()
                    })
                })
                .collect();
            assert_eq!(back, events);
        }
    }

    #[test]
    fn old_versions_read_what_is_for_anybody_and_refuse_the_rest() {
        let free = encoded(&[event(1, 0), event(2, 0)]);
        let read = proto::SubmitRequest::decode(&free[..]).unwrap();
        assert_eq!(read.events.len(), 2);
        let bound = encoded(&[event(1, 0), event(2, 7)]);
        assert!(proto::SubmitRequest::decode(&bound[..]).is_err());
    }

    #[test]
    fn what_is_no_customer_is_not_everybody() {
        for (tenant, version) in [(&[0; 16][..], 1), (b"short", 1), (&[7; 16], 2)] {
            let frame = BoundFrame {
                version,
                parts: vec![BoundPart {
                    tenant: Bytes::copy_from_slice(tenant),
                    events: vec![encode_event(&event(1, 0))],
                }],
            };
            assert_eq!(decode_frame(&frame.encode_to_vec()), None, "{tenant:?}");
        }
        assert_eq!(decode_frame(b"\xff\xff\xff"), None);
    }
}
