//! Sends exports to each endpoint of a daemon.

use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse, logs_service_client::LogsServiceClient,
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
    },
};
use opentelemetry_proto::tonic::{
    logs::v1::{ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans},
};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tonic::transport::Channel;

use super::corpus::{Body, Export, Request};
use crate::support::{
    daemon::Daemon,
    otlp::{JSON, PROTOBUF, exchange},
};

/// The protocol and encoding of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Grpc,
    HttpProtobuf,
    HttpJson,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson];
}

/// The endpoints of one daemon.
#[derive(Clone)]
pub struct Endpoints {
    channel: Channel,
    http: String,
}

impl Endpoints {
    /// The endpoints of this daemon.
    pub async fn of(daemon: &Daemon) -> Self {
        let endpoint = Channel::from_shared(daemon.grpc_url().to_owned()).unwrap();
        Self {
            channel: endpoint.connect().await.unwrap(),
            http: daemon.http_address().to_owned(),
        }
    }

    /// Repeats a request as the exporter sent it: the same bytes to the same path,
    /// or over gRPC.
    pub async fn repeat(&self, request: &Request) {
        if request.path.ends_with("/Export") {
            return self.send(&request.export, Way::Grpc).await;
        }
        let (content_type, body) = match &request.body {
            Body::Protobuf(bytes) => (PROTOBUF, bytes.clone()),
            Body::Json(text) => (JSON, text.clone().into_bytes()),
        };
        let answer = self.post(&request.path, content_type, &body).await;
        let json = content_type == JSON;
        check(match &request.export {
            Export::Traces(_) => rejected_spans(read(&answer, json)),
            Export::Logs(_) => rejected_logs(read(&answer, json)),
        });
    }

    /// Sends JSON as it is, which need not be valid.
    pub async fn post_json(&self, path: &str, body: &str) {
        self.post(path, JSON, body.as_bytes()).await;
    }

    /// Sends an export. Fails if a part of it is refused.
    pub async fn send(&self, export: &Export, way: Way) {
        let json = way == Way::HttpJson;
        check(match export {
            Export::Traces(export) if way == Way::Grpc => {
                let mut client = TraceServiceClient::new(self.channel.clone());
                rejected_spans(client.export(export.clone()).await.unwrap().into_inner())
            }
            Export::Traces(export) => rejected_spans(read(
                &self.post_export("/v1/traces", export, json).await,
                json,
            )),
            Export::Logs(export) if way == Way::Grpc => {
                let mut client = LogsServiceClient::new(self.channel.clone());
                rejected_logs(client.export(export.clone()).await.unwrap().into_inner())
            }
            Export::Logs(export) => rejected_logs(read(
                &self.post_export("/v1/logs", export, json).await,
                json,
            )),
        });
    }

    async fn post_export<E: Message + Serialize>(
        &self,
        path: &str,
        export: &E,
        json: bool,
    ) -> Vec<u8> {
        if json {
            let body = serde_json::to_vec(export).unwrap();
            self.post(path, JSON, &body).await
        } else {
            self.post(path, PROTOBUF, &export.encode_to_vec()).await
        }
    }

    /// Returns the body of the answer. Fails if the status is not 200.
    async fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let answer = exchange(&self.http, &request).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.body
    }
}

fn read<A: Message + Default + DeserializeOwned>(answer: &[u8], json: bool) -> A {
    if json {
        serde_json::from_slice(answer).unwrap()
    } else {
        A::decode(answer).unwrap()
    }
}

fn rejected_spans(answer: ExportTraceServiceResponse) -> (i64, String) {
    let partial = answer.partial_success.unwrap_or_default();
    (partial.rejected_spans, partial.error_message)
}

fn rejected_logs(answer: ExportLogsServiceResponse) -> (i64, String) {
    let partial = answer.partial_success.unwrap_or_default();
    (partial.rejected_log_records, partial.error_message)
}

fn check((rejected, why): (i64, String)) {
    assert_eq!(rejected, 0, "{why}");
}

impl Export {
    /// One export for each span or log record.
    pub fn singly(&self) -> Vec<Self> {
        match self {
            Self::Traces(export) => export
                .resource_spans
                .iter()
                .flat_map(single_spans)
                .collect(),
            Self::Logs(export) => export.resource_logs.iter().flat_map(single_logs).collect(),
        }
    }

    /// The same export with every list reversed.
    pub fn reversed(&self) -> Self {
        let mut export = self.clone();
        match &mut export {
            Self::Traces(export) => {
                export.resource_spans.reverse();
                for resource in &mut export.resource_spans {
                    resource.scope_spans.reverse();
                    for scope in &mut resource.scope_spans {
                        scope.spans.reverse();
                    }
                }
            }
            Self::Logs(export) => {
                export.resource_logs.reverse();
                for resource in &mut export.resource_logs {
                    resource.scope_logs.reverse();
                    for scope in &mut resource.scope_logs {
                        scope.log_records.reverse();
                    }
                }
            }
        }
        export
    }
}

fn single_spans(resource: &ResourceSpans) -> impl Iterator<Item = Export> {
    resource.scope_spans.iter().flat_map(move |scope| {
        scope.spans.iter().map(move |span| {
            let scope = ScopeSpans {
                spans: vec![span.clone()],
                ..scope.clone()
            };
            let resource = ResourceSpans {
                scope_spans: vec![scope],
                ..resource.clone()
            };
            Export::Traces(ExportTraceServiceRequest {
                resource_spans: vec![resource],
            })
        })
    })
}

fn single_logs(resource: &ResourceLogs) -> impl Iterator<Item = Export> {
    resource.scope_logs.iter().flat_map(move |scope| {
        scope.log_records.iter().map(move |record| {
            let scope = ScopeLogs {
                log_records: vec![record.clone()],
                ..scope.clone()
            };
            let resource = ResourceLogs {
                scope_logs: vec![scope],
                ..resource.clone()
            };
            Export::Logs(ExportLogsServiceRequest {
                resource_logs: vec![resource],
            })
        })
    })
}
