//! The figures as a table, for terminals.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::figures::{Report, Spread, WorkloadFigures};
use crate::console::output::thousands;

/// One line of figures.
#[derive(Clone, Debug)]
pub struct Line {
    /// What.
    pub what: &'static str,
    /// Median and spread, or one figure.
    pub spread: Spread,
    /// Digits after the point.
    pub digits: usize,
}

fn line(what: &'static str, digits: usize, spread: Spread) -> Line {
    Line {
        what,
        spread,
        digits,
    }
}

fn one(value: f64) -> Spread {
    Spread::of([value])
}

/// All lines of a workload.
#[must_use]
pub fn lines(w: &WorkloadFigures) -> Vec<Line> {
    let mut lines = vec![
        line(
            "plain COPY, rows/s",
            0,
            w.spread(|r| r.direct.rows_per_second()),
        ),
        line(
            "through runtraced, rows/s",
            0,
            w.spread(|r| r.through.rows_per_second()),
        ),
        line(
            "ratio of the two",
            2,
            w.spread(super::figures::Round::ratio),
        ),
        line(
            "duplicates: rate beside the first delivery's",
            2,
            Spread::of(w.duplicates.iter().map(|d| d.of_first)),
        ),
        line(
            "CPU of Postgres, plain COPY, µs/row",
            2,
            w.spread(|r| r.direct.micros(r.direct.cpu.postgres)),
        ),
        line(
            "CPU of Postgres, through runtraced, µs/row",
            2,
            w.spread(|r| r.through.micros(r.through.cpu.postgres)),
        ),
        line(
            "CPU of the daemon, µs/row",
            2,
            w.spread(|r| r.through.micros(r.through.cpu.daemon)),
        ),
        line(
            "CPU of the client, µs/row",
            2,
            w.spread(|r| r.through.micros(r.through.cpu.client)),
        ),
        line(
            "daemon's CPU beside Postgres'",
            2,
            w.spread(|r| r.through.cpu.daemon / r.through.cpu.postgres),
        ),
        line(
            "WAL, plain COPY, bytes/row",
            0,
            w.spread(|r| r.direct.wal_bytes / r.direct.rows as f64),
        ),
        line(
            "WAL, through runtraced, bytes/row",
            0,
            w.spread(|r| r.through.wal_bytes / r.through.rows as f64),
        ),
        line(
            "peak memory of the daemon, MB",
            0,
            one(w.peak_daemon_bytes as f64 / 1e6),
        ),
        line(
            "ack under full load, p50, ms",
            1,
            w.spread(|r| r.full_load_ack.p50),
        ),
        line(
            "ack under full load, p99, ms",
            1,
            w.spread(|r| r.full_load_ack.p99),
        ),
    ];
    if let Some(latency) = &w.latency {
        lines.push(line(
            "single durable commit, p50, ms",
            2,
            one(latency.single_commit.p50),
        ));
        for at in &latency.at {
            let names = if at.share < 0.5 {
                [
                    "ack at a tenth of the rate, p50, ms",
                    "ack at a tenth of the rate, p99, ms",
                    "ack at a tenth of the rate, p99.9, ms",
                    "ack at a tenth of the rate, greatest, ms",
                ]
            } else {
                [
                    "ack at 80 % of the rate, p50, ms",
                    "ack at 80 % of the rate, p99, ms",
                    "ack at 80 % of the rate, p99.9, ms",
                    "ack at 80 % of the rate, greatest, ms",
                ]
            };
            let waits = [at.waits.p50, at.waits.p99, at.waits.p99_9, at.waits.max];
            lines.extend(
                names
                    .into_iter()
                    .zip(waits)
                    .map(|(name, ms)| line(name, 2, one(ms))),
            );
        }
    }
    lines
}

/// A number with so many digits after the point, thousands apart.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    if digits == 0 {
        thousands(value.round() as i64)
    } else {
        format!("{value:.digits$}")
    }
}

/// All of it.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = format!("{}\n", heading(report));
    for w in &report.workloads {
        let mut table = Table::new();
        let line = LineStyle::new('─', '─', '─', '─');
        table.load_style(TableStyle::new().header_separator(line));
        table.set_header([w.kind.name(), "median", "least", "greatest"]);
        for line in lines(w) {
            let Spread {
                median,
                least,
                greatest,
            } = line.spread;
            let figures = [median, least, greatest].map(|value| number(value, line.digits));
            let single = least.total_cmp(&greatest).is_eq();
            let [median, least, greatest] = figures;
            let (least, greatest) = if single {
                Default::default()
            } else {
                (least, greatest)
            };
            table.add_row([line.what.to_owned(), median, least, greatest]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        text.push_str(&format!("\n{}\n{table}\n{}\n", about(w), checked(w)));
    }
    for line in further(report) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// What was measured where.
#[must_use]
pub fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let setting = |name: &str| {
        let found = report.postgres.iter().find(|(setting, _)| setting == name);
        found.map_or("?", |(_, value)| value.as_str())
    };
    format!(
        "runtraced {}, PostgreSQL {}, fsync {}, synchronous_commit {}; {} cores ({}), {:.0} GiB; \
         {} connections to Postgres, {} streams, requests of {} events, seed {}; load average before: {:.2}",
        report.runtraced,
        setting("server_version"),
        setting("fsync"),
        setting("synchronous_commit"),
        machine.cores,
        machine.cpu,
        machine.memory_gib,
        report.connections,
        report.streams,
        report.request_events,
        report.seed,
        machine.load_before,
    )
}

/// What a workload is.
#[must_use]
pub fn about(w: &WorkloadFigures) -> String {
    let count = |count: u64| thousands(i64::try_from(count).unwrap_or(i64::MAX));
    format!(
        "{}: {}. {} events become {} rows of {:.0} bytes; plain COPY takes {} rows a transaction.",
        w.kind.name(),
        w.about,
        count(w.events),
        count(w.rows),
        w.row_bytes,
        count(w.copy_rows as u64),
    )
}

/// What was checked.
#[must_use]
pub fn checked(w: &WorkloadFigures) -> String {
    format!(
        "Rows counted in SQL {} times and complete each time; whole content compared {} times and equal.",
        w.counted.times, w.counted.compared
    )
}

/// Scaling and growth, a line each.
#[must_use]
pub fn further(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for scaling in &report.scaling {
        for (value, direct, through) in &scaling.points {
            let direct = direct.map_or(String::new(), |rate| {
                format!(", plain COPY {} rows/s", number(rate, 0))
            });
            lines.push(format!(
                "{}, {} = {}: through runtraced {} rows/s{direct}",
                scaling.kind.name(),
                scaling.what,
                number(*value, 0),
                number(*through, 0)
            ));
        }
    }
    for growth in &report.growth {
        lines.push(format!(
            "beside {} steps with {} ids: {} rows/s, {:.2} of the {} into empty tables",
            number(growth.steps_before as f64, 0),
            growth.ids,
            number(growth.grown_rows_per_second, 0),
            growth.grown_rows_per_second / growth.empty_rows_per_second,
            number(growth.empty_rows_per_second, 0)
        ));
    }
    lines
}
