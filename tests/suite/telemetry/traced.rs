//! Two clients with traces of their own, whose requests continue in the daemon.

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{EndStatus, SubmitRequest};
use tonic::Request;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_ended, run_started};
use crate::support::otlp::{PROTOBUF, post, request, span};
use crate::support::wire::channel;

/// Flags of a daemon that tells all of this, and nothing else.
pub const FLAGS: [&str; 6] = [
    "--otel-sample",
    "1",
    "--writers",
    "1",
    "--sweep-interval",
    "1h",
];

/// The id of either client's span.
const CLIENT_SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

/// The clients.
pub struct Clients {
    pub submitting: Uuid,
    pub exporting: Uuid,
    /// The size of what was exported.
    pub exported_bytes: usize,
}

impl Clients {
    /// One calls `Submit` with two events, the other sends a span over HTTP.
    pub async fn send(daemon: &Daemon) -> Self {
        let (submitting, exporting) = (Uuid::new_v4(), Uuid::new_v4());
        let run = new_id();
        let mut submit = Request::new(SubmitRequest {
            events: vec![run_started(0, run), run_ended(1, run, EndStatus::Completed)],
            ..Default::default()
        });
        let parent = traceparent(submitting).parse().unwrap();
        submit.metadata_mut().insert("traceparent", parent);
        let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
        client.submit(submit).await.unwrap();

        let body = request(vec![span(new_id(), 1)]).encode_to_vec();
        let content_type = format!("Content-Type: {PROTOBUF}");
        let parent = format!("traceparent: {}", traceparent(exporting));
        let answer = post(daemon, "/v1/traces", &[&content_type, &parent], &body).await;
        assert_eq!(answer.status, 200);
        Self {
            submitting,
            exporting,
            exported_bytes: body.len(),
        }
    }

    /// What each of them tells of itself.
    pub fn spans(&self) -> [Span; 2] {
        // One begins before the other.
        [(self.submitting, 1), (self.exporting, 2)].map(|(trace, number)| Span {
            name: "client".into(),
            span_id: CLIENT_SPAN.to_be_bytes().to_vec(),
            ..span(trace, number)
        })
    }
}

fn traceparent(trace: Uuid) -> String {
    format!("00-{}-{CLIENT_SPAN:016x}-01", trace.simple())
}
