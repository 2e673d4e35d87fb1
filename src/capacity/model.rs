//! From what arrives to what it takes.

use std::num::ParseFloatError;
use std::str::FromStr;

use serde::Serialize;

use super::costs::MeasuredCosts;

/// The most servers of one trace store.
pub const MOST_SERVERS: u64 = 64;
/// The number of slots of the plain layout.
const PLAIN_LAYOUT: u64 = 1;

/// A number of rows in a time: `20000/s`, `1.5M/h`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventRate {
    /// Rows in a second.
    pub per_second: f64,
}

/// Why a text is no rate.
#[derive(Debug, thiserror::Error)]
#[error("it is not a number of rows in a time")]
pub struct RateFault;

impl From<ParseFloatError> for RateFault {
    fn from(_: ParseFloatError) -> Self {
        Self
    }
}

impl FromStr for EventRate {
    type Err = RateFault;

    fn from_str(text: &str) -> Result<Self, RateFault> {
        let (number, unit) = text.split_once('/').ok_or(RateFault)?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(RateFault),
        };
        let (number, factor) = match number.strip_suffix(['k', 'K']) {
            Some(number) => (number, 1e3),
            None => match number.strip_suffix('M') {
                Some(number) => (number, 1e6),
                None => (number, 1.0),
            },
        };
        let per_second = number.parse::<f64>()? * factor / seconds;
        // The number of rows that a thousand large servers take, and one in eleven days.
        if (1e-6..=1e9).contains(&per_second) {
            Ok(Self { per_second })
        } else {
            Err(RateFault)
        }
    }
}

/// What arrives, and how long it is kept.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TraceVolume {
    /// Rows in a second at peak: processors must take them.
    pub rows_per_second: f64,
    /// Rows in a second on average: disks keep them.
    pub average_rows_per_second: f64,
    /// Bytes of a row, as COPY sends it.
    pub row_bytes: f64,
    /// How long rows are kept, in seconds.
    pub kept_seconds: f64,
}

/// The machines that are to take it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Hardware {
    /// Processors of a machine for Postgres.
    pub postgres_cores: f64,
    /// Processors of a machine for a daemon.
    pub daemon_cores: f64,
    /// The disk of a machine for Postgres, in bytes.
    pub disk_bytes: f64,
    /// The share of processors and disks that may be used: the rest is for readers, peaks, vacuum and repairs.
    pub share: f64,
}

/// What it takes.
#[derive(Clone, Debug, Serialize)]
pub struct CapacityPlan {
    /// What was asked.
    pub volume: TraceVolume,
    /// On what.
    pub hardware: Hardware,
    /// By what costs.
    pub costs: MeasuredCosts,
    /// Processors of Postgres that are busy, on all machines together.
    pub postgres_busy_cores: f64,
    /// Processors of daemons that are busy, on all machines together.
    pub daemon_busy_cores: f64,
    /// Bytes of write-ahead log in a second, on all machines together.
    pub log_bytes_per_second: f64,
    /// Bytes of tables and indexes once the time is over for which rows are kept.
    pub stored_bytes: f64,
    /// Databases, each on a machine of its own, for the processors.
    pub databases_by_cores: u64,
    /// The same for the disks.
    pub databases_by_disk: u64,
    /// The greater of the two.
    pub databases: u64,
    /// Slots of each database. 1: the plain layout, because events of agent runs were slower with more.
    pub slots_per_database: u64,
    /// The servers of one trace store that takes it, each with one of the databases. `None`: a store
    /// cannot have so many.
    pub servers_of_one_store: Option<u64>,
    /// Daemons for each database.
    pub daemons_per_database: u64,
    /// How long rows could be kept on as many databases as the processors need, in seconds.
    pub kept_seconds_by_cores: f64,
}

impl CapacityPlan {
    /// Computes what a volume takes.
    #[must_use]
    pub fn new(volume: TraceVolume, hardware: Hardware, costs: MeasuredCosts) -> Self {
        let rate = volume.rows_per_second;
        let postgres_busy_cores = rate * costs.postgres_us / 1e6;
        let daemon_busy_cores = rate * costs.daemon_us / 1e6;
        let stored_per_second =
            volume.average_rows_per_second * (volume.row_bytes + costs.stored_overhead_bytes);
        let stored_bytes = stored_per_second * volume.kept_seconds;
        let usable_disk = hardware.disk_bytes * hardware.share;
        let databases_by_cores = whole(
            postgres_busy_cores,
            hardware.postgres_cores * hardware.share,
        );
        let databases_by_disk = whole(stored_bytes, usable_disk);
        let databases = databases_by_cores.max(databases_by_disk);
        let of_each = daemon_busy_cores / float(databases);
        Self {
            postgres_busy_cores,
            daemon_busy_cores,
            log_bytes_per_second: rate * (volume.row_bytes + costs.log_overhead_bytes),
            stored_bytes,
            databases_by_cores,
            databases_by_disk,
            databases,
            slots_per_database: PLAIN_LAYOUT,
            servers_of_one_store: (databases <= MOST_SERVERS).then_some(databases),
            daemons_per_database: whole(of_each, hardware.daemon_cores * hardware.share),
            kept_seconds_by_cores: float(databases_by_cores) * usable_disk / stored_per_second,
            volume,
            hardware,
            costs,
        }
    }
}

/// How many of a size are needed; at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count that no cast harms
fn whole(needed: f64, each: f64) -> u64 {
    (needed / each).ceil().max(1.0) as u64
}

#[allow(clippy::cast_precision_loss)] // far fewer than 2^53
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: f64 = 86_400.0;

    fn plan(rows_per_second: f64, row_bytes: f64, days: f64) -> CapacityPlan {
        let volume = TraceVolume {
            rows_per_second,
            average_rows_per_second: rows_per_second,
            row_bytes,
            kept_seconds: days * DAY,
        };
        let hardware = Hardware {
            postgres_cores: 16.0,
            daemon_cores: 4.0,
            disk_bytes: 4e12,
            share: 0.6,
        };
        CapacityPlan::new(volume, hardware, MeasuredCosts::built_in())
    }

    #[test]
    fn a_small_volume_takes_one_of_each() {
        let plan = plan(10.0, 900.0, 30.0);
        assert_eq!((plan.databases, plan.daemons_per_database), (1, 1));
        assert_eq!(plan.slots_per_database, 1);
        assert_eq!(plan.servers_of_one_store, Some(1));
        assert!(plan.kept_seconds_by_cores > 365.0 * DAY);
    }

    #[test]
    fn processors_decide_for_what_is_kept_shortly() {
        // 200,000 × 27.35 µs are 5.5 cores; 2,000,000 are 54.7 of 9.6 each.
        assert_eq!(plan(200_000.0, 900.0, 0.01).databases, 1);
        let plan = plan(2_000_000.0, 900.0, 0.01);
        assert_eq!((plan.databases_by_cores, plan.databases_by_disk), (6, 1));
        assert_eq!(plan.databases, 6);
        assert_eq!(plan.servers_of_one_store, Some(6));
    }

    #[test]
    fn disks_decide_for_what_is_kept_long() {
        let plan = plan(2_000_000.0, 900.0, 30.0);
        // 2,000,000 × 1,064 bytes × 30 days: 5.5 PB, of which a disk takes 2.4 TB.
        assert!(
            (plan.stored_bytes / 1e15 - 5.5).abs() < 0.1,
            "{}",
            plan.stored_bytes
        );
        assert_eq!(plan.databases_by_disk, 2_299);
        assert_eq!(plan.databases, plan.databases_by_disk);
        assert_eq!(plan.servers_of_one_store, None);
        let kept = plan.kept_seconds_by_cores;
        let again = self::plan(2_000_000.0, 900.0, kept / DAY * 0.999);
        assert_eq!(again.databases, again.databases_by_cores);
    }

    #[test]
    fn processors_take_the_peak_and_disks_the_average() {
        let steady = plan(100_000.0, 900.0, 30.0);
        let volume = TraceVolume {
            average_rows_per_second: 20_000.0,
            ..steady.volume
        };
        let bursty = CapacityPlan::new(volume, steady.hardware, MeasuredCosts::built_in());
        assert_eq!(bursty.databases_by_cores, steady.databases_by_cores);
        assert!((steady.stored_bytes / bursty.stored_bytes - 5.0).abs() < 1e-9);
    }

    #[test]
    fn rates_have_a_number_and_a_time() {
        let rate = |text: &str| text.parse::<EventRate>().map(|rate| rate.per_second).ok();
        assert_eq!(rate("2000000/s"), Some(2e6));
        assert_eq!(rate("2M/s"), Some(2e6));
        assert_eq!(rate("1.5k/m"), Some(25.0));
        assert_eq!(rate("86400/d"), Some(1.0));
        for text in [
            "", "5", "/s", "5/w", "-1/s", "0/s", "NaN/s", "inf/s", "2G/s",
        ] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}
