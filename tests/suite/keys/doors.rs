//! Every door asks for keys, in every way in which SDKs send them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{Key, create, create_for, customer, until_judged, with_key};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{new_id, run_started};
use crate::support::otlp::{post, request, span};
use crate::support::spool::SpoolDir;
use crate::support::wire::channel;
use crate::support::{pg, watchdog};

#[derive(Clone, Copy, Debug)]
pub enum Door {
    Native,
    Stream,
    OtlpGrpc,
    OtlpHttp,
}

pub const DOORS: [Door; 4] = [Door::Native, Door::Stream, Door::OtlpGrpc, Door::OtlpHttp];

fn metadata(headers: &[(&str, String)]) -> MetadataMap {
    let mut map = MetadataMap::new();
    for (name, value) in headers {
        let key = MetadataKey::from_bytes(name.as_bytes()).unwrap();
        map.append(key, value.parse().unwrap());
    }
    map
}

fn signed<T>(message: T, headers: &[(&str, String)]) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata(headers);
    request
}

/// Sends something with these headers; how that was answered.
pub async fn ask(daemon: &Daemon, door: Door, headers: &[(&str, String)]) -> Code {
    let events = vec![run_started(0, new_id())];
    let spans = request(vec![span(new_id(), 1)]);
    let code = |result: Result<(), tonic::Status>| result.map_or_else(|s| s.code(), |()| Code::Ok);
    match door {
        Door::Native => {
            let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
            let batch = SubmitRequest {
                events,
                ..Default::default()
            };
            code(client.submit(signed(batch, headers)).await.map(|_| ()))
        }
        Door::Stream => {
            let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
            let requests = tokio_stream::iter([runtraced::proto::StreamRequest {
                sequence: 1,
                events,
                ..Default::default()
            }]);
            match client.stream(signed(requests, headers)).await {
                Ok(acks) => code(acks.into_inner().message().await.map(|ack| {
                    assert_eq!(ack.unwrap().settled_sequence, 1);
                })),
                Err(status) => status.code(),
            }
        }
        Door::OtlpGrpc => {
            let mut client = TraceServiceClient::new(channel(daemon.grpc_url()).await);
            code(client.export(signed(spans, headers)).await.map(|_| ()))
        }
        Door::OtlpHttp => {
            let lines: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .chain(["Content-Type: application/x-protobuf".to_owned()])
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let body = spans.encode_to_vec();
            let answer = post(daemon, "/api/public/otel/v1/traces", &lines, &body).await;
            if answer.status == 200 {
                return Code::Ok;
            }
            let status = tonic_types::Status::decode(&*answer.body).unwrap();
            let status = tonic::Status::new(Code::from(status.code), status.message);
            let http = match status.code() {
                Code::Unauthenticated => 401,
                Code::PermissionDenied => 403,
                Code::InvalidArgument => 400,
                Code::Unavailable => 503,
                other => panic!("{other:?}"),
            };
            assert_eq!(answer.status, http);
            assert_eq!(answer.header("www-authenticate") == "Bearer", http == 401);
            status.code()
        }
    }
}

/// The ways in which a key is sent.
pub fn styles(key: &str) -> Vec<(&'static str, String)> {
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    vec![
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer {key}")),
        ("authorization", key.to_owned()),
        ("authorization", basic(format!("pk-lf-0:{key}"))),
        ("authorization", basic(format!("api:{key}"))),
        ("x-api-key", key.to_owned()),
        ("api-key", key.to_owned()),
        ("api_key", key.to_owned()),
        ("wandb-api-key", key.to_owned()),
    ]
}

/// Scenario: every style of header × every door, with a valid key, with one whose secret is wrong, with one
/// that begins as a key and is none, with a dummy, and with none; the daemon requires keys.
/// Guarantees: only the valid one is let in; the others are told UNAUTHENTICATED, 401 over HTTP; the
/// metrics tell why.
#[tokio::test(flavor = "multi_thread")]
async fn only_valid_keys_are_let_in_however_they_are_sent() {
    let (_database, daemon, key) = with_key(&["--require-keys"], &[]).await;
    let before = daemon.metrics().await;
    let wrong = format!(
        "{}{}",
        &key.text[..99],
        if key.text.ends_with('0') { '1' } else { '0' }
    );
    for door in DOORS {
        for header in styles(&key.text) {
            let answer = ask(&daemon, door, std::slice::from_ref(&header)).await;
            assert_eq!(answer, Code::Ok, "{door:?} {header:?}");
        }
        for text in [wrong.as_str(), "rt_0_1", "sk-dummy"] {
            for header in styles(text) {
                let answer = ask(&daemon, door, std::slice::from_ref(&header)).await;
                assert_eq!(answer, Code::Unauthenticated, "{door:?} {header:?}");
            }
        }
        assert_eq!(ask(&daemon, door, &[]).await, Code::Unauthenticated);
        // A dummy for another product does not stand in the way.
        let both = [
            ("authorization", "Bearer sk-dummy".to_owned()),
            ("x-api-key", key.text.clone()),
        ];
        assert_eq!(ask(&daemon, door, &both).await, Code::Ok, "{door:?}");
    }
    let after = daemon.metrics().await;
    let [doors, styles] = [DOORS.len() as u64, styles("").len() as u64];
    for (reason, count) in [
        ("unknown", doors * styles),
        ("malformed", doors * styles),
        ("missing", doors * (styles + 1)),
        ("not_loaded", 0),
    ] {
        let name = format!("runtraced_auth_failures_total{{reason=\"{reason}\"}}");
        assert_eq!(after[&name] - before[&name], count, "{reason}");
    }
    assert_eq!(after["runtraced_keys_valid"], 1);
    daemon.finish().await;
}

/// Scenario: a daemon that does not require keys gets dummies, nothing, valid and invalid keys.
/// Guarantees: what is not ours is ignored, what is ours is judged.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_dummies_are_ignored_and_keys_are_judged() {
    let (_database, daemon, key) = with_key(&[], &[]).await;
    for door in DOORS {
        for (value, want) in [
            ("Bearer sk-dummy".to_owned(), Code::Ok),
            (format!("Bearer {}", key.text), Code::Ok),
            ("Bearer rt_0_1".to_owned(), Code::Unauthenticated),
            (
                format!("Bearer rt_{:032x}_{:064x}", 1, 2),
                Code::Unauthenticated,
            ),
        ] {
            let answer = ask(&daemon, door, &[("authorization", value.clone())]).await;
            assert_eq!(answer, want, "{door:?} {value}");
        }
        assert_eq!(ask(&daemon, door, &[]).await, Code::Ok);
    }
    daemon.finish().await;
}

/// Scenario: `runtraced-customer` with a key of that customer, of another, of none, and with nonsense.
/// Guarantees: who may write for all may for one; nobody may for another; nonsense is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_may_be_named_by_who_may_write_for_it() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (acme, other) = (customer(&mut conn).await, customer(&mut conn).await);
    let free = create(database.url(), "all", &[]).await;
    let bound = create_for(database.url(), acme).await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    for key in [&free, &bound] {
        until_judged(&daemon, key, true).await;
    }
    let as_whom = |key: &Key, customer: &str| {
        [
            ("authorization", format!("Bearer {}", key.text)),
            ("runtraced-customer", customer.to_owned()),
        ]
    };
    let (acme, other) = (acme.to_string(), other.to_string());
    for door in DOORS {
        for (key, customer, want) in [
            (&free, acme.as_str(), Code::Ok),
            (&free, other.as_str(), Code::Ok),
            (&bound, acme.as_str(), Code::Ok),
            (&bound, other.as_str(), Code::PermissionDenied),
            (&free, "acme", Code::InvalidArgument),
            (&free, &Uuid::nil().to_string(), Code::InvalidArgument),
        ] {
            let answer = ask(&daemon, door, &as_whom(key, customer)).await;
            assert_eq!(answer, want, "{door:?} {customer}");
        }
    }
    daemon.finish().await;
}

/// Scenario: a daemon that requires keys is asked for everything that is not ingest.
/// Guarantees: health, reflection, /livez, /readyz and /metrics need none; a service that does not exist
/// is not told apart from one that needs a key.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ingest_needs_no_key() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    let mut health = HealthClient::new(channel(daemon.grpc_url()).await);
    let request = HealthCheckRequest {
        service: "runtraced.v1.TraceIngest".into(),
    };
    assert_eq!(health.check(request).await.unwrap().into_inner().status, 1);
    for page in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(daemon.get(page).await.0, 200, "{page}");
    }
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
            channel(daemon.grpc_url()).await,
        );
    let list = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            ),
        ),
    };
    let answer = reflection
        .server_reflection_info(tokio_stream::iter([list]))
        .await
        .unwrap();
    assert!(answer.into_inner().message().await.unwrap().is_some());
    let mut grpc = tonic::client::Grpc::new(channel(daemon.grpc_url()).await);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<SubmitRequest, SubmitRequest>::default();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/other.Service/Method");
    let answer = grpc
        .unary(Request::new(SubmitRequest::default()), path, codec)
        .await;
    assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
    daemon.finish().await;
}

/// Scenario: a daemon that has never reached its database gets keys, dummies and nothing, with and
/// without the flag.
/// Guarantees: a key is told to come again (UNAVAILABLE with RetryInfo, 503); who needs none is not held
/// up; who needs one and has none is told so.
#[tokio::test(flavor = "multi_thread")]
async fn before_the_keys_are_known_keys_come_again() {
    let spool = SpoolDir::new();
    let bearer = |text: &str| [("authorization", format!("Bearer {text}"))];
    let key = format!("rt_{:032x}_{:064x}", 1, 2);
    for required in [true, false] {
        let mut args = spool.flags(&["--no-migrate", "--submit-timeout", "0.2"]);
        args.extend(required.then_some("--require-keys"));
        let mut daemon = Daemon::spawn_as_is("postgres://127.0.0.1:1/none", &args).await;
        daemon.expect_warnings(AWAY);
        for door in DOORS {
            assert_eq!(ask(&daemon, door, &bearer(&key)).await, Code::Unavailable);
        }
        let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
        let batch = signed(SubmitRequest::default(), &bearer(&key));
        let status = client.submit(batch).await.unwrap_err();
        assert!(
            status
                .get_details_retry_info()
                .unwrap()
                .retry_delay
                .is_some()
        );
        let want = if required {
            Code::Unauthenticated
        } else {
            Code::Ok
        };
        assert_eq!(ask(&daemon, Door::OtlpHttp, &[]).await, want);
        assert_eq!(ask(&daemon, Door::Native, &bearer("sk-1")).await, want);
        daemon.kill();
    }
}

/// Scenario: `serve` is told to listen beyond loopback, with no word, with `--insecure`, and with keys.
/// Guarantees: without a word it refuses with exit code 64 and says what to say; else it listens, and warns
/// of keys in the clear.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_only_with_keys_or_on_purpose() {
    for flag in ["--grpc-listen", "--http-listen"] {
        let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .args(["serve", flag, "0.0.0.0:0"])
            .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains("--require-keys, or --insecure"), "{said}");
    }
    for word in ["--require-keys", "--insecure"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_runtraced"))
            .args(["serve", "--grpc-listen", "0.0.0.0:0"])
            .args(["--http-listen", "127.0.0.1:0", "--spool-bytes", "0", word])
            .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let guard = watchdog::guard_process(child.id());
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let listens = lines.any(|line| line.contains("listening"));
        // Keys in the clear are worth a word.
        let warned = word == "--insecure" || lines.any(|line| line.contains("without TLS"));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(guard);
        assert!(warned, "{word}");
        assert!(listens, "{word}");
    }
}
