//! Reads from the DER of a certificate when it expires (RFC 5280, 4.1), so that the
//! log warns before clients fail.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;

// DER tags.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the first certificate of a chain expires.
pub(super) fn first_expiry(chain: &[CertificateDer<'_>]) -> Option<Timestamp> {
    chain.iter().filter_map(|cert| not_after(cert)).min()
}

/// The last moment at which a certificate is valid. `None`: the bytes are no
/// certificate.
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (mut fields, _) = element(element(certificate, SEQUENCE)?.0, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        let (_, _, rest) = any_element(fields)?;
        fields = rest;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (_, _, rest) = any_element(validity)?;
    let (tag, time, _) = any_element(rest)?;
    timestamp(tag, time)
}

fn timestamp(tag: u8, time: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = text.split_at_checked(match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    })?;
    let year: i16 = year.parse().ok()?;
    let year = match tag {
        // Two digits: 1950 to 2049.
        UTC_TIME if year < 50 => 2_000 + year,
        UTC_TIME => 1_900 + year,
        _ => year,
    };
    if rest.len() != 10 {
        return None;
    }
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

/// The content of a DER element with this tag, and the bytes after the element.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any_element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The tag and the content of a DER element, and the bytes after the element.
fn any_element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = len
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte));
            (len, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &len, content].concat()
    }

    fn certificate(tag: u8, not_after: &str) -> Vec<u8> {
        let before = wrap(UTC_TIME, b"200101000000Z");
        let validity = [before, wrap(tag, not_after.as_bytes())].concat();
        let fields = [
            wrap(VERSION, &[2, 1, 2]),
            vec![2, 1, 7],
            wrap(SEQUENCE, &[]),
            wrap(SEQUENCE, &[0; 200]),
            wrap(SEQUENCE, &validity),
        ]
        .concat();
        wrap(SEQUENCE, &wrap(SEQUENCE, &fields))
    }

    #[test]
    fn both_time_formats_are_read() {
        for (tag, text, time) in [
            (UTC_TIME, "491231235959Z", "2049-12-31T23:59:59Z"),
            (UTC_TIME, "990101000000Z", "1999-01-01T00:00:00Z"),
            (GENERALIZED_TIME, "20500101000000Z", "2050-01-01T00:00:00Z"),
        ] {
            let read = not_after(&certificate(tag, text)).map(|time| time.to_string());
            assert_eq!(read.as_deref(), Some(time));
        }
    }

    #[test]
    fn invalid_certificates_have_no_expiry() {
        let good = certificate(UTC_TIME, "491231235959Z");
        for len in 0..good.len() - 1 {
            assert_eq!(not_after(&good[..len]), None, "{len} bytes");
        }
        for odd in [
            "",
            "Z",
            "4912312359Z",
            "49123123595\u{e9}Z",
            "491331235959Z",
        ] {
            assert_eq!(not_after(&certificate(UTC_TIME, odd)), None, "{odd}");
        }
    }
}
