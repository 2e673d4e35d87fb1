//! docs/SCALING.md shows what `runtraced plan` prints, and the command takes what a benchmark writes.

use serde_json::{Value, json};

use super::markdown;
use crate::support::process::runtraced;
use crate::support::watchdog;

const NO_DATABASE: &str = "postgresql://nobody@localhost:1/none";

/// Guarantees: the page shows what its first commands print.
#[tokio::test]
async fn the_page_shows_what_the_command_prints() {
    let page = markdown::page("docs/SCALING.md");
    let commands = page.blocks("sh");
    for (block, mark) in commands.iter().zip(["plan", "large plan"]) {
        let first = block.lines().next().unwrap();
        let words: Vec<&str> = first.split_whitespace().skip(1).collect();
        let (code, said) = runtraced(&words, NO_DATABASE).await;
        assert_eq!(code, 0, "{said}");
        assert_eq!(said, page.marked(mark), "{said}");
    }
}

/// Guarantees: costs are those of the benchmark's file; the JSON has all that the text says; what is no benchmark, and what is
/// no rate, is refused with what it should be.
#[tokio::test]
async fn a_plan_is_made_of_measured_costs() {
    let dir = watchdog::scratch_dir("plan");
    let file = dir.join("figures.json");
    let costs = file.to_str().unwrap();
    let through =
        json!({"rows": 1_000, "cpu": {"daemon": 0.01, "postgres": 0.05}, "wal_bytes": 2_000_000});
    let bench = json!({"command": "runtraced bench", "at": "today", "workloads": [
        {"kind": "agent", "row_bytes": 1_000, "rounds": [{"through": through}]}]});
    std::fs::write(&file, bench.to_string()).unwrap();
    let args = [
        "plan", "--rate", "2M/s", "--retain", "1h", "--costs", costs, "--json",
    ];
    let (code, said) = runtraced(&args, NO_DATABASE).await;
    assert_eq!(code, 0, "{said}");
    let plan: Value = serde_json::from_str(&said).unwrap();
    // 2,000,000 rows of 50 µs are 100 cores, of which a machine may use 9.6.
    assert_eq!(plan["databases_by_cores"], 11, "{said}");
    assert_eq!(
        (&plan["slots_per_database"], &plan["servers_of_one_store"]),
        (&json!(1), &json!(11))
    );
    assert_eq!(plan["costs"]["source"], "agent, today: runtraced bench");

    std::fs::write(&file, "{}").unwrap();
    let (code, said) = runtraced(&args, NO_DATABASE).await;
    assert!(
        code == 1 && said.contains("is not what `runtraced bench --json` writes"),
        "{said}"
    );
    let (code, said) = runtraced(&["plan", "--rate", "5"], NO_DATABASE).await;
    assert!(
        code == 64 && said.contains("--rate 5 is not a rate like 20000/s"),
        "{said}"
    );
    watchdog::remove_scratch_dir(&dir);
}
