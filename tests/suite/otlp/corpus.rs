//! Reads the captures that `scripts/pack-otlp-captures.py` packs.

use std::{collections::BTreeMap, env, fs, path::Path, sync::OnceLock};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;

/// The requests that a scenario sent with one SDK, and what it really did.
#[derive(Debug)]
pub struct Capture {
    /// The SDK and its instrumentation.
    pub sdk: String,
    /// The name of the scenario.
    pub scenario: String,
    /// What the scenario did, including what was never sent.
    pub truth: Truth,
    /// A summary of the decoded bodies.
    pub payload: Payload,
    /// The requests in the order of their arrival.
    pub requests: Vec<Request>,
}

impl Capture {
    /// The name in messages: SDK and scenario.
    pub fn name(&self) -> String {
        format!("{}/{}", self.sdk, self.scenario)
    }
}

/// One request of an exporter.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP path, or the gRPC method.
    pub path: String,
    /// The body as the exporter sent it.
    pub body: Body,
    /// The decoded body.
    pub export: Export,
}

/// A body in the encoding of the exporter.
#[derive(Debug, Clone)]
pub enum Body {
    /// gRPC or `application/x-protobuf`.
    Protobuf(Vec<u8>),
    /// `application/json`.
    Json(String),
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub enum Export {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
}

/// The `truth` of an expectation.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Truth {
    pub top_level_invocations: usize,
    pub agent_invocations: Vec<AgentInvocation>,
    pub nesting: String,
    pub llm_calls: usize,
    pub llm_calls_failed: usize,
    pub tool_calls: Vec<ToolCall>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub cached_input_tokens: Option<i64>,
    pub reasoning_output_tokens: Option<i64>,
    /// The input and output tokens of each successful call.
    pub per_call_tokens: Vec<(i64, i64)>,
    pub models_requested: Vec<String>,
    pub models_responded: Vec<String>,
    pub user_prompts: Vec<String>,
    pub assistant_final_answers: Vec<String>,
    pub thinking_text: Option<String>,
    pub status: String,
    pub session_id: Option<String>,
    pub error: Option<Failure>,
}

/// One invocation of an agent.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AgentInvocation {
    pub agent: String,
    pub parent_agent: Option<String>,
}

/// A tool call that a model requested.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ToolCall {
    pub name: String,
    pub arguments: Value,
    pub result: Option<String>,
    pub error: Option<String>,
    /// `handoff` or `sub-agent`, if it is not a plain tool.
    pub kind: Option<String>,
}

/// The failure of a scenario.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Failure {
    pub message_contains: String,
}

/// The `payload` of an expectation.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Payload {
    /// The number of trace ids.
    pub traces: usize,
    pub root_spans: Vec<String>,
    /// The number of spans by the dialect's own kind.
    pub op_counts: BTreeMap<String, usize>,
    pub llm_like_spans: usize,
    pub texts: BTreeMap<String, Found>,
}

/// Whether the spans contain a text of the truth.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Found {
    pub found: bool,
}

#[derive(Deserialize)]
struct Line {
    scenario: String,
    truth: Truth,
    payload: Payload,
    requests: Vec<PackedRequest>,
}

/// A request as it is packed.
#[derive(Deserialize)]
pub struct PackedRequest {
    signal: String,
    path: String,
    protobuf: Option<String>,
    json: Option<String>,
}

/// All captures, by SDK and scenario.
pub fn captures() -> &'static [Capture] {
    static CAPTURES: OnceLock<Vec<Capture>> = OnceLock::new();
    CAPTURES.get_or_init(read_all)
}

/// The captures that `RUNTRACED_TEST_CAPTURE` selects: an SDK, or one scenario of
/// it. All captures if the variable is not set.
pub fn chosen() -> Vec<&'static Capture> {
    let only = env::var("RUNTRACED_TEST_CAPTURE").unwrap_or_default();
    let chosen =
        |capture: &&Capture| only.is_empty() || capture.sdk == only || capture.name() == only;
    captures().iter().filter(chosen).collect()
}

fn read_all() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/otlp");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Capture> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let sdk = name.strip_suffix(".jsonl.zst").unwrap();
    let packed = fs::read(file).unwrap();
    let lines = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    let capture = |line: &str| {
        let line: Line = serde_json::from_str(line).unwrap();
        Capture {
            sdk: sdk.to_owned(),
            scenario: line.scenario,
            truth: line.truth,
            payload: line.payload,
            requests: line
                .requests
                .into_iter()
                .map(PackedRequest::unpack)
                .collect(),
        }
    };
    lines.lines().map(capture).collect()
}

impl PackedRequest {
    /// The request itself.
    pub fn unpack(self) -> Request {
        let body = match (self.protobuf, self.json) {
            (Some(hex), None) => Body::Protobuf(bytes(&hex)),
            (None, Some(json)) => Body::Json(json),
            other => panic!("expected one body, got {other:?}"),
        };
        let export = match (self.signal.as_str(), &body) {
            ("traces", Body::Protobuf(bytes)) => {
                Export::Traces(ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap())
            }
            ("traces", Body::Json(text)) => Export::Traces(serde_json::from_str(text).unwrap()),
            ("logs", Body::Protobuf(bytes)) => {
                Export::Logs(ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap())
            }
            (signal, _) => panic!("unknown signal in the captures: {signal}"),
        };
        Request {
            path: self.path,
            body,
            export,
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn every_capture_matches_its_payload_summary() {
    let captures = captures();
    assert_eq!(captures.len(), 163);
    for capture in captures {
        let spans = capture
            .requests
            .iter()
            .map(|request| match &request.export {
                Export::Traces(export) => export
                    .resource_spans
                    .iter()
                    .flat_map(|resource| &resource.scope_spans)
                    .map(|scope| scope.spans.len())
                    .sum(),
                Export::Logs(_) => 0,
            });
        let spans: usize = spans.sum();
        let told: usize = capture.payload.op_counts.values().sum();
        assert_eq!(spans, told, "{}", capture.name());
    }
}
