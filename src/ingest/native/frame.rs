//! The payload of a spool frame: events, and the tenant of each.
//!
//! Without tenant events, the payload is a `SubmitRequest`. With a tenant event, it is a
//! message that versions without tenants cannot read. Such a version quarantines the
//! file. It must not write a tenant event as if it had no tenant. Clients never send this
//! message: the tenant of an event comes only from its key.

use bytes::Bytes;
use prost::Message as _;
use uuid::{NonNilUuid, Uuid};

use super::encode::encode_event;
use crate::event::Event;
use crate::proto;

/// The version of frames with tenants.
const VERSION: u32 = 1;

/// Consecutive events of a frame with the same tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct FramePart {
    /// The tenant. `None`: the events may touch any customer.
    pub tenant: Option<NonNilUuid>,
    /// The events, in order.
    pub events: Vec<proto::Event>,
}

/// A frame with tenants. Field 1 is a number here and the events in a `SubmitRequest`, so
/// neither message decodes as the other.
#[derive(Clone, PartialEq, prost::Message)]
struct TenantFrame {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    parts: Vec<TenantFramePart>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TenantFramePart {
    /// 16 bytes; empty for no tenant.
    #[prost(bytes = "bytes", tag = "1")]
    tenant: Bytes,
    #[prost(message, repeated, tag = "2")]
    events: Vec<proto::Event>,
}

/// Encodes the payload of a frame.
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
            TenantFramePart {
                tenant: tenant
                    .map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.get().as_bytes())),
                events: part.iter().map(|event| encode_event(event)).collect(),
            }
        })
        .collect();
    let frame = TenantFrame {
        version: VERSION,
        parts,
    };
    frame.encode_to_vec()
}

/// Decodes the payload of a frame. `None`: this version cannot read it.
#[must_use]
pub fn decode_frame(frame: &[u8]) -> Option<Vec<FramePart>> {
    if let Ok(request) = proto::SubmitRequest::decode(frame) {
        let events = request.events;
        return Some(vec![FramePart {
            tenant: None,
            events,
        }]);
    }
    let frame = TenantFrame::decode(frame).ok()?;
    if frame.version != VERSION {
        return None;
    }
    frame
        .parts
        .into_iter()
        .map(|part| {
            let tenant = match &part.tenant[..] {
                [] => None,
                // An invalid tenant must not become "any customer".
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
    fn events_keep_their_order_and_their_tenants() {
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
    fn old_versions_read_frames_without_tenants_only() {
        let free = encoded(&[event(1, 0), event(2, 0)]);
        let read = proto::SubmitRequest::decode(&free[..]).unwrap();
        assert_eq!(read.events.len(), 2);
        let with_tenant = encoded(&[event(1, 0), event(2, 7)]);
        assert!(proto::SubmitRequest::decode(&with_tenant[..]).is_err());
    }

    #[test]
    fn an_invalid_tenant_or_version_is_not_decoded() {
        for (tenant, version) in [(&[0; 16][..], 1), (b"short", 1), (&[7; 16], 2)] {
            let frame = TenantFrame {
                version,
                parts: vec![TenantFramePart {
                    tenant: Bytes::copy_from_slice(tenant),
                    events: vec![encode_event(&event(1, 0))],
                }],
            };
            assert_eq!(decode_frame(&frame.encode_to_vec()), None, "{tenant:?}");
        }
        assert_eq!(decode_frame(b"\xff\xff\xff"), None);
    }
}
