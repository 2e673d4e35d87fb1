//! What calls cost: thirty calls worked out by hand.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, Event};
use sqlx::PgConnection;

use super::client::get;
use super::runtraced;
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, run_started};
use crate::support::pg;

/// Model, day, input, cache read, cache write, output, reasoning, and US dollars worked out by hand.
type Call = (
    &'static str,
    &'static str,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<&'static str>,
);

#[rustfmt::skip]
const CALLS: [Call; 30] = [
    // 2.50 in, 1.25 cached, 10 out.
    ("gpt-4o", "2026-02-01", 1_000_000, 0, 0, 0, 0, Some("2.5")),
    ("gpt-4o", "2026-02-01", 0, 0, 0, 1_000_000, 0, Some("10")),
    ("gpt-4o", "2026-02-01", 1_000, 0, 0, 100, 0, Some("0.0035")),
    ("gpt-4o", "2026-02-01", 1_000, 400, 0, 100, 0, Some("0.003")),
    ("gpt-4o", "2026-02-01", 1_000, 1_000, 0, 0, 0, Some("0.00125")),
    ("gpt-4o", "2026-02-01", 0, 0, 0, 0, 0, Some("0")),
    ("openai/gpt-4o", "2026-02-01", 1_000, 0, 0, 0, 0, Some("0.0025")),
    // 10 in, 40 out until 10 June 2025; then 2 and 8; 0.50 cached.
    ("o3", "2025-06-09", 1_000, 0, 0, 1_000, 0, Some("0.05")),
    ("o3", "2025-06-10", 1_000, 0, 0, 1_000, 0, Some("0.01")),
    ("o3", "2025-06-10", 1_000, 0, 0, 1_000, 900, Some("0.01")),
    ("o3", "2026-02-01", 1_000, 1_000, 0, 0, 0, Some("0.0005")),
    ("o3", "2023-06-01", 1_000, 0, 0, 0, 0, Some("0.01")),
    // 3 in, 0.30 cached, 3.75 written, 15 out; above 200,000: 6, 0.60, 7.50, 22.50.
    ("claude-sonnet-4-5", "2026-02-01", 200_000, 0, 0, 0, 0, Some("0.6")),
    ("claude-sonnet-4-5", "2026-02-01", 200_001, 0, 0, 0, 0, Some("1.200006")),
    ("claude-sonnet-4-5", "2026-02-01", 100_000, 0, 0, 1_000, 0, Some("0.315")),
    ("claude-sonnet-4-5", "2026-02-01", 300_000, 0, 0, 1_000, 0, Some("1.8225")),
    ("claude-sonnet-4-5", "2026-02-01", 10_000, 8_000, 0, 0, 0, Some("0.0084")),
    ("claude-sonnet-4-5", "2026-02-01", 10_000, 0, 8_000, 0, 0, Some("0.036")),
    ("claude-sonnet-4-5", "2026-02-01", 10_000, 4_000, 4_000, 100, 0, Some("0.0237")),
    ("claude-sonnet-4-5", "2026-02-01", 400_000, 300_000, 0, 0, 0, Some("0.78")),
    ("claude-sonnet-4-5-20250929", "2026-02-01", 1_000, 0, 0, 0, 0, Some("0.003")),
    // 1.25 in, 0.125 cached, 10 out; above 200,000: 2.50, 0.25, 15.
    ("gemini-2.5-pro", "2026-02-01", 100_000, 0, 0, 10_000, 0, Some("0.225")),
    ("gemini-2.5-pro", "2026-02-01", 300_000, 0, 0, 10_000, 0, Some("0.9")),
    ("gemini-2.5-pro", "2026-02-01", 100_000, 50_000, 0, 0, 0, Some("0.06875")),
    // The operator's: 1 in, 2 out, 4 reasoning; 5 in from March on; 3 in above 1,000.
    ("our-model", "2026-02-01", 1_000, 0, 0, 1_000, 500, Some("0.004")),
    ("our-model", "2026-02-01", 2_000, 0, 0, 0, 0, Some("0.006")),
    ("our-model", "2026-03-01", 1_000, 500, 0, 0, 0, Some("0.005")),
    // Nobody knows: never 0.
    ("who-knows", "2026-02-01", 1_000, 0, 0, 1_000, 0, None),
    ("", "2026-02-01", 1_000, 0, 0, 0, 0, None),
    ("gpt-4o-but-not-really", "2026-02-01", 1_000, 0, 0, 0, 0, None),
];

fn used(run: uuid::Uuid, call: &Call) -> Event {
    let (model, day, input, cache_read, cache_write, output, reasoning, _) = *call;
    let time: jiff::Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
    Event {
        time: Some(prost_types::Timestamp {
            seconds: time.as_second(),
            nanos: 0,
        }),
        event: Some(Body::TokenCount(proto::TokenCount {
            token_count_id: id(new_id()),
            run_id: id(run),
            model: (!model.is_empty()).then(|| model.to_owned()),
            input: Some(input),
            output: Some(output),
            cache_read: Some(cache_read),
            cache_write: Some(cache_write),
            reasoning: Some(reasoning),
            ..Default::default()
        })),
    }
}

async fn cost(conn: &mut PgConnection, run: uuid::Uuid) -> Option<String> {
    sqlx::query_scalar("SELECT trim_scale(cost_usd)::text FROM run_costs WHERE run_id = $1")
        .bind(run)
        .fetch_one(conn)
        .await
        .unwrap()
}

/// Scenario: thirty calls, each in a run of its own; the daemon fills in its catalog's prices,
/// and the operator sets some.
/// Guarantees: each costs what was worked out by hand; what has no price costs NULL and is
/// listed; a price of the operator's wins over the catalog's.
#[tokio::test]
async fn thirty_calls_cost_what_was_worked_out_by_hand() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for set in [
        &["--input", "1", "--output", "2", "--reasoning", "4"][..],
        &["--input", "3", "--output", "2", "--above", "1000"],
        &[
            "--input",
            "5",
            "--output",
            "2",
            "--from",
            "2026-03-01T00:00:00Z",
        ],
    ] {
        runtraced(
            database.url(),
            &[&["prices", "set", "our-model"], set].concat(),
        );
    }
    let runs: Vec<_> = CALLS.iter().map(|_| new_id()).collect();
    let events = CALLS
        .iter()
        .zip(&runs)
        .flat_map(|(call, run)| [run_started(0, *run), used(*run, call)]);
    daemon.submit(events.collect()).await;
    // Until the daemon has asked its catalog about each model.
    loop {
        let open: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT c.model) FROM agent_token_counts c WHERE c.model IS NOT NULL
             AND NOT EXISTS (SELECT FROM model_prices p WHERE p.model = c.model AND p.source = 'catalog')",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap();
        if open == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let mut wrong = Vec::new();
    for (call, run) in CALLS.iter().zip(&runs) {
        let cost = cost(&mut conn, *run).await;
        if cost.as_deref() != call.7 {
            wrong.push(format!("{call:?}: {cost:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let answer = get(&daemon, "/api/cost?by=model&since=2025-01-01T00:00:00Z")
        .await
        .json();
    let unpriced: Vec<_> = answer["unpriced"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["model"].clone())
        .collect();
    assert_eq!(unpriced.len(), 3, "{unpriced:?}");
    let missing = runtraced(database.url(), &["prices", "missing"]);
    assert!(
        missing.contains("who-knows") && !missing.contains("claude"),
        "{missing}"
    );
    // The operator has another contract.
    runtraced(
        database.url(),
        &["prices", "set", "gpt-4o", "--input", "1", "--output", "1"],
    );
    assert_eq!(cost(&mut conn, runs[0]).await.as_deref(), Some("1"));
    let listed = runtraced(database.url(), &["prices", "list"]);
    assert!(
        listed.contains("openai/gpt-4o") && listed.contains("operator"),
        "{listed}"
    );
    daemon.finish().await;
}
