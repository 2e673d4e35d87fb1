//! The figures as one page that needs nothing else: tables and plots.

use super::figures::{Report, Spread, WorkloadFigures};
use super::svg::{Axis, Scale, Series, escaped, lines, stacked};
use super::table::{self, number};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#1c1e21}\
h1{font-size:1.6em}h2{margin-top:2em;border-bottom:1px solid #ccc}h3{font-size:1em;margin:.2em 0}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd}\
td:not(:first-child),th:not(:first-child){text-align:right;font-variant-numeric:tabular-nums}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:1.5em}\
svg{width:100%;font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#e3e3e3}.title{fill:#555}\
.legend span{margin-right:1.2em}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}\
.legend{margin:.2em 0}code{background:#f3f3f3;padding:.1em .3em}";

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut body = format!(
        "<h1>runtraced beside plain COPY</h1><p>{}</p><p>Measured {} with <code>{}</code>, kernel {}.</p>",
        escaped(&table::heading(report)),
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

/// All workloads beside one another: rates, CPU, and payload.
fn overview(report: &Report) -> String {
    let mut bars = Vec::new();
    let mut rates = Vec::new();
    for w in &report.workloads {
        let direct = w.spread(|r| r.direct.micros(r.direct.cpu.postgres)).median;
        let client = w.spread(|r| r.direct.micros(r.direct.cpu.client)).median;
        bars.push((
            format!("{}, plain COPY", w.kind.name()),
            vec![direct, 0.0, client],
        ));
        let of = |cpu: fn(&super::process::Cpu) -> f64| {
            w.spread(|r| r.through.micros(cpu(&r.through.cpu))).median
        };
        let parts = vec![of(|c| c.postgres), of(|c| c.daemon), of(|c| c.client)];
        bars.push((format!("{}, runtraced", w.kind.name()), parts));
        rates.push(w);
    }
    rates.sort_by(|a, b| a.row_bytes.total_cmp(&b.row_bytes));
    let by_payload = |of: fn(&WorkloadFigures) -> f64| {
        rates
            .iter()
            .map(|w| (w.row_bytes, of(w)))
            .collect::<Vec<_>>()
    };
    let mut plots = figure(
        "CPU a row",
        &stacked(&["Postgres", "daemon", "client"], &bars, "µs"),
    );
    if rates.len() > 2 {
        let all = [
            series(
                "plain COPY",
                by_payload(|w| w.spread(|r| r.direct.rows_per_second()).median),
            ),
            series(
                "through runtraced",
                by_payload(|w| w.spread(|r| r.through.rows_per_second()).median),
            ),
        ];
        let x = Axis::new("bytes of a row", Scale::Log);
        plots.push_str(&figure(
            "Rate by payload",
            &lines(&x, &Axis::new("rows/s", Scale::Log), &all),
        ));
    }
    format!("<div class=\"plots\">{plots}</div>")
}

fn workload(w: &WorkloadFigures) -> String {
    let mut rows = String::from("<tr><th></th><th>median</th><th>least</th><th>greatest</th></tr>");
    for line in table::lines(w) {
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
            line.what,
            cell(median)
        ));
    }
    format!(
        "<h2>{}</h2><p>{} {}</p><table>{rows}</table><div class=\"plots\">{}</div>",
        w.kind.name(),
        escaped(&table::about(w)),
        table::checked(w),
        plots(w)
    )
}

fn plots(w: &WorkloadFigures) -> String {
    let rounds = |of: &dyn Fn(&super::figures::Round) -> f64| {
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
    let rate = Axis::new("rows/s", Scale::Linear);
    let mut x = Axis::new("round", Scale::Linear);
    x.marks = Some(
        (1..=w.rounds.len())
            .map(|n| (n as f64, n.to_string()))
            .collect(),
    );
    let mut plots = figure("Round by round", &lines(&x, &rate, &both));
    let over_time = [series("acknowledged", w.timeline.clone())];
    let time = Axis::new("seconds", Scale::Linear);
    plots.push_str(&figure(
        "Over time, the last delivery",
        &lines(&time, &rate, &over_time),
    ));
    if let Some(latency) = &w.latency {
        plots.push_str(&figure("Waits for acks at fixed rates", &waits(latency)));
    }
    if !w.sweep.is_empty() {
        let swept = w
            .sweep
            .iter()
            .map(|&(rows, rate)| (rows as f64, rate))
            .collect();
        let x = Axis::new("rows a transaction", Scale::Log);
        let plot = lines(&x, &rate, &[series("plain COPY", swept)]);
        plots.push_str(&figure("Size of a transaction", &plot));
    }
    plots
}

/// Quantiles towards the slowest: each tenth of what is left takes as much room.
fn waits(latency: &super::figures::Latency) -> String {
    let slower = |quantile: f64| 1.0 / (1.0 - quantile);
    let all: Vec<Series> = latency
        .at
        .iter()
        .map(|at| {
            let points = at.distribution.iter().map(|&(q, ms)| (slower(q), ms));
            series(
                &format!("at {:.0} % of the rate", at.share * 100.0),
                points.collect(),
            )
        })
        .collect();
    let mut x = Axis::new("share of requests", Scale::Log);
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
                .any(|p| p.0 >= slower(*q))
        })
        .map(|(q, text)| (slower(q), text.to_owned()))
        .collect(),
    );
    lines(&x, &Axis::new("ms", Scale::Log), &all)
}

fn scaling(report: &Report) -> String {
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
            let scale = if greatest > 50.0 {
                Scale::Log
            } else {
                Scale::Linear
            };
            let plot = lines(
                &Axis::new(&scaling.what, scale),
                &Axis::new("rows/s", Scale::Linear),
                &all,
            );
            figure(
                &format!("{}, by {}", scaling.kind.name(), scaling.what),
                &plot,
            )
        })
        .collect();
    let growth: String = report
        .growth
        .iter()
        .map(|_| ())
        .zip(table::further(report).into_iter().rev())
        .map(|((), line)| format!("<li>{}</li>", escaped(&line)))
        .collect();
    if plots.is_empty() && growth.is_empty() {
        return String::new();
    }
    format!("<h2>What changes the rate</h2><div class=\"plots\">{plots}</div><ul>{growth}</ul>")
}

fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.into(),
        points,
    }
}

fn figure(title: &str, plot: &str) -> String {
    format!("<div><h3>{}</h3>{plot}</div>", escaped(title))
}
