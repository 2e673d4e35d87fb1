//! A dialect that a user teaches the daemon: the example of docs/OTLP.md.

use std::fs;
use std::process::Command;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use uuid::Uuid;

use crate::support::otlp::{attribute, request, span, text};
use crate::support::{daemon::Daemon, otlp, pg, tables, watchdog};

/// A user needs fewer lines than this.
const MAX_LINES: usize = 30;

/// The example in docs/OTLP.md.
fn example() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OTLP.md")).unwrap();
    let (_, after) = page.split_once("```toml\n").unwrap();
    let (example, _) = after.split_once("```").unwrap();
    assert!(example.lines().count() < MAX_LINES, "{example}");
    example.to_owned()
}

fn folder(name: &str, content: &str) -> String {
    let folder = watchdog::scratch_dir(name);
    fs::write(folder.join("acme.toml"), content).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// Three spans of the invented SDK: an agent, its call and its tool.
fn body(trace: Uuid) -> Vec<u8> {
    let named = |number: u64, name: &str, attributes| Span {
        name: name.to_owned(),
        parent_span_id: match number {
            1 => Vec::new(),
            _ => span(trace, 1).span_id,
        },
        attributes,
        ..span(trace, number)
    };
    let spans = vec![
        named(
            1,
            "mission",
            vec![
                text("acme.act", "PLAN"),
                text("acme.pilot", "navigator"),
                text("acme.flight", "flight-7"),
                text("acme.asked", "Where to?"),
                text("acme.said", "To Mars."),
            ],
        ),
        named(
            2,
            "thought",
            vec![
                text("acme.act", "THINK"),
                text("acme.brain", "brain-9"),
                text("acme.log", r#"[{"role":"user","content":"Where to?"}]"#),
                text("acme.said", "To Mars."),
                attribute("acme.fuel.in", Value::IntValue(10)),
                attribute("acme.fuel.reused", Value::IntValue(90)),
                attribute("acme.fuel.out", Value::IntValue(5)),
            ],
        ),
        named(
            3,
            "lever",
            vec![
                text("acme.act", "PULL"),
                text("acme.lever", "thrust"),
                text("acme.given", r#"{"power":3}"#),
                text("acme.got", "ok"),
            ],
        ),
    ];
    let mut request = request(spans);
    request.resource_spans[0].scope_spans[0].scope = Some(InstrumentationScope {
        name: "acme.flights".into(),
        ..InstrumentationScope::default()
    });
    request.encode_to_vec()
}

/// Scenario: a daemon starts with the dialect of an invented SDK, which sends an
/// agent, a model call and a tool call.
/// Guarantees: run, call, tool, tokens, messages and session are as if the SDK were
/// known.
#[tokio::test(flavor = "multi_thread")]
async fn a_dialect_of_a_user_is_understood() {
    let database = pg::database().await;
    let dialects = folder("taught", &example());
    let daemon = Daemon::with_args(database.url(), &["--otlp-dialects", &dialects]).await;
    let run = Uuid::from_u128(7 << 64 | 9);
    let answer = otlp::post(
        &daemon,
        "/v1/traces",
        &["content-type: application/x-protobuf"],
        &body(run),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut connection = database.connect().await;
    let query = "SELECT agent_id, agent_type, status, input, output, llm_calls, tool_calls,
                        tokens_input, tokens_output, tokens_cache_read, flags
                 FROM run_summary";
    assert_eq!(
        tables::row(&mut connection, query).await,
        json!({
            "agent_id": "navigator", "agent_type": "acme", "status": "completed",
            "input": "Where to?", "output": "To Mars.", "llm_calls": 1, "tool_calls": 1,
            "tokens_input": 100, "tokens_output": 5, "tokens_cache_read": 90, "flags": []
        })
    );
    let query = "SELECT name, input, output FROM agent_steps WHERE step_type = 'tool_call'";
    assert_eq!(
        tables::row(&mut connection, query).await,
        json!({"name": "thrust", "input": {"power": 3}, "output": "ok"})
    );
    let query = "SELECT external_id FROM agent_sessions";
    assert_eq!(
        tables::value(&mut connection, query).await,
        json!("flight-7")
    );
    let metrics = daemon.get("/metrics").await.1;
    assert!(
        metrics.contains("otlp_spans_total{dialect=\"acme\",outcome=\"mapped\""),
        "{metrics}"
    );
    daemon.finish().await;
}

/// Scenario: an unknown SDK sends a span with words of its own, which tell neither a
/// model nor tokens.
/// Guarantees: the run is not just completed: it has a flag, the metrics count the
/// span by its scope, and the log names the scope.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_not_understood_says_so() {
    let database = pg::database().await;
    let mut daemon = Daemon::start(database.url()).await;
    daemon.expect_warnings("were not understood");
    let run = Uuid::from_u128(7 << 64 | 11);
    let mut request = request(vec![Span {
        name: "ponder".into(),
        attributes: vec![text("zork.prompt", "x"), text("zork.completion.0", "y")],
        ..span(run, 1)
    }]);
    let scope = &mut request.resource_spans[0].scope_spans[0].scope;
    scope.as_mut().unwrap().name = "zork.engine".into();
    let body = request.encode_to_vec();
    let header = ["content-type: application/x-protobuf"];
    for _ in 0..2 {
        let answer = otlp::post(&daemon, "/v1/traces", &header, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut connection = database.connect().await;
    assert_eq!(
        tables::row(&mut connection, "SELECT status, flags FROM run_summary").await,
        json!({"status": "completed", "flags": ["not_understood"]})
    );
    let metrics = daemon.get("/metrics").await.1;
    let counted = "runtraced_otlp_not_understood_total{scope=\"zork.engine\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    let named = daemon.logs().matches("zork.engine").count();
    assert_eq!(named, 1, "{}", daemon.logs());
    daemon.finish().await;
}

/// Scenario: dialect files with a fault.
/// Guarantees: the daemon does not start, and names file, line and reason.
#[test]
fn a_wrong_dialect_stops_the_start() {
    for (content, line, reason) in [
        (
            example().replace("[words]", "[worlds]"),
            "line ",
            "unknown field `worlds`",
        ),
        (
            format!("{}\n[[rules]]\nis = \"llm\"\n", example()),
            "line ",
            "a rule needs a condition",
        ),
    ] {
        let dialects = folder("wrong", &content);
        let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .args(["serve", "--otlp-dialects", &dialects])
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{errors}");
        for part in ["--otlp-dialects", "acme.toml", line, reason] {
            assert!(errors.contains(part), "{part}: {errors}");
        }
    }
}

/// Scenario: `runtraced explain` reads the spans, with and without the dialect.
/// Guarantees: it says what each attribute was taken for and what each span
/// becomes; without the dialect, what was not understood.
#[test]
fn explain_shows_what_was_understood() {
    let dialects = folder("explained", &example());
    let file = format!("{dialects}/body.pb");
    fs::write(&file, body(Uuid::from_u128(7))).unwrap();
    let explain = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .arg("explain")
            .arg(&file)
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let text = explain(&["--otlp-dialects", &dialects]);
    for part in [
        "is llm_call, because its kind is `THINK`",
        "acme.brain = brain-9 -> request_model (acme, preference ",
        "acme.fuel.in = 10 -> usage_input",
        "=> agent_token_counts: input: 100; output: 5; cache_read: 90",
        "=> agent_steps: step_type: tool_call; name: thrust; input: {\"power\":3}; output: \"ok\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(
        !text.contains("NOT UNDERSTOOD") && !text.contains("not understood"),
        "{text}"
    );
    let unknown = explain(&["--json"]);
    let unknown: serde_json::Value = serde_json::from_str(&unknown).unwrap();
    assert_eq!(unknown["spans"][1]["dialect"], json!("unknown"));
    let pilot = &unknown["spans"][0]["attributes"][1];
    assert_eq!(
        (&pilot["key"], &pilot["fact"]),
        (&json!("acme.pilot"), &json!(null))
    );
}
