//! Captures of further SDKs (`tests/data/otlp-truths`) and inputs made after public bug
//! reports of other tools (`tests/data/otlp-reports.jsonl.zst`), in every order.
//!
//! The model was scripted, so each capture comes with what truly happened.

mod corpus;
mod gaps;
mod judge;
mod reports;
mod rows;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use self::corpus::TruthCapture;
use self::judge::{Found, judge};
use self::rows::TruthRows;
use super::corpus::Export;
use super::deliver::{Endpoints, Way};
use super::rows::clear;
use crate::support::{daemon::Daemon, pg};

/// The verdict on each fact of a capture, over all orders. `Held`: right in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TruthVerdict {
    Held,
    Lost,
    NotSent,
}

/// By SDK and scenario, the verdict on each fact.
type TruthResults = BTreeMap<(String, String), BTreeMap<String, TruthVerdict>>;

/// Scenario: every capture is sent as its exporter sent it, with the requests in reverse, twice, and one span per
/// request from the last to the first.
/// Guarantees: the rows match what truly happened in every order, except for the listed gaps. Every listed gap
/// exists, and docs/OTLP.md shows the results. `RUNTRACED_UPDATE_DOCS=1` removes gaps that are closed from the list
/// and writes the page; it adds none.
/// `RUNTRACED_TEST_CAPTURE=SDK/SCENARIO` selects one capture and prints what was found.
#[tokio::test(flavor = "multi_thread")]
async fn rows_match_the_truth_in_every_order() {
    let only = env::var("RUNTRACED_TEST_CAPTURE").unwrap_or_default();
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let endpoints = Endpoints::of(&daemon).await;
    let mut conn = database.connect().await;
    let mut results = TruthResults::new();
    let mut reasons = BTreeMap::new();
    for capture in corpus::captures() {
        if !(only.is_empty() || only == capture.sdk || only == capture.name()) {
            continue;
        }
        let mut verdicts = BTreeMap::new();
        for (order, exports) in orders(&capture) {
            clear(&mut conn).await;
            let unknown = unknown_spans(&daemon).await;
            for export in exports {
                match export {
                    Sent::Whole(request) => endpoints.repeat(request).await,
                    Sent::Single(export) => endpoints.send(&export, Way::HttpProtobuf).await,
                }
            }
            let rows = TruthRows::read(&mut conn).await;
            let unknown = unknown_spans(&daemon).await - unknown;
            for found in judge(&capture.truth, &rows, unknown) {
                if found.verdict == TruthVerdict::Lost {
                    let why = format!("{}, {order}: {}", capture.name(), found.why());
                    reasons
                        .entry((capture.name(), found.fact.clone()))
                        .or_insert(why);
                }
                merge_verdict(&mut verdicts, found);
            }
        }
        results.insert((capture.sdk.clone(), capture.scenario.clone()), verdicts);
    }
    let chosen = |name: &str| only.is_empty() || only == name || only == reports::REPORTS;
    reports::judge_reports(&endpoints, &mut conn, chosen, &mut results, &mut reasons).await;
    daemon.finish().await;
    if only.is_empty() {
        gaps::check(&results, &reasons);
        table::check(&results);
    } else {
        assert!(reasons.is_empty(), "{reasons:#?}");
    }
}

/// A fact that one order loses is lost.
fn merge_verdict(verdicts: &mut BTreeMap<String, TruthVerdict>, found: Found) {
    let verdict = verdicts.entry(found.fact).or_insert(found.verdict);
    if found.verdict != TruthVerdict::Held && *verdict != TruthVerdict::Lost {
        *verdict = found.verdict;
    }
}

/// What is sent in one request.
enum Sent<'a> {
    Whole(&'a super::corpus::Request),
    Single(Export),
}

/// The orders in which a capture is sent.
fn orders(capture: &TruthCapture) -> Vec<(&'static str, Vec<Sent<'_>>)> {
    let file = || capture.requests.iter().map(Sent::Whole);
    let singly = capture
        .requests
        .iter()
        .flat_map(|request| request.export.singly());
    let mut singly: Vec<_> = singly.map(Sent::Single).collect();
    singly.reverse();
    vec![
        ("in file order", file().collect()),
        ("in reverse", file().rev().collect()),
        ("twice", file().chain(file().rev()).collect()),
        ("span by span", singly),
    ]
}

/// The number of spans that no dialect knows and that became rows.
async fn unknown_spans(daemon: &Daemon) -> u64 {
    let metrics = daemon.metrics().await;
    let spans = metrics.iter().filter(|(name, _)| {
        name.starts_with("runtraced_otlp_spans_total")
            && name.contains("unknown")
            && name.contains("mapped")
    });
    spans.map(|(_, count)| *count).sum()
}

/// The names of the facts that some capture has, in the order of the judge.
fn facts_of(results: &TruthResults) -> BTreeSet<&str> {
    let all = results.values().flat_map(BTreeMap::keys);
    all.map(String::as_str).collect()
}
