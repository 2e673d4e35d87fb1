//! How spans end, and what of them makes a run.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value, json};

use crate::event::{EndStatus, Event, EventBody, StepEnded, StepType};
use crate::ingest::otlp::map::map_traces;
use crate::ingest::otlp::{MapOptions, Mapped, SpanOutcome};

/// A tool's span below another span, with these fields besides or instead.
fn span(fields: Value, attributes: &[(&str, Value)]) -> Value {
    let attributes: Vec<Value> = attributes
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Array(items) => {
                    let items: Vec<Value> = items
                        .iter()
                        .map(|item| json!({"stringValue": item}))
                        .collect();
                    json!({"arrayValue": {"values": items}})
                }
                text => json!({"stringValue": text}),
            };
            json!({"key": key, "value": value})
        })
        .collect();
    let mut span = json!({
        "traceId": "5b8aa5a2d2c872e8321cf37308d69df2", "spanId": "051581bf3cb55c13",
        "parentSpanId": "051581bf3cb55c14", "name": "execute_tool f", "kind": 1,
        "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000",
        "attributes": attributes,
    });
    let (Some(span_fields), Value::Object(fields)) = (span.as_object_mut(), fields) else {
        panic!("no fields")
    };
    span_fields.extend(fields);
    span
}

fn mapped(span: &Value) -> Mapped {
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
    map_traces(&request.encode_to_vec(), &MapOptions::default()).unwrap()
}

fn events(span: &Value) -> Vec<Event> {
    mapped(span)
        .events
        .into_iter()
        .map(|(_, event)| event)
        .collect()
}

fn step_end(span: &Value) -> StepEnded {
    let mut ends = events(span)
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::StepEnded(end) => Some(end),
            _ => None,
        });
    ends.next_back().expect("an end of a step")
}

/// The error of a tool's span; `None` if it completed.
fn error(fields: Value, attributes: &[(&str, &str)]) -> Option<String> {
    let tool = ("gen_ai.operation.name", json!("execute_tool"));
    let more = attributes.iter().map(|(key, text)| (*key, json!(text)));
    let attributes: Vec<_> = std::iter::once(tool).chain(more).collect();
    let end = step_end(&span(fields, &attributes));
    match end.status {
        EndStatus::Failed => Some(end.error.unwrap_or_default()),
        EndStatus::Completed => {
            assert_eq!(end.error, None);
            None
        }
    }
}

/// A span's events, in their order: exceptions as `Type: message`, others as a name.
fn with_events(code: i32, events: &[&str]) -> Value {
    let events: Vec<Value> = events
        .iter()
        .map(|event| match event.split_once(": ") {
            Some((kind, message)) => {
                let text = |key: &str, text| json!({"key": key, "value": {"stringValue": text}});
                let (message, escaped) = match message.strip_suffix('!') {
                    Some(message) => (message, "True"),
                    None => (message, "False"),
                };
                json!({"name": "exception", "attributes": [
                    text("exception.type", kind), text("exception.message", message),
                    text("exception.escaped", escaped),
                ]})
            }
            None => json!({"name": event}),
        })
        .collect();
    json!({"status": {"code": code}, "events": events})
}

#[test]
fn a_span_without_a_status_fails_by_what_it_tells() {
    let nothing = || json!({});
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(error(nothing(), &[]), None);
    assert_eq!(
        error(nothing(), &[("error.type", "timeout")]),
        some("timeout")
    );
    let described = [("error.type", "KeyError"), ("error.message", "'city'")];
    assert_eq!(error(nothing(), &described), some("KeyError: 'city'"));
    let unnamed = [("error.type", "_OTHER"), ("error.message", "it broke")];
    assert_eq!(error(nothing(), &unnamed), some("it broke"));
    assert_eq!(
        error(nothing(), &[("gen_ai.tool.status", "Failure")]),
        some("")
    );
    let output = ("gen_ai.tool.call.result", "fine");
    let raised = |events: &[&str]| with_events(0, events);
    assert_eq!(error(raised(&["a.B: c"]), &[]), some("a.B: c"));
    // It went on after the exception, or has a result.
    assert_eq!(error(raised(&["a.B: c", "retried"]), &[]), None);
    assert_eq!(error(raised(&["a.B: c"]), &[output]), None);
    assert_eq!(error(raised(&["a.B: c!"]), &[output]), some("a.B: c"));
    // The status says that all is well.
    let well = json!({"status": {"code": 1}});
    assert_eq!(error(well, &[("error.type", "timeout")]), None);
    assert_eq!(error(with_events(1, &["a.B: c!"]), &[]), None);
}

#[test]
fn an_error_that_only_an_attribute_tells_is_neither_missed_nor_lost() {
    let of = |fields: Value, attributes: &[(&str, &str)]| {
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| (*k, json!(v))).collect();
        let end = step_end(&span(fields, &attributes));
        let metadata = end.details.unwrap().metadata.unwrap();
        let metadata: Value = serde_json::from_str(metadata.as_str()).unwrap();
        (end.status, end.error, metadata)
    };
    let text = "429 rate limited";
    for key in [
        "error.message",
        "exception.message",
        "braintrust.error",
        "honeyhive_error",
    ] {
        let (status, error, metadata) = of(json!({}), &[(key, text)]);
        assert_eq!(
            (status, error.as_deref()),
            (EndStatus::Failed, Some(text)),
            "{key}"
        );
        assert_eq!(metadata[key], text);
        // It went on after the error.
        let result = ("gen_ai.tool.call.result", "fine");
        for (fields, more) in [
            (json!({}), vec![result]),
            (json!({"status": {"code": 1}}), vec![]),
        ] {
            let attributes: Vec<_> = more.into_iter().chain([(key, text)]).collect();
            let (status, error, metadata) = of(fields, &attributes);
            assert_eq!((status, error), (EndStatus::Completed, None), "{key}");
            assert_eq!(metadata[key], text);
        }
    }
    for (message, want) in [
        (text, Some(text)),
        ("GraphInterrupt('ask')", None),
        ("false", None),
    ] {
        let (_, error, _) = of(json!({}), &[("error.message", message)]);
        assert_eq!(error.as_deref(), want);
    }
    // Any span of Langfuse may have a message. Only the level says what it means.
    let stated = ("langfuse.observation.status_message", "from the cache");
    for (level, want) in [
        ("DEFAULT", None),
        ("WARNING", None),
        ("ERROR", Some(stated.1)),
    ] {
        let level = ("langfuse.observation.level", level);
        let (_, error, metadata) = of(json!({}), &[stated, level]);
        assert_eq!(error.as_deref(), want, "{level:?}");
        assert_eq!(
            (&metadata[stated.0], &metadata[level.0]),
            (&json!(stated.1), &json!(level.1))
        );
    }
}

#[test]
fn a_result_that_says_it_failed_fails_the_call() {
    let result = |text: &str| {
        let attributes = [("gen_ai.tool.call.result", text)];
        error(json!({"status": {"code": 1}}), &attributes)
    };
    let blocks = r#"{"content": [{"type": "text", "text": "no such city"}], "isError": true}"#;
    assert_eq!(result(blocks).as_deref(), Some("no such city"));
    let text = r#"{"content": "no such city", "is_error": true}"#;
    assert_eq!(result(text).as_deref(), Some("no such city"));
    assert_eq!(result(&blocks.replace("true", "false")), None);
    assert_eq!(result(r#"{"found": [{"isError": true}]}"#), None);
    assert_eq!(result("isError: true"), None);
    let listed = r#"{"type": "tool_result", "content": "no such city", "is_error": true}"#;
    for failed in [
        format!("[{listed}]"),
        json!(blocks).to_string(),
        "{'content': 'no such city', 'is_error': True}".into(),
        "content=[TextContent(type='text', text='no such city')] isError=True".into(),
        "CallToolResult(content=[TextContent(type='text', text='no such city')], isError=True)".into(),
        "type='ToolResult' name='f' result=[TextResultContent(content='no such city')] is_error=True".into(),
        format!(r#"{{"type": "json", "value": {blocks}}}"#),
    ] {
        let error = result(&failed);
        assert!(error.as_ref().is_some_and(|it| it.contains("no such city")), "{failed}: {error:?}");
    }
    // One of two calls failed.
    assert_eq!(
        result(&format!("[{listed}, {}]", listed.replace("true", "false"))),
        None
    );
}

#[test]
fn a_result_in_fields_of_its_own_may_say_that_it_failed() {
    let failed = |field: &str, says: Value| {
        let fields = json!([
            {"key": "content", "value": {"stringValue": "no such city"}},
            {"key": field, "value": says},
        ]);
        let object = json!({"kvlistValue": {"values": fields}});
        [object.clone(), json!({"arrayValue": {"values": [object]}})].map(|result| {
            let mut span = span(json!({"status": {"code": 1}}), &[]);
            span["attributes"] = json!([{"key": "gen_ai.tool.call.result", "value": result}]);
            step_end(&span).error
        })
    };
    for field in ["isError", "is_error"] {
        for says in [json!({"boolValue": true}), json!({"stringValue": "true"})] {
            for error in failed(field, says) {
                assert_eq!(error.as_deref(), Some("no such city"), "{field}");
            }
        }
        assert_eq!(failed(field, json!({"boolValue": false})), [None, None]);
    }
}

#[test]
fn a_model_that_stopped_by_an_error_failed() {
    let answered = |key: &str, reasons: Value, answer: &str| {
        let call = ("gen_ai.operation.name", json!("chat"));
        let answer = ("gen_ai.output.messages", json!(answer));
        step_end(&span(json!({}), &[call, (key, reasons), answer])).status
    };
    let status = |key: &str, reasons: Value| answered(key, reasons, "");
    let reasons = "gen_ai.response.finish_reasons";
    assert_eq!(status(reasons, json!(["error"])), EndStatus::Failed);
    assert_eq!(status(reasons, json!("[\"error\"]")), EndStatus::Failed);
    assert_eq!(
        status("ai.response.finishReason", json!("error")),
        EndStatus::Failed
    );
    for key in [
        "gen_ai.response.finish_reason",
        "gen_ai.response.stop_reason",
        "llm.finish_reason",
        "llm.response.finish_reason",
        "finish_reason",
        "acme.finish_reason",
    ] {
        assert_eq!(status(key, json!("error")), EndStatus::Failed, "{key}");
    }
    let within = json!(r#"{"finishReason":"error"}"#);
    assert_eq!(status("genkit:output", within), EndStatus::Failed);
    assert_eq!(status(reasons, json!(["stop"])), EndStatus::Completed);
    assert_eq!(
        status(reasons, json!(["content_error"])),
        EndStatus::Completed
    );
    let nothing = r#"[{"role": "assistant", "parts": [{"type": "text", "content": ""}]}]"#;
    assert_eq!(
        answered(reasons, json!(["error"]), nothing),
        EndStatus::Failed
    );
    // The reader gave up.
    let part = answered(
        reasons,
        json!(["error"]),
        r#"[{"role": "assistant", "content": "Waves"}]"#,
    );
    assert_eq!(part, EndStatus::Completed);
}

#[test]
fn errors_read_type_and_message() {
    let failed = |events: &[&str], message: &str| {
        let mut fields = with_events(2, events);
        fields["status"]["message"] = message.into();
        error(fields, &[]).unwrap()
    };
    assert_eq!(failed(&["KeyError: 'city'"], ""), "KeyError: 'city'");
    assert_eq!(failed(&[], "KeyError: 'city'"), "KeyError: 'city'");
    assert_eq!(
        failed(&["a.KeyError: KeyError('city')"], ""),
        "KeyError('city')"
    );
    assert_eq!(
        failed(&["Exception: KeyError('city')"], ""),
        "KeyError('city')"
    );
    assert_eq!(failed(&["Exception: no city"], ""), "Exception: no city");
    assert_eq!(failed(&["a.First: 1", "a.Last: 2"], "x"), "a.Last: 2");
    assert_eq!(failed(&[], "it broke"), "it broke");
}

#[test]
fn an_interrupt_for_a_person_is_no_failure() {
    for fields in [
        with_events(
            2,
            &["langgraph.errors.GraphInterrupt: (Interrupt(value=1),)!"],
        ),
        with_events(2, &["Exception: GraphInterrupt((Interrupt(value=1),))"]),
        json!({"status": {"code": 2, "message": "GraphInterrupt((Interrupt(value=1),))"}}),
        json!({"status": {"code": 2, "message": "NodeInterrupt: asks"}}),
    ] {
        let tool = ("gen_ai.operation.name", json!("execute_tool"));
        let end = step_end(&span(fields.clone(), &[tool]));
        assert_eq!(
            (end.status, end.error),
            (EndStatus::Completed, None),
            "{fields}"
        );
        let details = end.details.unwrap();
        // The tool was not called.
        let (step_type, kind) = (details.step_type, details.kind);
        assert_eq!(
            (step_type, kind.as_deref()),
            (StepType::Other, Some("paused"))
        );
        let metadata: Value = serde_json::from_str(details.metadata.unwrap().as_str()).unwrap();
        let paused = metadata["otel"]["paused"].as_str().unwrap();
        assert!(paused.contains("Interrupt"), "{paused}");
    }
    // Control moves to another graph: nobody waits.
    let moved = with_events(2, &["langgraph.errors.ParentCommand: Command(goto='b')!"]);
    assert_eq!(error(moved, &[]), None);
    let similar = with_events(2, &["app.GraphInterruptedError: gone"]);
    assert_eq!(
        error(similar, &[]).as_deref(),
        Some("app.GraphInterruptedError: gone")
    );
}

#[test]
fn a_span_without_an_end_is_open() {
    let fields = json!({"endTimeUnixNano": "0", "parentSpanId": ""});
    let tool = ("gen_ai.operation.name", json!("execute_tool"));
    let events = events(&span(fields, &[tool]));
    let bodies = || events.iter().map(|event| &event.body);
    assert!(bodies().any(|body| matches!(body, EventBody::StepStarted(_))));
    let ends = |body: &EventBody| matches!(body, EventBody::StepEnded(_) | EventBody::RunEnded(_));
    assert!(!bodies().any(ends));
}

#[test]
fn what_only_builds_announces_or_serves_makes_no_run() {
    let root = |kind: i32, attributes: &[(&str, &str)]| {
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(key, text)| (*key, json!(text)))
            .collect();
        let fields = json!({"parentSpanId": "", "kind": kind});
        let mapped = mapped(&span(fields, &attributes));
        let only_alias = mapped
            .events
            .iter()
            .all(|(_, event)| matches!(event.body, EventBody::StepAliased(_)));
        let outcome = mapped
            .outcomes
            .into_keys()
            .next()
            .map(|(_, outcome)| outcome);
        (outcome.unwrap(), only_alias)
    };
    let ignored = |reason| (SpanOutcome::Ignored(reason), true);
    let made = [
        ("gen_ai.operation.name", "create_agent"),
        ("gen_ai.agent.name", "a"),
    ];
    assert_eq!(root(3, &made), ignored("announcement"));
    let call = |method| {
        [
            ("mcp.method.name", method),
            ("gen_ai.operation.name", "execute_tool"),
        ]
    };
    assert_eq!(root(2, &call("tools/call")), ignored("tool_server"));
    for kind in [1, 2, 3] {
        for method in ["initialize", "tools/list", "notifications/initialized"] {
            assert_eq!(root(kind, &call(method)), ignored("tool_server"));
        }
    }
    let by_scope = |scope: &str, name: &str, kind: i32| {
        let fields = json!({"parentSpanId": "", "kind": kind, "name": name});
        let spans = json!([{"scope": {"name": scope}, "spans": [span(fields, &[])]}]);
        let request = json!({"resourceSpans": [{"scopeSpans": spans}]});
        let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
        let mapped = map_traces(&request.encode_to_vec(), &MapOptions::default()).unwrap();
        mapped.outcomes.into_keys().next().unwrap().1
    };
    let server = SpanOutcome::Ignored("tool_server");
    assert_eq!(by_scope("mcp-python-sdk", "tools/call f", 2), server);
    assert_eq!(
        by_scope("opentelemetry.instrumentation.mcp", "tools/list.mcp", 1),
        server
    );
    assert_eq!(by_scope("compcp", "tools/list", 1), SpanOutcome::Mapped);
    // An application that calls a tool by itself.
    assert_eq!(root(3, &call("tools/call")).0, SpanOutcome::Mapped);
    let attributes = call("tools/call").map(|(key, text)| (key, json!(text)));
    let called = span(json!({"kind": 2}), &attributes);
    assert_eq!(
        step_end(&called).details.unwrap().step_type,
        StepType::ToolCall
    );
}
