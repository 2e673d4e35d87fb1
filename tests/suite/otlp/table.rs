//! Sends the corpus to the daemon and checks its table in docs/OTLP.md.

use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use super::{
    corpus::{captures, chosen},
    deliver::Endpoints,
    fact::{Fact, Verdict},
    gaps::GAPS,
    judge::{Verdicts, judge},
    rows::{Rows, clear},
};
use crate::support::{daemon::Daemon, pg};

const PAGE: &str = "docs/OTLP.md";
const BEGIN: &str = "<!-- SDKs and facts: begin (RUNTRACED_UPDATE_DOCS=1 cargo test --test suite otlp:: rewrites this part) -->\n";
const END: &str = "<!-- SDKs and facts: end -->";

/// The verdicts on each capture, by SDK and scenario.
type Results = BTreeMap<(String, String), Verdicts>;

/// Scenario: every capture is sent as its exporter sent it, to the same path in
/// the same encoding.
/// Guarantees: the rows match what really happened, except for the listed gaps.
/// Every listed gap exists, and docs/OTLP.md shows the results.
/// `RUNTRACED_TEST_CAPTURE=SDK/SCENARIO` selects one capture and prints its rows.
#[tokio::test(flavor = "multi_thread")]
async fn rows_match_what_really_happened() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let endpoints = Endpoints::of(&daemon).await;
    let mut conn = database.connect().await;
    let one = env::var_os("RUNTRACED_TEST_CAPTURE").is_some();
    let mut results = Results::new();
    for capture in chosen() {
        clear(&mut conn).await;
        for request in &capture.requests {
            endpoints.repeat(request).await;
        }
        let rows = Rows::read(&mut conn).await;
        let verdicts = judge(capture, &rows);
        if one {
            println!("{} {rows:#?}\n{verdicts:#?}", capture.name());
        }
        let key = (capture.sdk.clone(), capture.scenario.clone());
        results.insert(key, verdicts);
    }
    daemon.finish().await;
    let surprises = surprises(&results);
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    if !one {
        check_page(&page_part(&results));
    }
}

/// The gaps that are not listed, and the listed gaps that do not exist.
fn surprises(results: &Results) -> Vec<String> {
    let mut surprises = Vec::new();
    for ((sdk, scenario), verdicts) in results {
        for fact in Fact::ALL {
            let listed = GAPS.iter().any(|gap| gap.covers(sdk, scenario, fact));
            match (verdicts.get(&fact), listed) {
                (Some(Verdict::Lost(why)), false) => {
                    surprises.push(format!("{sdk}/{scenario} {fact:?}: {why}"));
                }
                (Some(Verdict::Lost(_)), true) | (_, false) => {}
                (verdict, true) => surprises.push(format!(
                    "{sdk}/{scenario} {fact:?} is listed as a gap, but is {verdict:?}"
                )),
            }
        }
    }
    surprises
}

#[test]
fn every_listed_gap_names_captures_that_exist() {
    let captures = captures();
    for gap in GAPS {
        for scenario in gap.scenarios.split(' ') {
            let there = captures
                .iter()
                .any(|capture| capture.sdk == gap.sdk && capture.scenario == scenario);
            assert!(there, "{}/{scenario}", gap.sdk);
        }
        assert!(
            !gap.reason.is_empty() && !gap.facts.is_empty(),
            "{}",
            gap.sdk
        );
    }
}

fn check_page(part: &str) {
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
        "{PAGE}: the table of SDKs and facts is out of date"
    );
}

/// The generated part of the page: two tables and the gaps.
fn page_part(results: &Results) -> String {
    let all = || results.values().flat_map(BTreeMap::values);
    let held = all().filter(|verdict| **verdict == Verdict::Held).count();
    let unsent = all()
        .filter(|verdict| **verdict == Verdict::NotSent)
        .count();
    let comparable = all().count() - unsent;
    let sdks: Vec<&String> = {
        let mut sdks: Vec<_> = results.keys().map(|(sdk, _)| sdk).collect();
        sdks.dedup();
        sdks
    };
    let mut part = format!(
        "{} captures of {} SDKs contain {comparable} facts that can be compared. The rows match {held} of them; \
         the other {} are the gaps listed below. Another {unsent} facts were never sent by the SDK.\n\n\
         ✓: the rows match in every capture; 3/4: in three of four captures; –: never sent; empty: does not occur in the captures.\n",
        results.len(),
        sdks.len(),
        comparable - held,
    );
    let (runs, contents) = Fact::ALL.split_at(13);
    for facts in [runs, contents] {
        let names: Vec<&str> = facts.iter().map(|fact| fact.name()).collect();
        write!(part, "\n| SDK | {} |\n", names.join(" | ")).unwrap();
        writeln!(part, "|{}", " --- |".repeat(facts.len() + 1)).unwrap();
        for sdk in &sdks {
            let cells: Vec<String> = facts.iter().map(|fact| cell(results, sdk, *fact)).collect();
            writeln!(part, "| {sdk} | {} |", cells.join(" | ")).unwrap();
        }
    }
    part.push('\n');
    for gap in GAPS {
        let facts: Vec<&str> = gap.facts.iter().map(|fact| fact.name()).collect();
        let scenarios = gap.scenarios.replace(' ', ", ");
        writeln!(
            part,
            "- **{}** ({scenarios}): {}. {}",
            gap.sdk,
            facts.join(", "),
            gap.reason
        )
        .unwrap();
    }
    part
}

fn cell(results: &Results, sdk: &str, fact: Fact) -> String {
    let of_sdk = results.iter().filter(|((name, _), _)| name == sdk);
    let verdicts: Vec<&Verdict> = of_sdk
        .filter_map(|(_, verdicts)| verdicts.get(&fact))
        .collect();
    let held = verdicts
        .iter()
        .filter(|verdict| ***verdict == Verdict::Held)
        .count();
    let unsent = verdicts
        .iter()
        .filter(|verdict| ***verdict == Verdict::NotSent)
        .count();
    match verdicts.len() - unsent {
        0 if unsent > 0 => "–".to_owned(),
        0 => String::new(),
        comparable if comparable == held => "✓".to_owned(),
        comparable => format!("{held}/{comparable}"),
    }
}
