//! What was measured: the shape of `--json`, from which table and report are made.

use serde::Serialize;

use super::process::Cpu;
use super::workload::Kind;

/// All of a benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How to measure it again.
    pub command: String,
    /// When, RFC 3339.
    pub at: String,
    /// Where.
    pub machine: Machine,
    /// The daemon's version.
    pub runtraced: String,
    /// Postgres' version and settings, as it says them.
    pub postgres: Vec<(String, String)>,
    /// Connections to Postgres, of the daemon and of the direct COPY alike.
    pub connections: usize,
    /// Streams of the client.
    pub streams: usize,
    /// Events of a request under full load.
    pub request_events: usize,
    /// Rounds that were counted.
    pub rounds: usize,
    /// What decides the content.
    pub seed: u64,
    /// By workload.
    pub workloads: Vec<WorkloadFigures>,
    /// How the rates change with one setting.
    pub scaling: Vec<Scaling>,
    /// How the rates change with what is in the tables.
    pub growth: Vec<Growth>,
}

/// The machine.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    /// The load average of the last minute before the first round: other work spoils figures.
    pub load_before: f64,
}

/// One workload.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadFigures {
    /// Which.
    pub kind: Kind,
    /// What it is.
    pub about: &'static str,
    /// Events sent.
    pub events: u64,
    /// Rows they become.
    pub rows: u64,
    /// Average bytes of a row in COPY's binary format.
    pub row_bytes: f64,
    /// Direct COPY by rows of a transaction; the best is used in the rounds.
    pub sweep: Vec<(usize, f64)>,
    /// Rows of a direct transaction in the rounds.
    pub copy_rows: usize,
    /// Both ways, alternating.
    pub rounds: Vec<Round>,
    /// Everything delivered a second time.
    pub duplicates: Vec<Duplicates>,
    /// Waits for acks.
    pub latency: Option<Latency>,
    /// Over all of it.
    pub peak_daemon_bytes: u64,
    /// Rows counted in SQL after each delivery and each copy, both ways.
    pub counted: Counted,
    /// Rows a second over the time of the last delivery, by tenths of a second.
    pub timeline: Vec<(f64, f64)>,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Rows made durable.
    pub rows: u64,
    /// In so many seconds.
    pub seconds: f64,
    /// Of all involved.
    pub cpu: Cpu,
    /// Bytes of write-ahead log.
    pub wal_bytes: f64,
}

/// The same rows, both ways.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Round {
    pub direct: Sample,
    pub through: Sample,
    /// Waits for acks under full load, in ms.
    pub full_load_ack: Waits,
}

/// A second delivery of everything.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Duplicates {
    pub events_per_second: f64,
    /// Beside the first delivery, which came just before.
    pub of_first: f64,
}

/// Waits in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Waits {
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

/// Waits for acks at fixed rates, counted from when a request was due.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Single-row transactions over a plain connection.
    pub single_commit: Waits,
    /// By share of the greatest rate.
    pub at: Vec<LatencyAt>,
}

/// At one rate.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct LatencyAt {
    /// Share of the median rate of the rounds.
    pub share: f64,
    pub events_per_second: f64,
    pub request_events: usize,
    pub seconds: f64,
    pub waits: Waits,
    /// The distribution: share of requests that waited no longer than so many ms.
    pub distribution: Vec<(f64, f64)>,
}

/// What was checked.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Counted {
    /// Rows by table.
    pub rows: Vec<(String, u64)>,
    /// How often they were counted and found complete.
    pub times: usize,
    /// How often the whole content was compared and found equal.
    pub compared: usize,
}

/// One setting, several values.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Scaling {
    pub kind: Kind,
    pub what: String,
    /// Value, rows a second direct (where it means something there), through the daemon.
    pub points: Vec<(f64, Option<f64>, f64)>,
}

/// Rates into tables that hold much already.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Growth {
    pub ids: String,
    pub steps_before: u64,
    pub empty_rows_per_second: f64,
    pub grown_rows_per_second: f64,
}

impl Sample {
    /// The rate.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    /// Microseconds a row of so many CPU seconds.
    #[must_use]
    pub fn micros(&self, cpu_seconds: f64) -> f64 {
        cpu_seconds * 1e6 / self.rows as f64
    }
}

impl Round {
    /// Through the daemon beside direct.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.through.rows_per_second() / self.direct.rows_per_second()
    }
}

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    /// Of values; zeros of none.
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
}

impl WorkloadFigures {
    /// Over the rounds.
    pub fn spread(&self, of: impl Fn(&Round) -> f64) -> Spread {
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
