//! Ids as text.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use uuid::Uuid;

/// proto3 JSON accepts both alphabets, with and without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Parses an id: a UUID, or base64 of its bytes or of its text. The length distinguishes
/// them.
pub(super) fn id_from_text(text: &str) -> Option<Uuid> {
    if let Ok(id) = Uuid::try_parse(text) {
        return Some(id);
    }
    let bytes = BASE64
        .decode(text)
        .or_else(|_| BASE64_URL.decode(text))
        .ok()?;
    id_from_bytes(&bytes)
}

/// Writes the content of an id field: as UUID text, or as base64 if it is no UUID.
/// `event_from_json` refuses such base64, as the daemon does.
pub(super) fn id_to_text(bytes: &[u8]) -> String {
    match id_from_bytes(bytes) {
        Some(id) => id.to_string(),
        None => BASE64.encode(bytes),
    }
}

fn id_from_bytes(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes)
        .or_else(|_| Uuid::try_parse_ascii(bytes))
        .ok()
}
