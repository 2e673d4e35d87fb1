//! The alerts of `deploy/prometheus` fire at the faults that they are for, and at no others. Faults that another test
//! makes are watched there: see [`assert_firing`].

mod faults;
pub mod promtool;
mod slow;

use std::collections::BTreeSet;
use std::fs;

use promtool::Scrapes;

use crate::docs::markdown;
use crate::support::daemon::Daemon;

/// Asserts that exactly these alerts fire if a daemon stays as it is now for eight minutes.
pub async fn assert_firing(daemon: &Daemon, names: &[&str]) {
    let mut scrapes = Scrapes::default();
    scrapes.minutes(daemon, 8).await;
    scrapes.assert_firing(names);
}

/// The names of all alerts.
fn names() -> BTreeSet<String> {
    let rules = fs::read_to_string(promtool::rules()).unwrap();
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn the_rules_are_valid() {
    if let Some(promtool) = promtool::program() {
        promtool::run(&promtool, &["check", "rules"], &promtool::rules());
    }
}

#[test]
fn each_alert_is_fired_by_a_fault() {
    let folder = markdown::path("tests/suite");
    let mut text = String::new();
    for file in [
        "alerts/faults.rs",
        "alerts/slow.rs",
        "spool/stall.rs",
        "spool/owner.rs",
        "spool/poison.rs",
    ] {
        text += &fs::read_to_string(folder.join(file)).unwrap();
    }
    for name in names() {
        assert!(
            text.contains(&format!("\"{name}\"")),
            "no test fires {name}"
        );
    }
}

/// Each has a paragraph in the page, and names it.
#[test]
fn each_alert_says_what_to_do() {
    let page = markdown::page("docs/OPERATIONS.md");
    let headings: BTreeSet<String> = page
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.starts_with("Runtraced"))
        .map(str::to_owned)
        .collect();
    assert_eq!(headings, names());
    let rules = fs::read_to_string(promtool::rules()).unwrap();
    for name in headings {
        let text = page.section(&format!("### {name}"));
        assert!(text.len() > 100, "{name}: {text}");
        let link = format!(
            "runbook: docs/OPERATIONS.md#{}\n",
            name.to_ascii_lowercase()
        );
        assert_eq!(rules.matches(&link).count(), 1, "{link}");
    }
}
