//! Maps a model call and a tool call whose messages, arguments and results are an
//! arbitrary text: strict JSON, almost JSON, or neither.
#![no_main]

#[path = "../../tests/suite/otlp_doors/properties.rs"]
#[allow(dead_code)]
mod properties;

use libfuzzer_sys::fuzz_target;
use runtraced::ingest::otlp::{Encoding, Signal};

fuzz_target!(|bytes: &[u8]| {
    let request = properties::request_of_text(bytes);
    properties::hold(Signal::Traces, Encoding::Protobuf, &request);
});
