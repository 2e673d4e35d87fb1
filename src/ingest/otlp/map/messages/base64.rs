//! Measures base64 without keeping what it decodes.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The characters that are decoded at a time: a multiple of four.
const CHUNK_CHARS: usize = 16 << 10;
/// The bytes at the start of a file that tell its type.
const HEAD_BYTES: usize = 12;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The size, hash and type of decoded data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The number of bytes.
    pub bytes: u64,
    /// The SHA-256, in hex.
    pub sha256: String,
    /// The MIME type that the first bytes tell.
    pub sniffed: Option<&'static str>,
}

/// Measures data.
pub fn measured(data: &[u8]) -> Measured {
    let mut meter = Meter::default();
    meter.add(data);
    meter.finish()
}

/// Measures the data that a text encodes, in either alphabet, with or without
/// padding and line breaks. `None` if it is not base64 or is empty.
pub fn measure(text: &str) -> Option<Measured> {
    let text = text.trim();
    let engine = if text.bytes().any(|byte| matches!(byte, b'-' | b'_')) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    let mut meter = Meter::default();
    let mut decoded = vec![0; CHUNK_CHARS];
    let mut add = |chars: &[u8]| {
        let length = engine.decode_slice(chars, &mut decoded).ok()?;
        meter.add(&decoded[..length]);
        Some(())
    };
    if text.contains(['\n', '\r']) {
        let chars: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        chars.chunks(CHUNK_CHARS).try_for_each(&mut add)?;
    } else {
        text.as_bytes().chunks(CHUNK_CHARS).try_for_each(&mut add)?;
    }
    (meter.bytes > 0).then(|| meter.finish())
}

/// Measures data that is written as a list of numbers, as JavaScript writes it.
pub fn measure_bytes(numbers: &[Value]) -> Option<Measured> {
    let byte = |number: &Value| u8::try_from(number.as_u64()?).ok();
    let data: Vec<u8> = numbers.iter().map(byte).collect::<Option<_>>()?;
    (!data.is_empty()).then(|| measured(&data))
}

/// Whether a text starts as the base64 of a common type of file does.
pub fn has_magic(text: &str) -> bool {
    const STARTS: [&str; 10] = [
        "iVBORw0KGgo", // PNG
        "/9j/",        // JPEG
        "R0lGOD",      // GIF
        "UklGR",       // WebP, WAV
        "JVBERi0",     // PDF
        "UEsDB",       // ZIP and the formats of Office
        "SUQz",        // MP3
        "T2dnUw",      // Ogg
        "AAAA",        // MP4, if `ftyp` follows
        "GkXfo",       // WebM
    ];
    STARTS.iter().any(|start| text.starts_with(start))
        && !text.bytes().take(SAMPLE_BYTES).any(|byte| byte == b' ')
}

/// The characters that are looked at before a text is decoded.
const SAMPLE_BYTES: usize = 64;

#[derive(Default)]
struct Meter {
    hash: Sha256,
    bytes: u64,
    head: Vec<u8>,
}

impl Meter {
    fn add(&mut self, data: &[u8]) {
        if self.head.len() < HEAD_BYTES {
            let more = (HEAD_BYTES - self.head.len()).min(data.len());
            self.head.extend(&data[..more]);
        }
        self.hash.update(data);
        self.bytes += data.len() as u64;
    }

    fn finish(self) -> Measured {
        let digest = self.hash.finalize();
        Measured {
            bytes: self.bytes,
            sha256: crate::ingest::otlp::map::hex::hex(&digest),
            sniffed: sniff(&self.head),
        }
    }
}

/// The MIME type that the first bytes of a file tell.
fn sniff(head: &[u8]) -> Option<&'static str> {
    let at = |from: usize, bytes: &[u8]| head.get(from..).is_some_and(|h| h.starts_with(bytes));
    Some(match () {
        () if at(0, b"\x89PNG\r\n\x1a\n") => "image/png",
        () if at(0, b"\xff\xd8\xff") => "image/jpeg",
        () if at(0, b"GIF8") => "image/gif",
        () if at(0, b"RIFF") && at(8, b"WEBP") => "image/webp",
        () if at(0, b"RIFF") && at(8, b"WAVE") => "audio/wav",
        () if at(0, b"%PDF-") => "application/pdf",
        () if at(0, b"PK\x03\x04") => "application/zip",
        () if at(0, b"ID3") => "audio/mpeg",
        () if at(0, b"OggS") => "audio/ogg",
        () if at(4, b"ftyp") => "video/mp4",
        () if at(0, b"\x1a\x45\xdf\xa3") => "video/webm",
        () => return None,
    })
}
