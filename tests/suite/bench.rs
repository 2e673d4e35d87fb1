//! `runtraced bench` compares equal content and removes everything that it created.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::pg;

/// Runs a small benchmark on the test cluster. Returns its JSON, its HTML page and the name of
/// its scratch database.
fn run_bench(url: &str, more: &[&str]) -> (Value, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("a.json"), folder.path().join("a.html"));
    let child = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args([
            "bench",
            "--rows",
            "2000",
            "--rounds",
            "2",
            "--database-url",
            url,
        ])
        .args([
            "--json".as_ref(),
            json.as_os_str(),
            "--html".as_ref(),
            html.as_os_str(),
        ])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let scratch = format!("runtraced_bench_{}", child.id());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let figures = std::fs::read_to_string(&json).unwrap();
    let page = std::fs::read_to_string(&html).unwrap();
    (serde_json::from_str(&figures).unwrap(), page, scratch)
}

#[tokio::test]
async fn both_ways_write_equal_content_and_everything_is_removed() {
    let database = pg::database().await;
    let flags = ["--workload", "steps,agent,huge", "--no-latency"];
    let (figures, page, scratch) = run_bench(database.url(), &flags);
    let workloads = figures["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), 3);
    for workload in workloads {
        // The first delivery, the second one, and plain COPY, each against the warm-up.
        assert_eq!(workload["counted"]["compared"], 3, "{workload}");
        assert_eq!(workload["rounds"].as_array().unwrap().len(), 2);
        for round in workload["rounds"].as_array().unwrap() {
            for way in ["direct", "through"] {
                assert_eq!(round[way]["rows"], workload["rows"]);
                assert!(round[way]["seconds"].as_f64().unwrap() > 0.0);
                assert!(round[way]["wal_bytes"].as_f64().unwrap() > 0.0);
            }
        }
    }
    assert!(page.contains("<svg") && !page.contains("NaN"), "{page}");
    assert!(
        !page.contains("http"),
        "the page must not load other resources"
    );
    let mut conn = database.connect().await;
    let databases: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(scratch)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(databases, 0);
}

#[tokio::test]
async fn waits_count_from_when_a_request_was_due() {
    let database = pg::database().await;
    let (figures, ..) = run_bench(database.url(), &["--workload", "steps", "--quick"]);
    let latency = &figures["workloads"][0]["latency"];
    for at in latency["at"].as_array().unwrap() {
        let waits = &at["waits"];
        let [p50, p99, max] = ["p50", "p99", "max"].map(|name| waits[name].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{waits}");
        // The delivery takes at least as long as its schedule, with some tolerance.
        let events = at["request_events"].as_f64().unwrap() * waits["count"].as_f64().unwrap();
        let due = events / at["events_per_second"].as_f64().unwrap();
        assert!(at["seconds"].as_f64().unwrap() > due * 0.5, "{at}");
    }
    assert!(latency["single_commit"]["p50"].as_f64().unwrap() > 0.0);
}

/// Scenario: one chat of 50 turns, without and with `--content-once`.
/// Guarantees: every figure is there, and says that most of what a chat sends was said before.
#[tokio::test]
async fn what_contents_save_is_measured() {
    let database = pg::database().await;
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let flags = [
        "--workload",
        "chat",
        "--rows",
        "1",
        "--streams",
        "1",
        "--json",
    ];
    let table = printed(
        database.url(),
        &[&flags[..], &[json.to_str().unwrap()]].concat(),
    );
    assert!(
        table.contains("1 conversations of 50 model calls"),
        "{table}"
    );
    let figures: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let number = |path: &str| figures[0].pointer(path).unwrap().as_f64().unwrap();
    assert!(number("/received") > 20.0 * number("/new"), "{figures}");
    assert!(
        number("/once/bytes") > 0.0 && number("/plain/bytes") > 0.0,
        "{figures}"
    );
    for seconds in ["/plain/seconds", "/once/seconds", "/copy_seconds"] {
        assert!(number(seconds) > 0.0, "{figures}");
    }
}

/// What the benchmark prints.
fn printed(url: &str, flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(["bench", "--database-url", url])
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_cost_of_own_spans_is_measured_in_turns() {
    let database = pg::database().await;
    let flags = [
        "--otel-cost",
        "--workload",
        "steps",
        "--rows",
        "2000",
        "--rounds",
        "2",
    ];
    let table = printed(database.url(), &flags);
    for line in [
        " events a round",
        "daemon CPU without spans, µs/event: ",
        "more CPU with spans, %: ",
    ] {
        assert!(table.contains(line), "{table}");
    }
    // At least the drain is told.
    assert!(!table.contains("requests to the collector: 0"), "{table}");
}

/// Scenario: readers and writers are measured over a copy of a database.
/// Guarantees: both have figures, alone and side by side.
#[tokio::test]
async fn reading_and_writing_are_measured_side_by_side() {
    let database = pg::database().await;
    let flags = [
        "--read-cost",
        "--workload",
        "steps",
        "--rows",
        "20000",
        "--rounds",
        "1",
    ];
    let copied = ["--template", &database.name];
    let table = printed(database.url(), &[&flags[..], &copied].concat());
    for line in [
        "/api/runs, p50 / p95 / p99 in ms",
        "    during ingest: ",
        "rate beside a reader, relative: ",
    ] {
        assert!(table.contains(line), "{table}");
    }
    // A short delivery ends before all questions were asked beside it, but not before the first.
    let first = table.lines().skip(2).take(2).collect::<String>();
    assert!(!first.contains("(0 requests)"), "{table}");
}

/// Scenario: the oldest tenth of a table is deleted while new runs arrive.
/// Guarantees: rows went, and writers have figures alone and beside it.
#[tokio::test]
async fn pruning_and_writing_are_measured_side_by_side() {
    let database = pg::database().await;
    let flags = [
        "--prune-cost",
        "--workload",
        "agent",
        "--rows",
        "5000",
        "--rounds",
        "1",
    ];
    let table = printed(database.url(), &flags);
    for line in ["rows deleted a round: ", "rate beside prune, relative: "] {
        assert!(table.contains(line), "{table}");
    }
}

/// Scenario: stores with 1, 4 and 16 slots are measured in turns, and stores of 1, 2 and 4 databases.
/// Guarantees: each has figures for both workloads, and nothing is left of the databases.
#[tokio::test]
async fn divided_stores_are_compared() {
    let database = pg::plain_database().await;
    for (flag, most) in [("--slots-cost", "16"), ("--servers-cost", " 4")] {
        let flags = [flag, "--rows", "2000", "--rounds", "1"];
        let table = printed(database.url(), &flags);
        for line in ["steps           1  ", "agent           4  "] {
            assert!(table.contains(line), "{table}");
        }
        assert!(
            table.contains(&format!("steps          {most}  ")),
            "{table}"
        );
    }
    let mut conn = database.connect().await;
    let left =
        "SELECT count(*) FROM pg_database WHERE datname ~ '^runtraced_bench_.*_(16_1|1_4|1_4_4)$'";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut conn).await.unwrap();
    assert_eq!(left, 0);
}

/// Scenario: the parts of the daemon and of Postgres are measured with slots, and rates on several servers are computed.
/// Guarantees: there are rates for 1 to 64 workers; the output and its JSON say that such a store does not exist, and
/// what is assumed; the page lists the same assumptions; nothing is left of the databases.
#[tokio::test]
async fn rates_of_slots_on_several_servers_are_computed() {
    let database = pg::plain_database().await;
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("model.json");
    let flags = "--slots-model --workload agent --rows 2000 --rounds 1 --json".split(' ');
    let flags: Vec<&str> = flags.chain([json.to_str().unwrap()]).collect();
    let table = printed(database.url(), &flags);
    let model: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let number = |path: &str| model.pointer(path).unwrap().as_f64().unwrap();
    for part in 0..7 {
        assert!(number(&format!("/workloads/0/parts/{part}/cost_us/per_event")) >= 0.0);
    }
    // The daemon and the sessions of its writers have used processors.
    for part in [1, 2] {
        let used = format!("/workloads/0/trials/0/cpu_us/{part}/median");
        assert!(number(&used) > 0.0, "{model}");
    }
    assert!(number("/workloads/0/coordination/ledger_transaction_us") > 0.0);
    assert!(number("/workloads/0/coordination/session_names_per_event") > 0.0);
    let rates = model["workloads"][0]["rates"].as_array().unwrap();
    let workers: Vec<u64> = rates
        .iter()
        .map(|rate| rate["workers"].as_u64().unwrap())
        .collect();
    assert_eq!(workers, [1, 2, 4, 8, 16, 32, 64]);
    assert!(number("/workloads/0/rates/6/events_per_second") > 0.0);

    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        one_line(&table).contains(model["note"].as_str().unwrap()),
        "{table}"
    );
    let page = one_line(include_str!("../../docs/BENCHMARKS.md"));
    for assumption in model["assumptions"].as_array().unwrap() {
        let assumption = assumption.as_str().unwrap();
        assert!(table.contains(assumption), "{table}");
        assert!(
            page.contains(assumption),
            "docs/BENCHMARKS.md lacks: {assumption}"
        );
    }
    let mut conn = database.connect().await;
    let left = "SELECT count(*) FROM pg_database WHERE datname ~ '^runtraced_bench_.*_changing$'";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut conn).await.unwrap();
    assert_eq!(left, 0);
}

/// Scenario: steps go to plain tables, to empty partitions and beside a year of rows; a month goes meanwhile.
/// Guarantees: all of it has figures, and no event is lost while the month goes.
#[tokio::test]
async fn months_and_what_drops_them_are_measured() {
    let database = pg::plain_database().await;
    let flags = ["--months-cost", "--grow-to", "2400", "--rows", "2000"];
    let table = printed(database.url(), &flags);
    for line in [
        "plain tables, empty: ",
        "12 months, 2400 steps: ",
        "dropping a month of 200 steps beside writers: ",
    ] {
        assert!(table.contains(line), "{table}");
    }
}
