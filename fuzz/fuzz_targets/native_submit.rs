//! Any bytes as a batch of the native protocol. What is taken means the same
//! after another trip over the wire, which is how the spool keeps it; narrower
//! limits refuse more, and never other than by an event's refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use runtraced::event::{FieldLimits, Repairs};
use runtraced::ingest::native::{decode_event, decode_event_within, encode_event};
use runtraced::proto::SubmitRequest;

const NARROW: FieldLimits = FieldLimits {
    bytes: 16,
    json_depth: 2,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = SubmitRequest::decode(bytes) else {
        return;
    };
    for wire in request.events {
        let mut repairs = Repairs::default();
        let taken = decode_event(wire.clone(), &mut repairs);
        let narrow = decode_event_within(NARROW, wire, &mut Repairs::default());
        match (&taken, narrow) {
            (Ok(event), Ok(same)) => assert_eq!(*event, same),
            (Ok(_), Err(_)) | (Err(_), Err(_)) => {}
            (Err(refusal), Ok(_)) => panic!("narrow limits take what is refused: {refusal:?}"),
        }
        if let Ok(event) = taken {
            let mut again = Repairs::default();
            assert_eq!(decode_event(encode_event(&event), &mut again), Ok(event));
            assert_eq!(again, Repairs::default(), "repaired twice");
        }
    }
});
