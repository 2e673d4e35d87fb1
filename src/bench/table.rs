//! The figures as text tables, and the wording that all reports share.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::figures::{BenchReport, Spread, WorkloadFigures};
use crate::console::output::thousands;

/// One row of a workload's table.
#[derive(Clone, Debug)]
pub struct FigureRow {
    /// Name and unit of the figure.
    pub label: String,
    /// Median, minimum and maximum; all equal for a single value.
    pub spread: Spread,
    /// Digits after the decimal point.
    pub digits: usize,
}

fn row(label: impl Into<String>, digits: usize, spread: Spread) -> FigureRow {
    FigureRow {
        label: label.into(),
        spread,
        digits,
    }
}

fn single(value: f64) -> Spread {
    Spread::of([value])
}

/// All rows of a workload's table.
#[must_use]
pub fn figure_rows(w: &WorkloadFigures) -> Vec<FigureRow> {
    let mut rows = vec![
        row(
            "plain COPY, rows/s",
            0,
            w.spread(|r| r.direct.rows_per_second()),
        ),
        row(
            "through runtraced, rows/s",
            0,
            w.spread(|r| r.through.rows_per_second()),
        ),
        row(
            "runtraced / plain COPY",
            2,
            w.spread(super::figures::RoundFigures::ratio),
        ),
        row(
            "duplicates: rate relative to the first delivery",
            2,
            Spread::of(w.duplicates.iter().map(|d| d.of_first)),
        ),
        row(
            "Postgres CPU, plain COPY, µs/row",
            2,
            w.spread(|r| r.direct.micros_per_row(r.direct.cpu.postgres)),
        ),
        row(
            "Postgres CPU, through runtraced, µs/row",
            2,
            w.spread(|r| r.through.micros_per_row(r.through.cpu.postgres)),
        ),
        row(
            "daemon CPU, µs/row",
            2,
            w.spread(|r| r.through.micros_per_row(r.through.cpu.daemon)),
        ),
        row(
            "client CPU, µs/row",
            2,
            w.spread(|r| r.through.micros_per_row(r.through.cpu.client)),
        ),
        row(
            "daemon CPU / Postgres CPU",
            2,
            w.spread(|r| r.through.cpu.daemon / r.through.cpu.postgres),
        ),
        row(
            "WAL, plain COPY, bytes/row",
            0,
            w.spread(|r| r.direct.wal_bytes / r.direct.rows as f64),
        ),
        row(
            "WAL, through runtraced, bytes/row",
            0,
            w.spread(|r| r.through.wal_bytes / r.through.rows as f64),
        ),
        row(
            "daemon peak memory, MB",
            0,
            single(w.peak_daemon_bytes as f64 / 1e6),
        ),
        row(
            "ack under full load, p50, ms",
            1,
            w.spread(|r| r.full_load_ack.p50),
        ),
        row(
            "ack under full load, p99, ms",
            1,
            w.spread(|r| r.full_load_ack.p99),
        ),
    ];
    if let Some(latency) = &w.latency {
        rows.push(row(
            "single durable commit, p50, ms",
            2,
            single(latency.single_commit.p50),
        ));
        for at in &latency.at {
            let waits = [
                ("p50", at.waits.p50),
                ("p99", at.waits.p99),
                ("p99.9", at.waits.p99_9),
                ("max", at.waits.max),
            ];
            let percent = at.share * 100.0;
            rows.extend(waits.map(|(quantile, ms)| {
                let label = format!("ack at {percent:.0} % of the rate, {quantile}, ms");
                row(label, 2, single(ms))
            }));
        }
    }
    rows
}

/// A number with `digits` digits after the decimal point. Integers have thousands separators.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    if digits == 0 {
        thousands(value.round() as i64)
    } else {
        format!("{value:.digits$}")
    }
}

/// The whole report for a terminal.
#[must_use]
pub fn text(report: &BenchReport) -> String {
    let mut text = format!("{}\n", environment(report));
    for w in &report.workloads {
        let mut table = Table::new();
        let line = LineStyle::new('─', '─', '─', '─');
        table.load_style(TableStyle::new().header_separator(line));
        table.set_header([w.kind.name(), "median", "min", "max"]);
        for row in figure_rows(w) {
            let Spread {
                median,
                least,
                greatest,
            } = row.spread;
            let figures = [median, least, greatest].map(|value| number(value, row.digits));
            let single = least.total_cmp(&greatest).is_eq();
            let [median, least, greatest] = figures;
            let (least, greatest) = if single {
                Default::default()
            } else {
                (least, greatest)
            };
            table.add_row([row.label, median, least, greatest]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        text.push_str(&format!(
            "\n{}\n{table}\n{}\n",
            workload_summary(w),
            check_summary(w)
        ));
    }
    for line in scaling_and_growth(report) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// Versions, settings and machine of the measurement, in one line.
#[must_use]
pub fn environment(report: &BenchReport) -> String {
    let machine = &report.machine;
    let setting = |name: &str| {
        let found = report.postgres.iter().find(|(setting, _)| setting == name);
        found.map_or("?", |(_, value)| value.as_str())
    };
    format!(
        "runtraced {}, PostgreSQL {}, fsync {}, synchronous_commit {}; {} cores ({}), {:.0} GiB; \
         {} connections to Postgres, {} streams, {} events per request, seed {}; load average before the run: {:.2}",
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

/// Describes a workload and its size.
#[must_use]
pub fn workload_summary(w: &WorkloadFigures) -> String {
    let count = |count: u64| thousands(i64::try_from(count).unwrap_or(i64::MAX));
    format!(
        "{}: {}. {} events become {} rows of {:.0} bytes. Plain COPY writes {} rows per transaction.",
        w.kind.name(),
        w.about,
        count(w.events),
        count(w.rows),
        w.row_bytes,
        count(w.copy_rows as u64),
    )
}

/// Describes the checks of a workload.
#[must_use]
pub fn check_summary(w: &WorkloadFigures) -> String {
    format!(
        "SQL counts of all rows: {} checks, all complete. Comparisons of the whole content: {}, all equal.",
        w.counted.times, w.counted.compared
    )
}

/// One line for each measured value of a setting, and for each filling of the tables.
#[must_use]
pub fn scaling_and_growth(report: &BenchReport) -> Vec<String> {
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
            "with {} steps in the tables ({} ids): {} rows/s, {:.2} times the {} rows/s into empty tables",
            number(growth.steps_before as f64, 0),
            growth.ids,
            number(growth.grown_rows_per_second, 0),
            growth.grown_rows_per_second / growth.empty_rows_per_second,
            number(growth.empty_rows_per_second, 0)
        ));
    }
    lines
}
