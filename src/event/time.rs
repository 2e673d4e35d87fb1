//! Points in time as Postgres stores them.

/// Seconds from the Unix epoch to Postgres' epoch, 2000-01-01T00:00:00Z.
const POSTGRES_EPOCH_UNIX_SECONDS: i64 = 946_684_800;
/// The smallest `timestamptz`: 4713-11-24 BC (`MIN_TIMESTAMP` in Postgres' datatype/timestamp.h).
const MIN_MICROS: i64 = -211_813_488_000_000_000;
/// One more than the largest `timestamptz`: AD 294277-01-01 (`END_TIMESTAMP`).
const END_MICROS: i64 = 9_223_371_331_200_000_000;

/// Microseconds since 2000-01-01T00:00:00Z, within the range of Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A time that Postgres cannot store, or that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is outside 4713 BC to AD 294276")]
pub struct TimeOutOfRange;

impl Timestamp {
    /// Converts seconds since the Unix epoch and nanoseconds in `0..10^9`. Truncates to
    /// microseconds.
    ///
    /// # Errors
    /// When Postgres cannot store the time, or `nanos` is out of range.
    pub fn from_unix(seconds: i64, nanos: i32) -> Result<Self, TimeOutOfRange> {
        if !(0..1_000_000_000).contains(&nanos) {
            return Err(TimeOutOfRange);
        }
        let micros = seconds
            .checked_sub(POSTGRES_EPOCH_UNIX_SECONDS)
            .and_then(|s| s.checked_mul(1_000_000))
            .and_then(|us| us.checked_add(i64::from(nanos / 1_000)))
            .ok_or(TimeOutOfRange)?;
        Self::from_postgres_micros(micros)
    }

    /// Converts microseconds since 2000-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When Postgres cannot store the time.
    pub fn from_postgres_micros(micros: i64) -> Result<Self, TimeOutOfRange> {
        if (MIN_MICROS..END_MICROS).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(TimeOutOfRange)
        }
    }

    /// Microseconds since 2000-01-01T00:00:00Z, as in Postgres' binary format.
    #[must_use]
    pub fn postgres_micros(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch and nanoseconds in `0..10^9`.
    #[must_use]
    pub fn to_unix(self) -> (i64, i32) {
        let seconds = self.0.div_euclid(1_000_000) + POSTGRES_EPOCH_UNIX_SECONDS;
        let nanos = i32::try_from(self.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        (seconds, nanos)
    }

    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is later than `self`.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> i64 {
        // Saturating, because the range of Postgres spans more than i64::MAX microseconds.
        self.0.saturating_sub(earlier.0).max(0) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_those_of_postgres() {
        // select extract(epoch from timestamptz '4713-11-24 00:00:00+00 BC')
        let first = Timestamp::from_unix(-210_866_803_200, 0).expect("first");
        assert_eq!(first.postgres_micros(), MIN_MICROS);
        assert_eq!(
            Timestamp::from_unix(-210_866_803_201, 999_999_999),
            Err(TimeOutOfRange)
        );
        let last = Timestamp::from_unix(9_224_318_015_999, 999_999_999).expect("last");
        assert_eq!(last.postgres_micros(), END_MICROS - 1);
        assert_eq!(
            Timestamp::from_unix(9_224_318_016_000, 0),
            Err(TimeOutOfRange)
        );
        assert_eq!(Timestamp::from_unix(i64::MIN, 0), Err(TimeOutOfRange));
        assert_eq!(Timestamp::from_unix(0, 1_000_000_000), Err(TimeOutOfRange));
        assert_eq!(Timestamp::from_unix(0, -1), Err(TimeOutOfRange));
    }

    #[test]
    fn unix_time_round_trips_to_the_microsecond() {
        for (seconds, nanos) in [(0, 0), (-1, 999_999_000), (1_700_000_000, 123_456_000)] {
            let time = Timestamp::from_unix(seconds, nanos).expect("in range");
            assert_eq!(time.to_unix(), (seconds, nanos));
        }
        let cut = Timestamp::from_unix(1, 1_999).expect("in range");
        assert_eq!(cut.to_unix(), (1, 1_000));
    }
}
