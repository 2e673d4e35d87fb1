//! OTLP's times as timestamps.

use crate::event::Timestamp;
use crate::ingest::otlp::RefusalReason;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The start of a span, and its end if it has ended. OTLP writes an unknown time
/// as zero; the end then stands for an unknown start.
///
/// # Errors
/// If both times are zero, or one is outside the range of Postgres.
pub fn start_and_end(
    start: u64,
    end: u64,
) -> Result<(Timestamp, Option<Timestamp>), (RefusalReason, &'static str)> {
    match (start, end) {
        (0, 0) => {
            let reason = "start_time_unix_nano and end_time_unix_nano are both zero";
            Err((RefusalReason::TimeOutOfRange, reason))
        }
        (0, end) => Ok((timestamp(end)?, Some(timestamp(end)?))),
        (start, 0) => Ok((timestamp(start)?, None)),
        (start, end) => Ok((timestamp(start)?, Some(timestamp(end)?))),
    }
}

/// A time in nanoseconds since the Unix epoch as a timestamp.
///
/// # Errors
/// If the time is outside the range of Postgres.
pub fn timestamp(unix_nanos: u64) -> Result<Timestamp, (RefusalReason, &'static str)> {
    let seconds = i64::try_from(unix_nanos / NANOS_PER_SECOND).unwrap_or(i64::MAX);
    let nanos = i32::try_from(unix_nanos % NANOS_PER_SECOND).unwrap_or(0);
    Timestamp::from_unix(seconds, nanos).map_err(|_| {
        let reason = "a time is outside the range that Postgres can store";
        (RefusalReason::TimeOutOfRange, reason)
    })
}
