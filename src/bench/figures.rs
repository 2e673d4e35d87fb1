//! The results of a benchmark. They define the JSON of `--json`; all other outputs are made
//! from them.

use serde::Serialize;

use super::process::CpuSeconds;
use super::workload::WorkloadKind;

/// The results of one benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// The command line that repeats the benchmark.
    pub command: String,
    /// The time of the benchmark, RFC 3339.
    pub at: String,
    /// The machine of the benchmark.
    pub machine: Machine,
    /// The daemon's version.
    pub runtraced: String,
    /// Postgres' version and its settings that affect writes, by name.
    pub postgres: Vec<(String, String)>,
    /// Connections to Postgres, for the daemon and for plain COPY alike.
    pub connections: usize,
    /// Streams of the client.
    pub streams: usize,
    /// Events per request under full load.
    pub request_events: usize,
    /// Rounds, without the warm-up.
    pub rounds: usize,
    /// Seed of all generated content.
    pub seed: u64,
    /// Results by workload.
    pub workloads: Vec<WorkloadFigures>,
    /// Rates by the value of one setting (`--full`).
    pub scaling: Vec<ScalingFigures>,
    /// Rates by the number of rows already in the tables (`--grow-to`).
    pub growth: Vec<GrowthFigures>,
}

/// Hardware, kernel and load of the machine.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    /// Load average over the minute before the first round. Other load distorts the figures.
    pub load_before: f64,
}

/// The results of one workload.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadFigures {
    /// The workload.
    pub kind: WorkloadKind,
    /// Description of the workload.
    pub about: &'static str,
    /// Events sent.
    pub events: u64,
    /// Rows that the events become.
    pub rows: u64,
    /// Average size of a row in COPY's binary format, in bytes.
    pub row_bytes: f64,
    /// Plain COPY: rows per transaction, and rows per second. The rounds use the fastest size.
    pub sweep: Vec<(usize, f64)>,
    /// Plain COPY: rows per transaction in the rounds.
    pub copy_rows: usize,
    /// One result per round.
    pub rounds: Vec<RoundFigures>,
    /// The second delivery of each round: every event is a duplicate.
    pub duplicates: Vec<Redelivery>,
    /// Ack latency at fixed rates; `None`: not measured.
    pub latency: Option<LatencyFigures>,
    /// Largest resident memory of the daemon over the whole workload, in bytes.
    pub peak_daemon_bytes: u64,
    /// The checks made in SQL after each delivery and each copy.
    pub counted: RowChecks,
    /// The first delivery of the last round over time: seconds, and rows per second in the
    /// tenth of a second that begins there.
    pub timeline: Vec<(f64, f64)>,
}

/// Cost of writing all rows of a workload once.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measurement {
    /// Rows that became durable.
    pub rows: u64,
    /// Elapsed seconds.
    pub seconds: f64,
    /// CPU time of client, daemon and Postgres.
    pub cpu: CpuSeconds,
    /// Bytes of write-ahead log written.
    pub wal_bytes: f64,
}

/// One round: the same rows with plain COPY (`direct`) and through runtraced (`through`).
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct RoundFigures {
    pub direct: Measurement,
    pub through: Measurement,
    /// Ack latency under full load.
    pub full_load_ack: WaitQuantiles,
}

/// A delivery of the same events again, all of which are duplicates.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Redelivery {
    pub events_per_second: f64,
    /// Rate relative to the first delivery of the same round.
    pub of_first: f64,
}

/// Quantiles of waits, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct WaitQuantiles {
    pub count: u64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

/// Ack latency at fixed rates. Each wait counts from when the request was due.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyFigures {
    /// Durations of single-row transactions over a plain connection.
    pub single_commit: WaitQuantiles,
    /// Ack latency by rate.
    pub at: Vec<LatencyAtRate>,
}

/// Ack latency at one rate.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct LatencyAtRate {
    /// Fraction of the median rate of the rounds.
    pub share: f64,
    pub events_per_second: f64,
    pub request_events: usize,
    pub seconds: f64,
    pub waits: WaitQuantiles,
    /// Points of the distribution: quantile, and wait in ms.
    pub distribution: Vec<(f64, f64)>,
}

/// The checks of a workload's rows.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct RowChecks {
    /// Rows by table.
    pub rows: Vec<(String, u64)>,
    /// How often the rows were counted and complete.
    pub times: usize,
    /// How often the whole content was compared and equal.
    pub compared: usize,
}

/// Rates by the value of one setting.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ScalingFigures {
    pub kind: WorkloadKind,
    pub what: String,
    /// The value; rows per second of plain COPY, if the setting applies to it; rows per second
    /// through runtraced.
    pub points: Vec<(f64, Option<f64>, f64)>,
}

/// Rates into empty tables and into tables that hold many rows.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct GrowthFigures {
    pub ids: String,
    pub steps_before: u64,
    pub empty_rows_per_second: f64,
    pub grown_rows_per_second: f64,
}

impl Measurement {
    /// Rows per second.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    /// Converts CPU seconds to microseconds per row.
    #[must_use]
    pub fn micros_per_row(&self, cpu_seconds: f64) -> f64 {
        cpu_seconds * 1e6 / self.rows as f64
    }
}

impl RoundFigures {
    /// The rate through runtraced divided by that of plain COPY.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.through.rows_per_second() / self.direct.rows_per_second()
    }
}

/// Median, minimum and maximum of a figure over the rounds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    /// The spread of `values`; all zeros without values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&least), Some(&greatest)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self {
            median,
            least,
            greatest,
        }
    }

    /// As `median (least to greatest)`, with so many digits behind the point.
    #[must_use]
    pub fn text(&self, digits: usize) -> String {
        format!(
            "{:.digits$} ({:.digits$} to {:.digits$})",
            self.median, self.least, self.greatest
        )
    }
}

impl WorkloadFigures {
    /// The spread of one figure over the rounds.
    pub fn spread(&self, of: impl Fn(&RoundFigures) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0]).median, 2.0);
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!(
            (spread.least, spread.median, spread.greatest),
            (1.0, 2.5, 4.0)
        );
        assert_eq!(Spread::of([]).median, 0.0);
    }
}
