//! The figures within a Markdown page, between two marks.

use anyhow::Context as _;

use super::figures::{Report, Spread};
use super::table::{self, number};

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// `page` with the figures of `report` between its marks.
///
/// # Errors
/// When a mark is missing.
pub fn update(page: &str, report: &Report) -> anyhow::Result<String> {
    let missing = || format!("the page lacks {BEGIN} or {END}");
    let (before, rest) = page.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", figures(report)))
}

fn figures(report: &Report) -> String {
    let mut text = format!(
        "Measured {} with\n\n```sh\n{}\n```\n\n{}; kernel {}.\n",
        report.at,
        report.command,
        table::heading(report),
        report.machine.kernel
    );
    for w in &report.workloads {
        text.push_str(&format!(
            "\n### {}\n\n{}\n{}\n\n| measure | median | least | greatest |\n| --- | ---: | ---: | ---: |\n",
            w.kind.name(),
            table::about(w),
            table::checked(w)
        ));
        for line in table::lines(w) {
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
                line.what,
                cell(median)
            ));
        }
    }
    let further = table::further(report);
    if !further.is_empty() {
        text.push_str("\n### What changes the rate\n\n");
        for line in further {
            text.push_str(&format!("- {line}\n"));
        }
    }
    text
}
