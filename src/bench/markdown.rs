//! The figures as Markdown, written between two marker comments of a page.

use anyhow::Context as _;

use super::figures::{BenchReport, Spread};
use super::table::{self, number};

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// Replaces the text between the markers of `page` with the figures of `report`.
///
/// # Errors
/// When a marker is missing.
pub fn update(page: &str, report: &BenchReport) -> anyhow::Result<String> {
    let missing = || format!("the page has no {BEGIN} or no {END} after it");
    let (before, rest) = page.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", figures(report)))
}

fn figures(report: &BenchReport) -> String {
    let mut text = format!(
        "Measured {} with\n\n```sh\n{}\n```\n\n{}; kernel {}.\n",
        report.at,
        report.command,
        table::environment(report),
        report.machine.kernel
    );
    for w in &report.workloads {
        text.push_str(&format!(
            "\n### {}\n\n{}\n{}\n\n| measure | median | min | max |\n| --- | ---: | ---: | ---: |\n",
            w.kind.name(),
            table::workload_summary(w),
            table::check_summary(w)
        ));
        for line in table::figure_rows(w) {
            let Spread {
                median,
                least,
                greatest,
            } = line.spread;
            let cell = |value| number(value, line.digits);
            let [least, greatest] = if least.total_cmp(&greatest).is_eq() {
                Default::default()
            } else {
                [cell(least), cell(greatest)]
            };
            text.push_str(&format!(
                "| {} | {} | {least} | {greatest} |\n",
                line.label,
                cell(median)
            ));
        }
    }
    let scaling_and_growth = table::scaling_and_growth(report);
    if !scaling_and_growth.is_empty() {
        text.push_str("\n### Effect of settings and table size\n\n");
        for line in scaling_and_growth {
            text.push_str(&format!("- {line}\n"));
        }
    }
    text
}
