//! Sizes and durations as people write them: `64MiB`, `1.5GB`, `500ms`, `2h`.

use std::time::Duration;

/// Units of sizes, in lower case: powers of 1000, then powers of 1024.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Units of durations, in nanoseconds.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

/// Why a text is not a size or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitError {
    /// It does not follow the notation.
    Malformed,
    /// The value does not fit in 64 bits.
    TooLarge,
}

/// Bytes of a size such as `1048576`, `64MiB` or `1.5GB`. Without a unit the number is in
/// bytes; units ignore case. A fraction of a byte is dropped.
pub(super) fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let unit = unit.to_ascii_lowercase();
    match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, bytes)) => number.times(*bytes),
        // Half a byte without a unit is a mistake rather than a rounding matter.
        None if unit.is_empty() && number.decimals == 0 => number.times(1),
        None => Err(UnitError::Malformed),
    }
}

/// A duration such as `30`, `0.5`, `500ms`, `30s`, `5m`, `2h` or `1d`. Without a unit the
/// number is in seconds. Units are lower case: `M` would read as months.
pub(super) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let unit = if unit.is_empty() { "s" } else { unit };
    let found = DURATION_UNITS.iter().find(|(name, _)| *name == unit);
    let (_, nanoseconds) = found.ok_or(UnitError::Malformed)?;
    number.times(*nanoseconds).map(Duration::from_nanos)
}

/// A size in the largest binary unit that divides it.
pub(super) fn format_size(bytes: u64) -> String {
    for (unit, factor) in [
        ("TiB", 1_u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// A duration in the largest unit that divides it; below a millisecond in seconds.
pub(super) fn format_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    for (unit, factor) in DURATION_UNITS.iter().rev() {
        let factor = u128::from(*factor);
        if nanoseconds > 0 && nanoseconds.is_multiple_of(factor) {
            return format!("{}{unit}", nanoseconds / factor);
        }
    }
    format!("{}s", duration.as_secs_f64())
}

/// A decimal number, exactly: `digits / 10^decimals`.
struct Decimal {
    digits: u128,
    decimals: u32,
}

impl Decimal {
    /// The number times `factor`, rounded down.
    fn times(&self, factor: u64) -> Result<u64, UnitError> {
        let product = self.digits.checked_mul(factor.into());
        let divisor = 10_u128.checked_pow(self.decimals);
        let (Some(product), Some(divisor)) = (product, divisor) else {
            return Err(UnitError::TooLarge);
        };
        u64::try_from(product / divisor).map_err(|_| UnitError::TooLarge)
    }
}

/// Splits a text into its number and its unit, with at most one space between them.
fn split(text: &str) -> Result<(Decimal, &str), UnitError> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(UnitError::Malformed);
    }
    // Only digits are left, so the one way to fail is to be too long.
    let digits = format!("{whole}{fraction}").parse();
    let number = Decimal {
        digits: digits.map_err(|_| UnitError::TooLarge)?,
        decimals: u32::try_from(fraction.len()).map_err(|_| UnitError::TooLarge)?,
    };
    Ok((number, unit.strip_prefix(' ').unwrap_or(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("7B", 7),
            ("512KiB", 512 << 10),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2TiB", 2 << 40),
            ("4GB", 4_000_000_000),
            ("1.5kB", 1_500),
            ("1.5KB", 1_500),
            (".5MB", 500_000),
            ("3.TB", 3_000_000_000_000),
            ("18446744073709551615", u64::MAX),
            ("1.1KiB", 1_126),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "", " ", ".", "MiB", "x", "-1", "+1", "1e3", "64M", "64 K", "1.5", "1..2MB", "1.2.3MB",
            "64  MiB", " 64MiB", "64MiB ", "64Mibit", "０",
        ] {
            assert_eq!(parse_size(text), Err(UnitError::Malformed), "{text:?}");
        }
        for text in [
            "18446744073709551616",
            "16777216TiB",
            "99999999999999999999999999999999999999999",
            "0.00000000000000000000000000000000000000001GB",
        ] {
            assert_eq!(parse_size(text), Err(UnitError::TooLarge), "{text:?}");
        }
    }

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        for (text, ms) in [
            ("0", 0),
            ("2", 2_000),
            ("0.05", 50),
            ("500ms", 500),
            ("1.5 s", 1_500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("366d", 31_622_400_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "", "s", "-1", "inf", "NaN", "1M", "1S", "1w", "1h30m", "1e3",
        ] {
            assert_eq!(parse_duration(text), Err(UnitError::Malformed), "{text:?}");
        }
        assert_eq!(parse_duration("9999999d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn limits_are_written_as_they_can_be_given() {
        for bytes in [0, 1, 1_000, 1 << 10, 3 << 29, 512 << 20, u64::MAX] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        assert_eq!(format_size(512 << 20), "512MiB");
        for ms in [0, 1, 50, 1_000, 90_000, 31_622_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "90s");
    }
}
