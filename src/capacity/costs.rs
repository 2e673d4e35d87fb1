//! What a row costs, as measured.

use serde::{Deserialize, Serialize};

/// The costs of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredCosts {
    /// Where they are from.
    pub source: String,
    /// Processor time of Postgres, in microseconds.
    pub postgres_us: f64,
    /// Processor time of the daemon, in microseconds.
    pub daemon_us: f64,
    /// Bytes of write-ahead log beside the content.
    pub log_overhead_bytes: f64,
    /// Bytes in tables and indexes beside the content.
    pub stored_overhead_bytes: f64,
}

/// Bytes in tables and indexes beside the content: 100,098 rows of `agent` with 711 bytes each take 87,564,288 bytes.
const STORED_OVERHEAD_BYTES: f64 = 164.0;

/// Why a file has no costs.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages explain the variants
pub enum UnreadCosts {
    #[error("is not what `runtraced bench --json` writes: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("has no round that wrote rows; run `runtraced bench` again")]
    Empty,
}

/// The part of a benchmark's JSON that matters here.
#[derive(Deserialize)]
struct BenchJson {
    command: String,
    at: String,
    workloads: Vec<WorkloadJson>,
}

#[derive(Deserialize)]
struct WorkloadJson {
    kind: String,
    row_bytes: f64,
    rounds: Vec<RoundJson>,
}

#[derive(Deserialize)]
struct RoundJson {
    through: DeliveryJson,
}

#[derive(Deserialize)]
struct DeliveryJson {
    rows: f64,
    cpu: ProcessorJson,
    wal_bytes: f64,
}

#[derive(Deserialize)]
struct ProcessorJson {
    daemon: f64,
    postgres: f64,
}

impl MeasuredCosts {
    /// Those of the workload `agent` in docs/BENCHMARKS.md.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            source:
                "docs/BENCHMARKS.md, agent, 2026-11-27, PostgreSQL 15 on 2 cores of an AMD EPYC"
                    .to_owned(),
            postgres_us: 27.35,
            daemon_us: 4.98,
            log_overhead_bytes: 224.0,
            stored_overhead_bytes: STORED_OVERHEAD_BYTES,
        }
    }

    /// Those that `runtraced bench --json` measured: of `agent`, or else of its first workload. Each is the median of the rounds.
    /// What tables and indexes take is built in: the benchmark does not measure it.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn of_bench(json: &str) -> Result<Self, UnreadCosts> {
        let bench: BenchJson = serde_json::from_str(json)?;
        let mut workloads = bench.workloads.iter();
        let agent = workloads.clone().find(|one| one.kind == "agent");
        let workload = agent
            .or_else(|| workloads.next())
            .ok_or(UnreadCosts::Empty)?;
        let of_row = |cost: fn(&DeliveryJson) -> f64| {
            let rounds = workload.rounds.iter().map(|round| &round.through);
            median(
                rounds
                    .filter(|round| round.rows > 0.0)
                    .map(|round| cost(round) / round.rows),
            )
        };
        let micros = 1_000_000.0;
        Ok(Self {
            source: format!("{}, {}: {}", workload.kind, bench.at, bench.command),
            postgres_us: of_row(|round| round.cpu.postgres).ok_or(UnreadCosts::Empty)? * micros,
            daemon_us: of_row(|round| round.cpu.daemon).ok_or(UnreadCosts::Empty)? * micros,
            log_overhead_bytes: of_row(|round| round.wal_bytes).ok_or(UnreadCosts::Empty)?
                - workload.row_bytes,
            stored_overhead_bytes: STORED_OVERHEAD_BYTES,
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_the_medians_of_a_benchmark() {
        let round = |rows: u32, postgres: f64| {
            serde_json::json!({"through": {"rows": rows, "seconds": 1.0, "wal_bytes": f64::from(rows) * 1_000.0,
                "cpu": {"client": 9.0, "daemon": 2.0, "postgres": postgres}}})
        };
        let bench = serde_json::json!({"command": "runtraced bench", "at": "today", "workloads": [
            {"kind": "steps", "row_bytes": 900.0, "rounds": []},
            {"kind": "agent", "row_bytes": 700.0, "rounds": [round(100_000, 3.0), round(100_000, 1.0), round(100_000, 2.0)]},
        ]});
        let costs = MeasuredCosts::of_bench(&bench.to_string()).unwrap();
        assert!((costs.postgres_us - 20.0).abs() < 1e-9, "{costs:?}");
        assert!((costs.daemon_us - 20.0).abs() < 1e-9, "{costs:?}");
        assert!((costs.log_overhead_bytes - 300.0).abs() < 1e-9, "{costs:?}");
        assert_eq!(costs.source, "agent, today: runtraced bench");
    }

    #[test]
    fn what_is_no_benchmark_is_refused() {
        let malformed = MeasuredCosts::of_bench("{}").unwrap_err();
        assert!(malformed.to_string().contains("is not what"), "{malformed}");
        let empty = r#"{"command": "", "at": "", "workloads": [{"kind": "agent", "row_bytes": 1, "rounds": []}]}"#;
        let empty = MeasuredCosts::of_bench(empty).unwrap_err();
        assert!(empty.to_string().contains("no round"), "{empty}");
    }
}
