//! The known gaps: facts that are not right in every order. The list can only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::{env, fs, path::Path};

use super::{TruthResults, TruthVerdict};

const FILE: &str = "tests/suite/otlp/truths/gaps.txt";

/// A fact that some captures of an SDK lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGap {
    pub sdk: String,
    pub fact: String,
    pub scenarios: BTreeSet<String>,
    /// What the requests lack, for docs/OTLP.md. Empty: the daemon could do better.
    pub reason: String,
}

impl ListedGap {
    fn parse(line: &str) -> Self {
        let mut parts = line.split('|').map(str::trim);
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (sdk, fact, scenarios, reason) = (next(), next(), next(), next());
        let scenarios = scenarios.split_whitespace().map(str::to_owned).collect();
        Self {
            sdk,
            fact,
            scenarios,
            reason,
        }
    }

    fn line(&self) -> String {
        let scenarios: Vec<&str> = self.scenarios.iter().map(String::as_str).collect();
        let line = format!(
            "{} | {} | {} | {}",
            self.sdk,
            self.fact,
            scenarios.join(" "),
            self.reason
        );
        line.trim_end().to_owned()
    }
}

/// The list.
pub fn listed() -> Vec<ListedGap> {
    let text = fs::read_to_string(path()).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines.map(ListedGap::parse).collect()
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)
}

/// Fails if a fact is lost that is not listed, or if a listed one is not lost. With `RUNTRACED_UPDATE_DOCS=1`, the
/// latter are removed from the list.
pub fn check(results: &TruthResults, reasons: &BTreeMap<(String, String), String>) {
    let mut lost: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for ((sdk, scenario), verdicts) in results {
        for (fact, verdict) in verdicts {
            if *verdict == TruthVerdict::Lost {
                let scenarios = lost.entry((sdk, fact)).or_default();
                scenarios.insert(scenario.clone());
            }
        }
    }
    let listed = listed();
    let mut left = Vec::new();
    for gap in &listed {
        let lost = lost.entry((&gap.sdk, &gap.fact)).or_default();
        let scenarios: BTreeSet<_> = gap.scenarios.intersection(lost).cloned().collect();
        lost.retain(|scenario| !scenarios.contains(scenario));
        if !scenarios.is_empty() {
            let gap = gap.clone();
            left.push(ListedGap { scenarios, ..gap });
        }
    }
    let mut new = String::new();
    for ((sdk, fact), scenarios) in lost {
        if scenarios.is_empty() {
            continue;
        }
        for scenario in &scenarios {
            let key = (format!("{sdk}/{scenario}"), fact.to_owned());
            writeln!(new, "# {}", reasons.get(&key).unwrap()).unwrap();
        }
        let gap = ListedGap {
            sdk: sdk.to_owned(),
            fact: fact.to_owned(),
            scenarios,
            reason: String::new(),
        };
        writeln!(new, "{}", gap.line()).unwrap();
    }
    let closed = left != listed;
    if closed && env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        write(&left);
    } else {
        let gone = listed.iter().filter(|gap| !left.contains(gap));
        let gone: Vec<_> = gone.map(ListedGap::line).collect();
        assert!(
            !closed,
            "these gaps are closed, all or in part; remove them with RUNTRACED_UPDATE_DOCS=1:\n{}",
            gone.join("\n")
        );
    }
    assert!(
        new.is_empty(),
        "facts are lost that were not before:\n{new}"
    );
}

fn write(gaps: &[ListedGap]) {
    let text = fs::read_to_string(path()).unwrap();
    let comments = text.lines().take_while(|line| line.starts_with('#'));
    let lines = comments
        .map(str::to_owned)
        .chain(gaps.iter().map(ListedGap::line));
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    fs::write(path(), text).unwrap();
}
