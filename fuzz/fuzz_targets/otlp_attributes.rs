//! Maps a span whose attributes have known keys and arbitrary values.
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
