//! The figures as a self-contained HTML page with tables and plots.

use super::figures::{BenchReport, Spread, WorkloadFigures};
use super::svg::{AxisScale, PlotAxis, PlotSeries, escaped, lines, stacked_bars};
use super::table::{self, number};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#1c1e21}\
h1{font-size:1.6em}h2{margin-top:2em;border-bottom:1px solid #ccc}h3{font-size:1em;margin:.2em 0}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd}\
td:not(:first-child),th:not(:first-child){text-align:right;font-variant-numeric:tabular-nums}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:1.5em}\
svg{width:100%;font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#e3e3e3}.title{fill:#555}\
.legend span{margin-right:1.2em}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}\
.legend{margin:.2em 0}code{background:#f3f3f3;padding:.1em .3em}";

/// Values of a setting beyond this spread over powers of ten: plot them on a logarithmic axis.
const LARGEST_LINEAR_VALUE: f64 = 50.0;

/// The whole page.
#[must_use]
pub fn page(report: &BenchReport) -> String {
    let mut body = format!(
        "<h1>runtraced compared with plain COPY</h1><p>{}</p><p>Measured {} with <code>{}</code>, kernel {}.</p>",
        escaped(&table::environment(report)),
        escaped(&report.at),
        escaped(&report.command),
        escaped(&report.machine.kernel)
    );
    body.push_str(&overview(report));
    for w in &report.workloads {
        body.push_str(&workload(w));
    }
    body.push_str(&scaling(report));
    let settings: String = report
        .postgres
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><td>{}</td><td>{}</td></tr>",
                escaped(name),
                escaped(value)
            )
        })
        .collect();
    body.push_str(&format!("<h2>Postgres</h2><table>{settings}</table>"));
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>runtraced bench</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style><body>{body}</body></html>\n"
    )
}

/// Compares all workloads: CPU per row, and rates by the size of a row.
fn overview(report: &BenchReport) -> String {
    let mut bars = Vec::new();
    let mut by_row_size = Vec::new();
    for w in &report.workloads {
        let direct = w
            .spread(|r| r.direct.micros_per_row(r.direct.cpu.postgres))
            .median;
        let client = w
            .spread(|r| r.direct.micros_per_row(r.direct.cpu.client))
            .median;
        bars.push((
            format!("{}, plain COPY", w.kind.name()),
            vec![direct, 0.0, client],
        ));
        let of = |cpu: fn(&super::process::CpuSeconds) -> f64| {
            w.spread(|r| r.through.micros_per_row(cpu(&r.through.cpu)))
                .median
        };
        let parts = vec![of(|c| c.postgres), of(|c| c.daemon), of(|c| c.client)];
        bars.push((format!("{}, runtraced", w.kind.name()), parts));
        by_row_size.push(w);
    }
    by_row_size.sort_by(|a, b| a.row_bytes.total_cmp(&b.row_bytes));
    let curve = |of: fn(&WorkloadFigures) -> f64| {
        by_row_size
            .iter()
            .map(|w| (w.row_bytes, of(w)))
            .collect::<Vec<_>>()
    };
    let mut plots = figure(
        "CPU per row",
        &stacked_bars(&["Postgres", "daemon", "client"], &bars, "µs"),
    );
    // With fewer points, a line over the size of a row means nothing.
    if by_row_size.len() > 2 {
        let all = [
            series(
                "plain COPY",
                curve(|w| w.spread(|r| r.direct.rows_per_second()).median),
            ),
            series(
                "through runtraced",
                curve(|w| w.spread(|r| r.through.rows_per_second()).median),
            ),
        ];
        let x = PlotAxis::new("bytes per row", AxisScale::Log);
        plots.push_str(&figure(
            "Rate by row size",
            &lines(&x, &PlotAxis::new("rows/s", AxisScale::Log), &all),
        ));
    }
    format!("<div class=\"plots\">{plots}</div>")
}

fn workload(w: &WorkloadFigures) -> String {
    let mut rows = String::from("<tr><th></th><th>median</th><th>min</th><th>max</th></tr>");
    for line in table::figure_rows(w) {
        let Spread {
            median,
            least,
            greatest,
        } = line.spread;
        let cell = |value: f64| number(value, line.digits);
        let single = least.total_cmp(&greatest).is_eq();
        let rest = if single {
            "<td></td><td></td>".to_owned()
        } else {
            format!("<td>{}</td><td>{}</td>", cell(least), cell(greatest))
        };
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}</td>{rest}</tr>",
            line.label,
            cell(median)
        ));
    }
    format!(
        "<h2>{}</h2><p>{} {}</p><table>{rows}</table><div class=\"plots\">{}</div>",
        w.kind.name(),
        escaped(&table::workload_summary(w)),
        table::check_summary(w),
        plots(w)
    )
}

fn plots(w: &WorkloadFigures) -> String {
    let rounds = |of: &dyn Fn(&super::figures::RoundFigures) -> f64| {
        (1..)
            .map(f64::from)
            .zip(w.rounds.iter().map(of))
            .collect::<Vec<_>>()
    };
    let both = [
        series("plain COPY", rounds(&|r| r.direct.rows_per_second())),
        series(
            "through runtraced",
            rounds(&|r| r.through.rows_per_second()),
        ),
    ];
    let rate = PlotAxis::new("rows/s", AxisScale::Linear);
    let mut x = PlotAxis::new("round", AxisScale::Linear);
    x.marks = Some(
        (1..=w.rounds.len())
            .map(|n| (n as f64, n.to_string()))
            .collect(),
    );
    let mut plots = figure("Round by round", &lines(&x, &rate, &both));
    let over_time = [series("acknowledged", w.timeline.clone())];
    let time = PlotAxis::new("seconds", AxisScale::Linear);
    plots.push_str(&figure(
        "Rate over time, last delivery",
        &lines(&time, &rate, &over_time),
    ));
    if let Some(latency) = &w.latency {
        plots.push_str(&figure(
            "Ack latency at fixed rates",
            &latency_plot(latency),
        ));
    }
    if !w.sweep.is_empty() {
        let swept = w
            .sweep
            .iter()
            .map(|&(rows, rate)| (rows as f64, rate))
            .collect();
        let x = PlotAxis::new("rows per transaction", AxisScale::Log);
        let plot = lines(&x, &rate, &[series("plain COPY", swept)]);
        plots.push_str(&figure("Rate by transaction size", &plot));
    }
    plots
}

/// Plots waits by quantile, with a logarithmic axis towards the slowest requests.
fn latency_plot(latency: &super::figures::LatencyFigures) -> String {
    let one_in = |quantile: f64| 1.0 / (1.0 - quantile);
    let all: Vec<PlotSeries> = latency
        .at
        .iter()
        .map(|at| {
            let points = at.distribution.iter().map(|&(q, ms)| (one_in(q), ms));
            series(
                &format!("at {:.0} % of the rate", at.share * 100.0),
                points.collect(),
            )
        })
        .collect();
    let mut x = PlotAxis::new("share of requests", AxisScale::Log);
    x.marks = Some(
        [
            (0.0, "0"),
            (0.9, "90 %"),
            (0.99, "99 %"),
            (0.999, "99.9 %"),
            (0.9999, "99.99 %"),
        ]
        .into_iter()
        .filter(|(q, _)| {
            all.iter()
                .flat_map(|s| &s.points)
                .any(|p| p.0 >= one_in(*q))
        })
        .map(|(q, text)| (one_in(q), text.to_owned()))
        .collect(),
    );
    lines(&x, &PlotAxis::new("ms", AxisScale::Log), &all)
}

fn scaling(report: &BenchReport) -> String {
    let plots: String = report
        .scaling
        .iter()
        .map(|scaling| {
            let mut all = vec![series(
                "through runtraced",
                scaling.points.iter().map(|p| (p.0, p.2)).collect(),
            )];
            let direct: Vec<_> = scaling
                .points
                .iter()
                .filter_map(|p| Some((p.0, p.1?)))
                .collect();
            if !direct.is_empty() {
                all.insert(0, series("plain COPY", direct));
            }
            let greatest = scaling.points.iter().map(|p| p.0).fold(0.0, f64::max);
            let scale = if greatest > LARGEST_LINEAR_VALUE {
                AxisScale::Log
            } else {
                AxisScale::Linear
            };
            let plot = lines(
                &PlotAxis::new(&scaling.what, scale),
                &PlotAxis::new("rows/s", AxisScale::Linear),
                &all,
            );
            figure(
                &format!("{} by {}", scaling.kind.name(), scaling.what),
                &plot,
            )
        })
        .collect();
    let growth: String = report
        .growth
        .iter()
        .map(|_| ())
        .zip(table::scaling_and_growth(report).into_iter().rev())
        .map(|((), line)| format!("<li>{}</li>", escaped(&line)))
        .collect();
    if plots.is_empty() && growth.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Effect of settings and table size</h2><div class=\"plots\">{plots}</div><ul>{growth}</ul>"
    )
}

fn series(name: &str, points: Vec<(f64, f64)>) -> PlotSeries {
    PlotSeries {
        name: name.into(),
        points,
    }
}

fn figure(title: &str, plot: &str) -> String {
    format!("<div><h3>{}</h3>{plot}</div>", escaped(title))
}
