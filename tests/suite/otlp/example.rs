//! A real SDK with a real exporter: the example for programs that already use
//! OpenTelemetry.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::daemon::Daemon;
use crate::support::{needed, pg, tables, venv};

/// Scenario: two agents of the OpenAI Agents SDK run, and one hands over to the
/// other. The program has no code for tracing; only the exporter's endpoint is
/// set. Over gRPC and over HTTP.
/// Guarantees: when the program ends, all its work is stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_sdk_needs_only_the_endpoint() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/otlp-python");
    let made = venv::environment("otlp-python-example", &folder.join("requirements.txt"));
    let Some(bin) = needed::or_skip(made) else {
        return;
    };
    for protocol in ["grpc", "http/protobuf"] {
        let database = pg::database().await;
        let daemon = Daemon::start(database.url()).await;
        let endpoint = match protocol {
            "grpc" => daemon.grpc_url().to_owned(),
            _ => format!("http://{}", daemon.http_address()),
        };
        let output = needed::run(
            Command::new(bin.join("opentelemetry-instrument"))
                .arg(bin.join("python"))
                .arg(folder.join("agent.py"))
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        );
        assert_eq!(output.unwrap(), "EUR 49.00 are on their way to you.\n");

        let mut connection = database.connect().await;
        let query = "SELECT agent_id, status, finalized_by, input, output, llm_calls, failed_steps, open_steps,
                            tokens_input, tokens_output, tokens_cache_read, tokens_reasoning
                     FROM run_summary";
        assert_eq!(
            tables::row(&mut connection, query).await,
            json!({
                "agent_id": "Triage", "status": "completed", "finalized_by": "root_span",
                "input": "Order 1234 came broken. Can I have my money back?",
                "output": "EUR 49.00 are on their way to you.",
                "llm_calls": 4, "failed_steps": 0, "open_steps": 0,
                "tokens_input": 710, "tokens_output": 84,
                "tokens_cache_read": 224, "tokens_reasoning": 16
            }),
            "{protocol}"
        );
        let query = "SELECT jsonb_agg(jsonb_build_array(name, input, output) ORDER BY started_at)
                     FROM agent_steps WHERE step_type = 'tool_call'";
        assert_eq!(
            tables::value(&mut connection, query).await,
            json!([
                ["lookup_order", {"order_id": "1234"}, "order 1234: delivered, EUR 49.00"],
                ["refund", {"order_id": "1234", "amount": 49.0}, "refunded EUR 49.00 of order 1234"]
            ])
        );
        let query = "SELECT jsonb_agg(DISTINCT name) FROM agent_steps
                     WHERE step_type = 'handoff' AND kind = 'agent'";
        assert_eq!(
            tables::value(&mut connection, query).await,
            json!(["Refunds", "Triage"])
        );
        let query = "SELECT jsonb_object_agg(role, n) FROM
                     (SELECT role, count(*) AS n FROM agent_messages WHERE content <> '' GROUP BY role) t";
        let messages = tables::value(&mut connection, query).await;
        assert_eq!(
            (&messages["user"], &messages["assistant"]),
            (&json!(1), &json!(1)),
            "{messages}"
        );
        daemon.finish().await;
    }
}
