//! Decodes arbitrary bytes as the JSON of an OTLP request. The first byte chooses the signal.
#![no_main]

#[path = "../../tests/suite/otlp_doors/properties.rs"]
#[allow(dead_code)]
mod properties;

use libfuzzer_sys::fuzz_target;
use runtraced::ingest::otlp::{Encoding, Signal};

fuzz_target!(|bytes: &[u8]| {
    if let Some((choice, bytes)) = bytes.split_first() {
        let signal = Signal::ALL[usize::from(*choice) % Signal::ALL.len()];
        properties::hold(signal, Encoding::Json, bytes);
    }
});
