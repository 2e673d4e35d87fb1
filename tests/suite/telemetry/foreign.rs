//! The spans at a collector that is not ours: OpenTelemetry's packages for Python, on gRPC's own server.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use serde_json::Value;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use uuid::Uuid;

use super::told::{ToldSpan, in_order, trees};
use super::traced::{Clients, FLAGS};
use super::tree::documented;
use crate::support::daemon::Daemon;
use crate::support::otlp::request;
use crate::support::watchdog::{self, ProcessGuard};
use crate::support::{needed, pg, venv};
use crate::tls::authority::Authority;

/// Scenario: the collector is the one of OpenTelemetry, in clear text and by TLS of a private
/// authority. A client with a trace of its own calls `Submit`, another one sends spans over HTTP.
/// Guarantees: what the collector has is the tree of the page, with the names, kinds and the
/// resource of OpenTelemetry, and came with the headers of its variable.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_collector_has_the_documented_spans() {
    let Some(bin) = needed::or_skip(python()) else {
        return;
    };
    let authority = Authority::new("of the collector");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issued = authority.issue();
    let certificate = [
        file("cert.pem", &issued.cert_pem),
        file("key.pem", &issued.key_pem),
    ];
    let ca = file("ca.pem", &authority.pem);
    let trust = ["--otel-ca", &ca];
    for (scheme, served, trusted) in [("http", &[][..], &[][..]), ("https", &certificate, &trust)] {
        let collector = ForeignCollector::start(&bin, scheme, served);
        let flags = ["--otel-endpoint", &collector.endpoint];
        let flags = [&flags[..], trusted, &FLAGS].concat();
        let database = pg::database().await;
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t0k");
        let daemon = Daemon::spawn_with_env(database.url(), &flags, &[headers]).await;
        daemon.wait_ready().await;
        let clients = Clients::send(&daemon).await;
        let mut channel = Channel::from_shared(collector.endpoint.clone()).unwrap();
        if scheme == "https" {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
            channel = channel.tls_config(tls).unwrap();
        }
        let mut client = TraceServiceClient::new(channel.connect().await.unwrap());
        client
            .export(request(clients.spans().into()))
            .await
            .unwrap();
        daemon.finish().await;
        check(&collector.finish(), &clients);
    }
}

/// The folder of programs of a Python with what the collector needs.
fn python() -> Result<PathBuf, String> {
    venv::environment("foreign-collector", &folder().join("requirements.txt"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/telemetry/collector")
}

fn check(found: &[Value], clients: &Clients) {
    let spans = in_order(found.iter().map(read).collect());
    assert_eq!(trees(&spans), documented());
    for span in found {
        let name = span["name"].as_str().unwrap();
        if name == "client" {
            continue;
        }
        let is_request = ["runtraced.v1.TraceIngest/Submit", "OTLP/HTTP export"].contains(&name);
        let kind = match is_request {
            true => "SPAN_KIND_SERVER",
            false => "SPAN_KIND_INTERNAL",
        };
        assert_eq!(span["kind"], kind, "{span:#}");
        assert_eq!(span["status"], "STATUS_CODE_UNSET", "{span:#}");
        assert_eq!(span["events"], 0, "{span:#}");
        assert_eq!(span["scope"], "runtraced.daemon", "{span:#}");
        assert_eq!(span["authorization"], "Bearer t0k", "{span:#}");
        let resource = &span["resource"];
        assert_eq!(resource["service.name"], "runtraced");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        let instance = resource["service.instance.id"].as_str().unwrap();
        assert!(instance.parse::<Uuid>().is_ok(), "{instance}");
    }
    let one = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let submit = one("runtraced.v1.TraceIngest/Submit");
    assert_eq!(submit.trace, clients.submitting);
    assert_eq!(submit.metadata["runtraced.events"], 2);
    let export = one("OTLP/HTTP export");
    assert_eq!(export.trace, clients.exporting);
    assert_eq!(export.metadata["runtraced.bytes"], clients.exported_bytes);
}

fn read(span: &Value) -> ToldSpan {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let parent = text(&span["parent"]);
    let time = |name: &str| span[name].as_i64().unwrap();
    ToldSpan {
        trace: Uuid::parse_str(&text(&span["trace"])).unwrap(),
        name: text(&span["name"]),
        failed: span["status"] == "STATUS_CODE_ERROR",
        metadata: span["attributes"].clone(),
        id: key(span, &text(&span["id"])),
        parent: (!parent.is_empty()).then(|| key(span, &parent)),
        link_id: text(&span["id"]),
        links: span["links"].as_array().unwrap().iter().map(text).collect(),
        times: (time("begin"), time("end")),
    }
}

/// Both clients' spans have the same id, in traces of their own.
fn key(span: &Value, id: &str) -> String {
    format!("{} {id}", span["trace"].as_str().unwrap())
}

/// The program in Python.
struct ForeignCollector {
    child: Child,
    _guard: ProcessGuard,
    endpoint: String,
    spans: JoinHandle<Vec<Value>>,
}

impl ForeignCollector {
    /// Starts it, with the files of its certificate if it has one.
    fn start(bin: &Path, scheme: &str, certificate: &[String]) -> Self {
        let mut child = Command::new(bin.join("python"))
            .arg(folder().join("collector.py"))
            .args(certificate)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let guard = watchdog::guard_process(child.id());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let read = |line: std::io::Result<String>| serde_json::from_str(&line.unwrap()).unwrap();
        Self {
            child,
            _guard: guard,
            endpoint: format!("{scheme}://127.0.0.1:{port}"),
            spans: std::thread::spawn(move || lines.map(read).collect()),
        }
    }

    /// All spans that it got.
    fn finish(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        self.spans.join().unwrap()
    }
}
