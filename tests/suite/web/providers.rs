//! What calls cost at different providers, in batches, with counts that are missing, and over OTLP.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use sqlx::{AssertSqlSafe, PgConnection};

use super::client::get;
use super::runtraced;
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{PROTOBUF, attribute, post, request, span, text};
use crate::support::pg;

/// Model, metadata of the step, tokens (input, cached, output), and US dollars worked out by hand.
type ToldCall = (
    &'static str,
    &'static str,
    [Option<i64>; 3],
    Option<&'static str>,
);

const MANY: Option<i64> = Some(1_000_000);
const NONE: [Option<i64>; 3] = [None, None, None];

#[rustfmt::skip]
const CALLS: [ToldCall; 17] = [
    // The operator's: 2 in, 8 out; at azure 3 and 9; in batches 1 and 4; at azure in batches 1.5 and 4.5.
    ("ours", "{}", [MANY, None, MANY], Some("10")),
    ("ours", "{\"gen_ai.system\":\"openai\"}", [MANY, None, MANY], Some("10")),
    ("ours", "{\"gen_ai.system\":\"Azure\"}", [MANY, None, MANY], Some("12")),
    ("ours", "{\"gen_ai.provider.name\":\"azure\",\"gen_ai.system\":\"openai\"}", [MANY, None, None], Some("3")),
    ("ours", "{\"gen_ai.openai.request.service_tier\":\"batch\"}", [MANY, None, MANY], Some("5")),
    ("ours", "{\"gen_ai.system\":\"azure\",\"service_tier\":\"batch\"}", [MANY, None, MANY], Some("6")),
    ("ours", "{\"gen_ai.system\":\"groq\",\"batch\":true}", [MANY, None, None], Some("1")),
    ("ours", "{\"service_tier\":\"default\"}", [MANY, None, None], Some("2")),
    // Counts that are missing.
    ("ours", "{}", NONE, None),
    ("ours", "{\"gen_ai.system\":\"azure\"}", NONE, None),
    ("ours", "{}", [None, None, MANY], Some("8")),
    // The catalog's. OpenAI halves batches: 2.50 and 10 become 1.25 and 5; 1.25 cached becomes 0.625.
    ("gpt-4o", "{\"gen_ai.system\":\"openai\"}", [MANY, None, MANY], Some("12.5")),
    ("gpt-4o", "{\"gen_ai.system\":\"openai\",\"service_tier\":\"batch\"}", [MANY, None, MANY], Some("6.25")),
    ("gpt-4o", "{\"gen_ai.system\":\"openai\",\"service_tier\":\"batch\"}", [MANY, MANY, None], Some("0.625")),
    // Embeddings: 0.02 in, nothing out.
    ("text-embedding-3-small", "{\"gen_ai.system\":\"openai\"}", [MANY, None, None], Some("0.02")),
    ("text-embedding-3-small", "{\"gen_ai.system\":\"azure\"}", [MANY, None, Some(0)], Some("0.02")),
    ("text-embedding-3-small", "{}", [MANY, None, None], Some("0.02")),
];

/// One run with the calls, each a step with a token count; the id of a step is its place.
async fn insert(conn: &mut PgConnection) {
    sqlx::raw_sql(
        "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at)
         VALUES (gen_random_uuid(), 'a', 'x', 'completed', '2026-02-01')",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    for (place, (model, metadata, [input, cached, output], _)) in CALLS.iter().enumerate() {
        sqlx::query(
            "WITH step AS (
               INSERT INTO agent_steps (id, run_id, step_type, status, created_at, model, metadata)
               SELECT lpad(($1::bigint)::text, 32, '0')::uuid, r.id, 'llm_call', 'completed', '2026-02-01', $2, $3::jsonb
               FROM agent_runs AS r
               RETURNING id, run_id
             )
             INSERT INTO agent_token_counts (id, run_id, step_id, created_at, model, input, cache_read, output)
             SELECT gen_random_uuid(), run_id, id, '2026-02-01', $2, $4, $5, $6 FROM step",
        )
        .bind(i64::try_from(place).unwrap())
        .bind(model)
        .bind(metadata)
        .bind(input)
        .bind(cached)
        .bind(output)
        .execute(&mut *conn)
        .await
        .unwrap();
    }
}

/// Waits until the daemon has asked its catalog under these names.
async fn asked(conn: &mut PgConnection, keys: &[&str]) {
    for key in keys {
        let query = "SELECT count(*) FROM model_prices WHERE source = 'catalog' AND model = $1";
        while sqlx::query_scalar::<_, i64>(query)
            .bind(key)
            .fetch_one(&mut *conn)
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

/// Scenario: calls whose steps name a provider, or say that they were part of a batch, or both; some tell
/// no tokens; the operator and the catalog have prices by provider and of batches.
/// Guarantees: each costs what was worked out by hand, by the narrowest price that there is; sums over all
/// of them are the same.
#[tokio::test]
async fn a_call_has_the_price_of_its_provider_and_of_its_batch() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for [model, input, output] in [
        ["ours", "2", "8"],
        ["ours@azure", "3", "9"],
        ["ours:batch", "1", "4"],
        ["ours@azure:batch", "1.5", "4.5"],
    ] {
        runtraced(
            database.url(),
            &["prices", "set", model, "--input", input, "--output", output],
        );
    }
    insert(&mut conn).await;
    let keys = [
        "gpt-4o",
        "gpt-4o@openai",
        "gpt-4o@openai:batch",
        "text-embedding-3-small",
    ];
    asked(&mut conn, &keys).await;
    let costs: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT trim_scale(cost_usd)::text FROM agent_token_costs ORDER BY step_id",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    for ((call, cost), place) in CALLS.iter().zip(&costs).zip(0..) {
        assert_eq!(cost.as_deref(), call.3, "{place}: {call:?}");
    }
    assert_eq!(costs.len(), CALLS.len());
    let sums = "trim_scale(sum(cost_usd))::text, count(*) FILTER (WHERE cost_usd IS NULL)";
    let by_model =
        format!("SELECT model, {sums} FROM agent_token_costs GROUP BY model ORDER BY model");
    let answer = get(&daemon, "/api/cost?by=model&since=2020-01-01T00:00:00Z").await;
    let told: Vec<(String, f64, i64)> = answer.json()["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (
                text("key"),
                row["cost_usd"].as_f64().unwrap(),
                row["unpriced_calls"].as_i64().unwrap(),
            )
        })
        .collect();
    let expected: Vec<(String, String, i64)> = sqlx::query_as(AssertSqlSafe(by_model))
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(told.len(), expected.len());
    for (model, cost, unpriced) in expected {
        let cost: f64 = cost.parse().unwrap();
        let same = |row: &&(String, f64, i64)| {
            row.0 == model && (row.1 - cost).abs() < 1e-9 && row.2 == unpriced
        };
        assert!(
            told.iter().any(|row| same(&row)),
            "{model} costs {cost}: {told:?}"
        );
    }
    daemon.finish().await;
}

/// Scenario: spans of Anthropic's SDK, which counts cached input apart, and of OpenAI's, which does not; one
/// says what the call cost.
/// Guarantees: each costs what was worked out by hand; what the source says is kept beside it.
#[tokio::test]
async fn calls_over_otlp_cost_what_was_worked_out_by_hand() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let call_of =
        |number, system: &str, model: &str, tokens: [(&str, i64); 3], cost: Option<f64>| {
            let mut one = span(new_id(), number);
            one.attributes = vec![
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.system", system),
                text("gen_ai.request.model", model),
            ];
            one.attributes.extend(tokens.map(|(name, count)| {
                attribute(&format!("gen_ai.usage.{name}"), Value::IntValue(count))
            }));
            one.attributes
                .extend(cost.map(|cost| attribute("gen_ai.usage.cost", Value::DoubleValue(cost))));
            one
        };
    let cached = "cache_read.input_tokens";
    let spans = vec![
        // 1,000 at 3, 9,000 cached at 0.30, 100 at 15.
        call_of(
            1,
            "anthropic",
            "claude-sonnet-4-5",
            [
                ("input_tokens", 1_000),
                (cached, 9_000),
                ("output_tokens", 100),
            ],
            None,
        ),
        // 100 at 2.50, 900 cached at 1.25, 100 at 10.
        call_of(
            2,
            "openai",
            "gpt-4o",
            [
                ("input_tokens", 1_000),
                (cached, 900),
                ("output_tokens", 100),
            ],
            Some(0.5),
        ),
    ];
    let body = request(spans).encode_to_vec();
    let kind = format!("Content-Type: {PROTOBUF}");
    let answer = post(&daemon, "/v1/traces", &[&kind], &body).await;
    assert_eq!(answer.status, 200);
    asked(&mut conn, &["claude-sonnet-4-5", "gpt-4o"]).await;
    let costs: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT model, trim_scale(cost_usd)::text, trim_scale(cost_reported_usd)::text
         FROM agent_token_costs ORDER BY model",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let row = |model: &str, cost: &str, reported: Option<&str>| {
        (
            model.to_owned(),
            Some(cost.to_owned()),
            reported.map(str::to_owned),
        )
    };
    assert_eq!(
        costs,
        [
            row("claude-sonnet-4-5", "0.0072", None),
            row("gpt-4o", "0.002375", Some("0.5")),
        ]
    );
    daemon.finish().await;
}
