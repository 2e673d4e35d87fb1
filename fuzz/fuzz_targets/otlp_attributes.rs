//! Any bytes as the attributes of a span, under keys that mean something.
#![no_main]

#[path = "../../tests/suite/otlp_doors/properties.rs"]
#[allow(dead_code)]
mod properties;

use libfuzzer_sys::fuzz_target;
use runtraced::ingest::otlp::{Encoding, Signal};

fuzz_target!(|bytes: &[u8]| {
    let request = properties::request_of(bytes);
    properties::hold(Signal::Traces, Encoding::Protobuf, &request);
});
