//! `runtraced plan`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::output;
use crate::capacity::{
    CapacityPlan, EventRate, Hardware, MOST_SERVERS, MOST_SLOTS, MeasuredCosts, TraceVolume,
};
use crate::config::{Faults, FlagReader, FlagValue};
use crate::store::{SlotCount, StoreServer};

/// What is computed with must be what can be made.
const _: () = assert!(MOST_SERVERS == StoreServer::MOST as u64);
const _: () = assert!(MOST_SLOTS == SlotCount::MOST as u64);

/// The longest time for which rows may be kept.
const LONGEST: Duration = Duration::from_secs(36_600 * 86_400);
/// The largest row and the largest disk.
const LARGEST_ROW: u64 = 1 << 30;
const LARGEST_DISK: u64 = 1 << 60;

/// Say how many databases, slots, daemons and disks a rate of rows takes.
///
/// It computes with measured costs, and connects to nothing. An event becomes about one row: a
/// step, a message, a token count; over OTLP, a span becomes one to three. docs/SCALING.md says
/// how to go on.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    /// Rows that arrive at peak: 20000/s, 1.5M/h.
    #[arg(long, value_name = "RATE")]
    rate: FlagValue,
    /// Rows that arrive on average, which disks keep. Default: as many as at peak.
    #[arg(long, value_name = "RATE")]
    average: Option<FlagValue>,
    /// Bytes of a row on average, as COPY sends it: content, ids and times.
    #[arg(long, default_value = "900", value_name = "BYTES")]
    bytes: FlagValue,
    /// How long rows are kept.
    #[arg(long, default_value = "30d", value_name = "DURATION")]
    retain: FlagValue,
    /// Processors of a machine for Postgres.
    #[arg(long, default_value = "16", value_name = "N")]
    cores: FlagValue,
    /// Processors of a machine for a daemon.
    #[arg(long, default_value = "4", value_name = "N")]
    daemon_cores: FlagValue,
    /// Disk of a machine for Postgres.
    #[arg(long, default_value = "4TB", value_name = "BYTES")]
    disk: FlagValue,
    /// Share of processors and disks that may be used, in percent. The rest is for readers, peaks
    /// and upkeep.
    #[arg(long, default_value = "60", value_name = "PERCENT")]
    share: FlagValue,
    /// Costs measured on your own machine: what `runtraced bench --json FILE` wrote.
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// Print a JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl PlanArgs {
    #[allow(clippy::cast_precision_loss)] // bytes and seconds far below 2^53, or rounded
    pub(super) fn request(&self) -> Result<(TraceVolume, Hardware), Faults> {
        let mut flags = FlagReader::default();
        let rate: Option<EventRate> = flags.parsed(&self.rate, "a rate like 20000/s or 1.5M/h");
        let rows_per_second = rate.map_or(0.0, |rate| rate.per_second);
        let average: Option<EventRate> = self
            .average
            .as_ref()
            .and_then(|average| flags.parsed(average, "a rate like 20000/s or 1.5M/h"));
        let volume = TraceVolume {
            rows_per_second,
            average_rows_per_second: average.map_or(rows_per_second, |rate| rate.per_second),
            row_bytes: flags.size(&self.bytes, 1..=LARGEST_ROW) as f64,
            kept_seconds: flags
                .duration_within(&self.retain, Duration::from_secs(1)..=LONGEST)
                .as_secs_f64(),
        };
        let hardware = Hardware {
            postgres_cores: f64::from(flags.integer::<u32>(&self.cores, 1..=1_024)),
            daemon_cores: f64::from(flags.integer::<u32>(&self.daemon_cores, 1..=1_024)),
            disk_bytes: flags.size(&self.disk, 1_000_000_000..=LARGEST_DISK) as f64,
            share: f64::from(flags.integer::<u32>(&self.share, 1..=100)) / 100.0,
        };
        flags.finish((volume, hardware))
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the file of costs cannot be read, or stdout fails.
pub fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let (volume, hardware) = args.request()?;
    let costs = match &args.costs {
        None => MeasuredCosts::built_in(),
        Some(file) => {
            let name = || format!("--costs {}", file.display());
            let text = std::fs::read_to_string(file).with_context(name)?;
            MeasuredCosts::of_bench(&text).with_context(name)?
        }
    };
    let plan = CapacityPlan::new(volume, hardware, costs);
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&plan)?)
    } else {
        for_people(&plan)
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn for_people(plan: &CapacityPlan) -> String {
    let (volume, hardware, costs) = (&plan.volume, &plan.hardware, &plan.costs);
    let mut text = String::new();
    let per_database =
        |sum: f64| sum / f64::from(u32::try_from(plan.databases).unwrap_or(u32::MAX));
    let mut line = |what: &str, much: String, why: String| {
        let _ = writeln!(text, "{what:<22}{much:<18}{why}");
    };
    line(
        "Postgres, busy",
        cores(plan.postgres_busy_cores),
        format!("{} µs of a processor for a row", costs.postgres_us.round()),
    );
    line(
        "daemons, busy",
        cores(plan.daemon_busy_cores),
        format!("{} µs for a row", costs.daemon_us.round()),
    );
    line(
        "write-ahead log",
        format!("{}/s", bytes(plan.log_bytes_per_second)),
        format!(
            "{} for a row",
            bytes(volume.row_bytes + costs.log_overhead_bytes)
        ),
    );
    line(
        "tables and indexes",
        bytes(plan.stored_bytes),
        format!(
            "{} for a row, kept for {}",
            bytes(volume.row_bytes + costs.stored_overhead_bytes),
            time(volume.kept_seconds)
        ),
    );
    line(
        "databases",
        count(plan.databases),
        format!(
            "by processors {}, by disks {}: of {} cores and {}, of which {} % may be used",
            count(plan.databases_by_cores),
            count(plan.databases_by_disk),
            hardware.postgres_cores,
            bytes(hardware.disk_bytes),
            (hardware.share * 100.0).round()
        ),
    );
    line(
        "disks",
        count(plan.databases),
        format!("1 of {} for each database", bytes(hardware.disk_bytes)),
    );
    line(
        "slots",
        count(plan.slots_per_database),
        "in each database: with more, agent runs were written more slowly (docs/BENCHMARKS.md)"
            .to_owned(),
    );
    line(
        "daemons",
        count(plan.databases * plan.daemons_per_database),
        format!(
            "{} for each database, of {} cores",
            count(plan.daemons_per_database),
            hardware.daemon_cores
        ),
    );
    line(
        "each database",
        bytes(per_database(plan.stored_bytes)),
        format!(
            "and {}/s of write-ahead log",
            bytes(per_database(plan.log_bytes_per_second))
        ),
    );
    let _ = writeln!(
        text,
        "\nCosts: {}. They are taken to be the same on more processors.",
        costs.source
    );
    if plan.databases_by_disk > plan.databases_by_cores {
        let _ = writeln!(
            text,
            "Disks decide. With {} the same rows could be kept for {}.",
            databases(plan.databases_by_cores),
            time(plan.kept_seconds_by_cores)
        );
    }
    if plan.databases > 1 {
        let _ = writeln!(text, "{}", for_several(plan));
    }
    text
}

/// What to do if one database does not take it.
fn for_several(plan: &CapacityPlan) -> String {
    match plan.servers_of_one_store {
        Some(servers) => format!(
            "One database does not take this. One trace store over {servers} servers does: give --database-url {servers} times \
             (docs/SCALING.md). Their number cannot change later. Or keep rows for less time, or take larger machines."
        ),
        None => format!(
            "One database does not take this, and one trace store has at most {MOST_SERVERS} servers: divide it by tenant \
             (docs/SCALING.md), keep rows for less time, or take larger machines."
        ),
    }
}

fn cores(busy: f64) -> String {
    let digits = if busy < 1.0 { 2 } else { 1 };
    format!("{busy:.digits$} cores")
}

fn databases(number: u64) -> String {
    match number {
        1 => "1 database".to_owned(),
        more => format!("{} databases", count(more)),
    }
}

fn count(number: u64) -> String {
    super::count(number)
}

/// A number of bytes for people, in powers of 1000.
fn bytes(number: f64) -> String {
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let (mut number, mut unit) = (number, units.next().unwrap_or_default());
    for larger in units {
        if number < 999.5 {
            break;
        }
        (number, unit) = (number / 1_000.0, larger);
    }
    if number < 9.95 && unit != "B" {
        format!("{number:.1} {unit}")
    } else {
        format!("{number:.0} {unit}")
    }
}

/// A time for people, in its largest unit.
fn time(seconds: f64) -> String {
    let units = [
        (86_400.0, "days"),
        (3_600.0, "hours"),
        (60.0, "minutes"),
        (1.0, "seconds"),
    ];
    let fits = units.iter().find(|(length, _)| seconds >= *length * 2.0);
    let (length, unit) = fits.unwrap_or(&units[3]);
    format!("{:.0} {unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people read for this rate, with 1 kB rows of an hour.
    fn said(rows_per_second: f64) -> String {
        let volume = TraceVolume {
            rows_per_second,
            average_rows_per_second: rows_per_second,
            row_bytes: 1_000.0,
            kept_seconds: 3_600.0,
        };
        let hardware = Hardware {
            postgres_cores: 16.0,
            daemon_cores: 4.0,
            disk_bytes: 4e12,
            share: 0.6,
        };
        let costs = MeasuredCosts::built_in();
        for_people(&CapacityPlan::new(volume, hardware, costs))
    }

    #[test]
    fn what_one_database_does_not_take_several_servers_do_up_to_a_limit() {
        assert!(!said(1_000.0).contains("One database does not take this"));
        let six = said(2e6);
        assert!(
            six.contains("One trace store over 6 servers does: give --database-url 6 times"),
            "{six}"
        );
        let many = said(1e8);
        assert!(
            many.contains("at most 64 servers: divide it by tenant"),
            "{many}"
        );
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(bytes(900.0), "900 B");
        assert_eq!(bytes(1_064.0), "1.1 kB");
        assert_eq!(bytes(2.248e9), "2.2 GB");
        assert_eq!(bytes(5.5e15), "5.5 PB");
        assert_eq!(bytes(999_600.0), "1.0 MB");
        assert_eq!(time(30.0 * 86_400.0), "30 days");
        assert_eq!(time(6_768.0), "113 minutes");
        assert_eq!(time(1.0), "1 seconds");
    }
}
