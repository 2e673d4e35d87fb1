//! What calls cost: thirty calls worked out by hand.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, Event};
use sqlx::PgConnection;

use super::client::get;
use super::runtraced;
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, run_started, started_with};
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

/// What a run cost, which two views must say alike.
async fn cost(conn: &mut PgConnection, run: uuid::Uuid) -> Option<String> {
    let (cost, summed): (Option<String>, Option<String>) = sqlx::query_as(
        "SELECT trim_scale(c.cost_usd)::text, trim_scale(s.cost_usd)::text
         FROM run_costs c JOIN run_summary s ON s.run_id = c.run_id WHERE c.run_id = $1",
    )
    .bind(run)
    .fetch_one(conn)
    .await
    .unwrap();
    assert_eq!(cost, summed);
    cost
}

/// Scenario: two runs of a session and one of another agent, on two days; one call has no price.
/// Guarantees: the views sum costs up by session, agent and day; what nobody knows is NULL, counted
/// and listed.
#[tokio::test]
async fn costs_are_summed_by_session_agent_and_day() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    runtraced(
        database.url(),
        &["prices", "set", "m", "--input", "1", "--output", "2"],
    );
    let session = new_id();
    let day = 86_400_000;
    for (at, agent, in_session, model) in [
        (0, "a", true, "m"),
        (day, "a", true, "nobody-knows"),
        (day, "b", false, "m"),
    ] {
        let run = new_id();
        let call: Call = (model, "2026-01-01", 1_000_000, 0, 0, 500_000, 0, None);
        let start = started_with(run_started(at, run), |start| {
            start.agent_id = agent.into();
            if in_session {
                start.session_id = id(session);
            }
        });
        daemon.submit(vec![start, used(run, &call)]).await;
    }
    for (query, expected) in [
        (
            "SELECT runs, calls, unpriced_calls, trim_scale(cost_usd)::text FROM session_costs",
            vec![(2, 2, 1, Some("2"))],
        ),
        (
            "SELECT runs, calls, unpriced_calls, trim_scale(cost_usd)::text FROM agent_costs ORDER BY agent_id",
            vec![(2, 2, 1, Some("2")), (1, 1, 0, Some("2"))],
        ),
        (
            "SELECT runs, calls, unpriced_calls, trim_scale(cost_usd)::text FROM daily_costs ORDER BY day",
            vec![(1, 1, 0, Some("2")), (2, 2, 1, Some("2"))],
        ),
        (
            "SELECT runs, calls, unpriced_calls, trim_scale(cost_usd)::text FROM agent_costs c
             WHERE agent_id = 'nobody'",
            vec![],
        ),
        (
            "SELECT 1::bigint, 1::bigint, unpriced_calls, trim_scale(cost_usd)::text FROM run_summary
             WHERE unpriced_calls > 0",
            vec![(1, 1, 1, None)],
        ),
    ] {
        let rows: Vec<(i64, i64, i64, Option<String>)> = sqlx::query_as(query)
            .fetch_all(&mut conn)
            .await
            .unwrap();
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.0, row.1, row.2, row.3.as_deref()))
            .collect();
        assert_eq!(rows, expected, "{query}");
    }
    let unknown: Vec<(Option<String>, i64)> =
        sqlx::query_as("SELECT model, calls FROM unpriced_models")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    assert_eq!(unknown, [(Some("nobody-knows".to_owned()), 1)]);
    daemon.finish().await;
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
    // Sums over many calls are computed in another way, and come to the same.
    let by_model: Vec<(Option<String>, Option<String>, i64)> = sqlx::query_as(
        "SELECT model, trim_scale(sum(cost_usd))::text, count(*) FILTER (WHERE cost_usd IS NULL)
         FROM agent_token_costs GROUP BY model ORDER BY model",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let answer = get(&daemon, "/api/cost?by=model&since=2020-01-01T00:00:00Z").await;
    let sql = answer.json()["sql"].as_str().unwrap().to_owned();
    let query = format!(
        "SELECT key, trim_scale(cost_usd)::text, unpriced_calls::bigint FROM ({sql}) AS q WHERE NOT is_total ORDER BY key"
    );
    let summed: Vec<(Option<String>, Option<String>, i64)> =
        sqlx::query_as(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut conn)
            .await
            .unwrap();
    assert_eq!(summed, by_model);
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

/// Scenario: a step whose source reports a cost has two token counts; other steps report what is no
/// sum of money; a call tells no tokens.
/// Guarantees: the report counts once, and only if it is one; what tells no tokens has an unknown
/// cost, not 0.
#[tokio::test]
async fn reports_count_once_and_unknown_usage_is_not_free() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let told = "
        INSERT INTO model_prices (model, input, output) VALUES ('m', 1, 1);
        INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at)
          VALUES (gen_random_uuid(), 'a', 'x', 'running', '2026-01-01');
        INSERT INTO agent_steps (id, run_id, step_type, status, created_at, metadata)
          SELECT gen_random_uuid(), r.id, 'llm_call', 'completed', '2026-01-01', jsonb_build_object('gen_ai.usage.cost', told)
          FROM agent_runs AS r, unnest(ARRAY['0.5', 'NaN', '-3', 'Infinity', '1e30', 'much']) AS told;
        INSERT INTO agent_token_counts (id, run_id, step_id, model, created_at, input)
          SELECT gen_random_uuid(), s.run_id, s.id, 'm', '2026-01-01', tokens
          FROM agent_steps AS s, unnest(ARRAY[1000000, NULL]) AS tokens";
    sqlx::raw_sql(told).execute(&mut conn).await.unwrap();
    let sums = "trim_scale(cost_usd)::text, trim_scale(cost_reported_usd)::text, calls::bigint, unpriced_calls::bigint";
    let answer = get(&daemon, "/api/cost?by=agent&since=2025-12-31T00:00:00Z").await;
    let shown = answer.json()["sql"].as_str().unwrap().to_owned();
    for query in [
        format!("SELECT {sums} FROM run_costs"),
        format!("SELECT {sums} FROM ({shown}) AS q WHERE NOT is_total"),
        format!("SELECT {sums} FROM ({shown}) AS q WHERE is_total"),
    ] {
        let row: (Option<String>, Option<String>, i64, i64) =
            sqlx::query_as(sqlx::AssertSqlSafe(query))
                .fetch_one(&mut conn)
                .await
                .unwrap();
        assert_eq!(row, (Some("6".into()), Some("0.5".into()), 12, 6));
    }
    daemon.finish().await;
}
