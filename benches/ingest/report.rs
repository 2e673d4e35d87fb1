//! The figures: medians and spread over the rounds.

use std::fmt;
use std::time::Duration;

use crate::Args;
use crate::cpu::Cpu;

pub struct Sample {
    pub rows: usize,
    pub rows_per_second: f64,
    pub cpu: Cpu,
    pub ack_p50_ms: f64,
    pub ack_p99_ms: f64,
}

impl Sample {
    pub fn new(rows: usize, elapsed: Duration, cpu: Cpu, mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        let rank = |share: f64| {
            let at = (waits.len() as f64 * share) as usize;
            waits
                .get(at.min(waits.len().saturating_sub(1)))
                .map_or(0.0, |w| w.as_secs_f64() * 1e3)
        };
        Self {
            rows,
            rows_per_second: rows as f64 / elapsed.as_secs_f64(),
            cpu,
            ack_p50_ms: rank(0.5),
            ack_p99_ms: rank(0.99),
        }
    }

    fn micros_per_row(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.rows as f64
    }
}

pub struct Round {
    pub direct: Sample,
    pub through: Sample,
}

impl Round {
    pub fn ratio(&self) -> f64 {
        self.through.rows_per_second / self.direct.rows_per_second
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "direct {:>7.0} rows/s, through runtraced {:>7.0} rows/s, ratio {:.2}",
            self.direct.rows_per_second,
            self.through.rows_per_second,
            self.ratio()
        )
    }
}

/// Median, least and greatest.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [
        values[values.len() / 2],
        values[0],
        values[values.len() - 1],
    ]
}

type Figure = (&'static str, [f64; 3]);

fn figures(rounds: &[Round]) -> Vec<Figure> {
    let of = |value: &dyn Fn(&Round) -> f64| spread(rounds.iter().map(value));
    vec![
        ("direct COPY, rows/s", of(&|r| r.direct.rows_per_second)),
        (
            "through runtraced, rows/s",
            of(&|r| r.through.rows_per_second),
        ),
        ("ratio", of(&Round::ratio)),
        (
            "Postgres CPU, direct, us/row",
            of(&|r| r.direct.micros_per_row(r.direct.cpu.postgres)),
        ),
        (
            "Postgres CPU, through, us/row",
            of(&|r| r.through.micros_per_row(r.through.cpu.postgres)),
        ),
        (
            "daemon CPU, us/row",
            of(&|r| r.through.micros_per_row(r.through.cpu.daemon)),
        ),
        (
            "client CPU, us/row",
            of(&|r| r.through.micros_per_row(r.through.cpu.client)),
        ),
        (
            "ack latency at full load, p50, ms",
            of(&|r| r.through.ack_p50_ms),
        ),
        (
            "ack latency at full load, p99, ms",
            of(&|r| r.through.ack_p99_ms),
        ),
    ]
}

pub fn print(args: &Args, rounds: &[Round], postgres: u32) {
    println!(
        "\nPostgreSQL {postgres}, {} connections, {} steps of 920 bytes in runs of 20, {} rounds",
        args.connections, args.steps, args.rounds
    );
    println!(
        "{:<36} {:>10} {:>10} {:>10}",
        "", "median", "least", "greatest"
    );
    for (name, [median, least, greatest]) in figures(rounds) {
        println!("{name:<36} {median:>10.2} {least:>10.2} {greatest:>10.2}");
    }
}

pub fn json(args: &Args, rounds: &[Round], postgres: u32) -> String {
    let figures: serde_json::Map<String, serde_json::Value> = figures(rounds)
        .into_iter()
        .map(|(name, [median, least, greatest])| {
            (
                name.to_owned(),
                serde_json::json!({"median": median, "least": least, "greatest": greatest}),
            )
        })
        .collect();
    let settings = serde_json::json!({
        "postgres": postgres, "connections": args.connections, "steps": args.steps,
        "rounds": args.rounds, "copy_rows": args.copy_rows,
    });
    serde_json::json!({"settings": settings, "figures": figures}).to_string()
}
