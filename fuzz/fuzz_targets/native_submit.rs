//! Decodes arbitrary bytes as a request of the native protocol. Properties: an accepted event
//! is unchanged after it is encoded and decoded again, as the spool does. Narrower limits can
//! only refuse more events.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use runtraced::event::{FieldLimits, Repairs};
use runtraced::ingest::native::{decode_event, decode_event_within, encode_event};
use runtraced::proto::SubmitRequest;

/// Small enough that generated events often exceed them.
const NARROW_LIMITS: FieldLimits = FieldLimits {
    bytes: 16,
    json_depth: 2,
    limit_json_size: true,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = SubmitRequest::decode(bytes) else {
        return;
    };
    for wire in request.events {
        let mut repairs = Repairs::default();
        let taken = decode_event(wire.clone(), &mut repairs);
        let narrow = decode_event_within(NARROW_LIMITS, wire, &mut Repairs::default());
        match (&taken, narrow) {
            (Ok(event), Ok(same)) => assert_eq!(*event, same),
            (Ok(_), Err(_)) | (Err(_), Err(_)) => {}
            (Err(refusal), Ok(_)) => panic!("narrow limits accept an event that wide ones refuse: {refusal:?}"),
        }
        if let Ok(event) = taken {
            let mut again = Repairs::default();
            assert_eq!(decode_event(encode_event(&event), &mut again), Ok(event));
            assert_eq!(again, Repairs::default(), "an event was repaired a second time");
        }
    }
});
