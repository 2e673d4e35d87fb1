//! OTLP requests, and the ways to send them.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::daemon::Daemon;

pub const PROTOBUF: &str = "application/x-protobuf";
pub const JSON: &str = "application/json";

/// 2026-01-01T00:00:00Z.
pub const BASE_NANOS: u64 = 1_767_225_600_000_000_000;

/// A span of a second, with the keys of a tool call.
pub fn span(trace: Uuid, number: u64) -> Span {
    Span {
        trace_id: trace.as_bytes().to_vec(),
        span_id: number.to_be_bytes().to_vec(),
        name: format!("span {number}"),
        kind: 1,
        start_time_unix_nano: BASE_NANOS + number * 1_000_000_000,
        end_time_unix_nano: BASE_NANOS + (number + 1) * 1_000_000_000,
        attributes: vec![
            text("openinference.span.kind", "TOOL"),
            text("tool.name", "search"),
            text("input.value", "{\"q\": 1}"),
            text("output.value", "found"),
        ],
        ..Default::default()
    }
}

pub fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub fn attribute(key: &str, content: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(value(content)),
        ..Default::default()
    }
}

pub fn text(key: &str, content: &str) -> KeyValue {
    attribute(key, Value::StringValue(content.into()))
}

/// A request of one resource and one scope.
pub fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "tests")],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "openinference.instrumentation.tests".into(),
                    ..Default::default()
                }),
                spans,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// By name in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Posts a body; headers as lines of `name: value`.
pub async fn post(daemon: &Daemon, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    call(daemon, "POST", path, headers, body).await
}

/// The same with another method.
pub async fn call(
    daemon: &Daemon,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        head += &format!("{header}\r\n");
    }
    let mut bytes = format!("{head}\r\n").into_bytes();
    bytes.extend(body);
    exchange(daemon.http_address(), &bytes).await
}

/// Sends any bytes to an HTTP/1 port and reads the answer to its end.
pub async fn exchange(address: &str, bytes: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // Who is answered early may find the connection closed while it sends.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&answer)));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Answer {
        status: status.parse().unwrap(),
        headers: headers.collect(),
        body: answer[end + 4..].to_vec(),
    }
}
