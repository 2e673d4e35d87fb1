//! The part of docs/OTLP.md about these captures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::{env, fs};

use super::reports::REPORTS;
use super::{TruthResults, TruthVerdict, facts_of, gaps};

const PAGE: &str = "docs/OTLP.md";
const BEGIN: &str = "<!-- further SDKs: begin (RUNTRACED_UPDATE_DOCS=1 cargo test --test suite otlp:: rewrites this part) -->\n";
const END: &str = "<!-- further SDKs: end -->";

/// Compares the page with the results, or writes it with `RUNTRACED_UPDATE_DOCS=1`.
pub fn check(results: &TruthResults) {
    let part = page_part(results);
    let path = crate::docs::markdown::path(PAGE);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (now, after) = rest.split_once(END).unwrap();
    if env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        fs::write(path, format!("{before}{BEGIN}{part}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        now, part,
        "{PAGE}: the table of further SDKs is out of date"
    );
}

fn page_part(results: &TruthResults) -> String {
    let mut sdks: Vec<&str> = results.keys().map(|(sdk, _)| sdk.as_str()).collect();
    sdks.dedup();
    let mut part =
        String::from("| sent by | captures | facts that match | not in every capture |\n");
    part.push_str("| --- | --- | --- | --- |\n");
    for sdk in sdks {
        let of_sdk: Vec<_> = results
            .iter()
            .filter(|((name, _), _)| name == sdk)
            .collect();
        let verdicts = of_sdk.iter().flat_map(|(_, verdicts)| verdicts.iter());
        let (held, all) = counts(verdicts.map(|(_, verdict)| *verdict));
        let lost: Vec<String> = facts_of(results)
            .into_iter()
            .filter_map(|fact| {
                let of_fact = of_sdk.iter().filter_map(|(_, verdicts)| verdicts.get(fact));
                let (held, all) = counts(of_fact.copied());
                (held < all).then(|| format!("{fact} {held}/{all}"))
            })
            .collect();
        let name = if sdk == REPORTS {
            "bug reports of other tools"
        } else {
            sdk
        };
        writeln!(
            part,
            "| {name} | {} | {held}/{all} | {} |",
            of_sdk.len(),
            lost.join(", ")
        )
        .unwrap();
    }
    let mut named: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for gap in gaps::listed() {
        if !gap.reason.is_empty() {
            let scenarios: Vec<_> = gap.scenarios.into_iter().collect();
            let lost = format!("{} ({})", gap.fact, scenarios.join(", "));
            named.entry((gap.sdk, gap.reason)).or_default().push(lost);
        }
    }
    if !named.is_empty() {
        part.push('\n');
    }
    for ((sdk, reason), lost) in named {
        writeln!(part, "- **{sdk}**: {}. {reason}", lost.join(", ")).unwrap();
    }
    part
}

/// How many facts are right, and how many can be compared.
fn counts(verdicts: impl Iterator<Item = TruthVerdict>) -> (usize, usize) {
    let sent = verdicts.filter(|verdict| *verdict != TruthVerdict::NotSent);
    sent.fold((0, 0), |(held, all), verdict| {
        (held + usize::from(verdict == TruthVerdict::Held), all + 1)
    })
}
