//! What the daemon says of itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use runtraced::proto::EndStatus;
use runtraced::store::{self, MIGRATIONS};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::daemon::{AWAY, Daemon, OUTCOMES};
use crate::support::events::{message, new_id, run_ended, run_started, step_started, tokens};
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::spool::SpoolDir;
use crate::support::stream::RawStream;
use crate::support::tables::{row, value};

/// Waits until gRPC health says so of a service.
async fn wait_serving(daemon: &Daemon, service: &str, want: ServingStatus) {
    let endpoint = Endpoint::from_shared(daemon.grpc_url().to_owned()).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let response = client.check(request).await.unwrap().into_inner();
        if response.status() == want {
            return;
        }
        assert!(Instant::now() < deadline, "{service:?}: {response:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn wait_all(daemon: &Daemon, ready: bool) {
    daemon.wait_ready_state(ready).await;
    let want = if ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for service in ["", "runtraced.v1.TraceIngest"] {
        wait_serving(daemon, service, want).await;
    }
    assert_eq!(daemon.get("/livez").await.0, 200);
    let gauge = daemon.metrics().await["runtraced_ready"];
    assert_eq!(gauge, u64::from(ready));
}

/// Scenario: Postgres crashes and comes back, then freezes and thaws, while nothing is sent.
/// Guarantees: /readyz, gRPC health and `status --ready`, which asks no database, follow within
/// seconds and say why; /livez does not waver.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_postgres_and_liveness_does_not() {
    let mut cluster = pg::own_cluster().await;
    let daemon = Daemon::start(cluster.url()).await;
    wait_all(&daemon, true).await;
    let http = daemon.http_address().to_owned();
    let status = ["status", "--ready", "--http", &http];
    let asked = async || runtraced(&status, "postgresql://127.0.0.1:9/none").await;
    assert_eq!(asked().await, (0, "ready\n".to_owned()));
    cluster.stop_immediate().await;
    wait_all(&daemon, false).await;
    let answer = daemon.get("/readyz").await;
    assert_eq!(
        answer,
        (503, "not ready: the database is away\n".to_owned())
    );
    assert_eq!(asked().await, (1, answer.1));
    cluster.start().await;
    wait_all(&daemon, true).await;
    cluster.sigstop();
    wait_all(&daemon, false).await;
    let (_, why) = daemon.get("/readyz").await;
    assert_eq!(why, "not ready: the database does not answer\n");
    cluster.sigcont();
    wait_all(&daemon, true).await;
    daemon.finish().await;
    let (code, said) = asked().await;
    assert_eq!(code, 69, "{said}");
}

/// Scenario: the daemon starts while Postgres is down, on a database that has no schema yet; a
/// client sends at once; then Postgres comes up.
/// Guarantees: the daemon lives and says that it waits; then it migrates, gets ready, and commits
/// what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn started_before_its_postgres_it_waits_migrates_and_serves() {
    let mut cluster = pg::own_cluster().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    let create = "CREATE DATABASE fresh TEMPLATE template0";
    sqlx::query(create).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let url = cluster.url().replace("/runtraced?", "/fresh?");
    cluster.stop_immediate().await;

    // As the owner, always: it is to migrate.
    let mut daemon = Daemon::spawn_as_is(&url, &[]).await;
    daemon.expect_warnings(AWAY);
    wait_all(&daemon, false).await;
    let (client, run) = (daemon.client().await, new_id());
    let sent = tokio::spawn(async move { client.submit(vec![run_started(0, run)]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sent.is_finished());
    cluster.start().await;
    wait_all(&daemon, true).await;
    let outcome = sent.await.unwrap().unwrap().outcome.unwrap();
    assert_eq!(outcome.committed, 1);
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let found = format!("SELECT status FROM run_summary WHERE run_id = '{run}'");
    assert_eq!(row(&mut conn, &found).await, json!({"status": "running"}));
    assert!(
        daemon
            .logs()
            .contains("the database is away; waiting for it")
    );
    conn.close().await.unwrap();
    daemon.finish().await;
}

/// Waits until the daemon writes to the database, and to the spool no more.
async fn wait_for_writing(daemon: &Daemon) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !daemon.logs().contains("\"message\":\"ready\"")
        || daemon.metrics().await["runtraced_spooling"] != 0
    {
        assert!(Instant::now() < deadline, "{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Scenario: the daemon starts while its role has no connection left; a client sends; then there
/// are connections.
/// Guarantees: the daemon lives, spools, and says why in one line; it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn started_without_a_connection_left_it_waits() {
    let database = pg::empty_database().await;
    let mut conn = database.connect().await;
    let role = format!("limited_{}", new_id().simple());
    let create = format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 0; ALTER DATABASE {} OWNER TO {role}",
        database.name
    );
    let run = async |conn: &mut PgConnection, sql: String| {
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::raw_sql(sql).execute(conn).await.unwrap();
    };
    run(&mut conn, create).await;
    let (base, query) = database.url().split_once('?').unwrap();
    let others = query.split('&').filter(|part| !part.starts_with("user="));
    let query: Vec<&str> = others.collect();
    let url = format!("{base}?{}&user={role}", query.join("&"));
    let dir = SpoolDir::new();
    let mut daemon = Daemon::spawn_as_is(&url, &dir.flags(&[])).await;
    daemon.expect_warnings(AWAY);
    let client = daemon.client().await;
    let spooled = client.submit(vec![run_started(0, new_id())]).await.unwrap();
    assert_eq!(spooled.outcome.unwrap().spooled, 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = daemon.logs();
    let waits: Vec<_> = said
        .lines()
        .filter(|l| l.contains("waiting for it"))
        .collect();
    assert!(
        matches!(&waits[..], [one] if one.contains("53300")),
        "{said}"
    );
    run(&mut conn, format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    wait_for_writing(&daemon).await;
    daemon.finish().await;
    run(
        &mut conn,
        format!("REASSIGN OWNED BY {role} TO CURRENT_USER"),
    )
    .await;
}

/// Scenario: the daemon starts on a schema that is behind, while a table is locked.
/// Guarantees: it lives and says that a lock is in the way, once; it does not keep others from the
/// table for longer than a migration waits; then it migrates by itself.
#[tokio::test(flavor = "multi_thread")]
async fn started_while_a_table_is_locked_it_waits_to_migrate() {
    let database = pg::empty_database().await;
    let mut locker = database.connect().await;
    MIGRATIONS.run_to(18, &mut locker).await.unwrap();
    let lock = "BEGIN; LOCK TABLE agent_runs IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut locker).await.unwrap();
    let dir = SpoolDir::new();
    let mut daemon = Daemon::spawn_as_is(database.url(), &dir.flags(&[])).await;
    daemon.expect_warnings("the schema cannot be brought up to date yet");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !daemon.logs().contains("55P03") {
        assert!(Instant::now() < deadline, "{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut locker).await.unwrap();
    wait_for_writing(&daemon).await;
    daemon.submit(vec![run_started(0, new_id())]).await;
    daemon.finish().await;
}

/// Scenario: a client that has no .proto asks by reflection.
/// Guarantees: ingest, health and reflection are listed, and the file of each event can be had.
#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_every_service() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let endpoint = Endpoint::from_shared(daemon.grpc_url().to_owned()).unwrap();
    let mut client = ServerReflectionClient::new(endpoint.connect().await.unwrap());
    let ask = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("runtraced.v1.TokenCount".to_owned()),
    ]
    .map(|request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    });
    let answers = client.server_reflection_info(tokio_stream::iter(ask)).await;
    let mut answers = answers.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list");
    };
    let names: BTreeSet<_> = services.service.into_iter().map(|s| s.name).collect();
    let want = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "opentelemetry.proto.collector.logs.v1.LogsService",
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        "opentelemetry.proto.collector.trace.v1.TraceService",
        "runtraced.v1.TraceIngest",
    ];
    assert_eq!(names, want.map(str::to_owned).into());
    let Some(MessageResponse::FileDescriptorResponse(files)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no file");
    };
    let file: prost_types::FileDescriptorProto =
        prost::Message::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
    assert_eq!(file.name(), "runtraced/v1/event.proto");
    drop((client, answers));
    daemon.finish().await;
}

/// The names of the counts of all histograms.
fn histogram_counts() -> Vec<String> {
    let mut names = vec!["runtraced_replay_lag_seconds_count".to_owned()];
    for endpoint in ["stream", "submit", "events", "otlp_grpc", "otlp_http"] {
        let label = format!("endpoint=\"{endpoint}\"");
        names.push(format!("runtraced_request_bytes_count{{{label}}}"));
        names.extend(["committed", "spooled"].map(|durability| {
            format!("runtraced_ack_seconds_count{{{label},durability=\"{durability}\"}}")
        }));
    }
    names.extend(
        [
            "admit", "queue", "plan", "lock", "copy", "merge", "settle", "commit", "spool",
        ]
        .map(|phase| format!("runtraced_phase_seconds_count{{phase=\"{phase}\"}}")),
    );
    for unit in ["events", "bytes"] {
        names
            .extend(["shard", "replayer"].map(|writer| {
                format!("runtraced_write_batch_{unit}_count{{writer=\"{writer}\"}}")
            }));
    }
    names
}

/// Scenario: a scrape before and after a batch with a duplicate, a refused event and a NUL.
/// Guarantees: every metric is there by its documented name and counts what happened.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_their_names_and_count() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let names = |metrics: &std::collections::HashMap<String, u64>| -> BTreeSet<String> {
        // The buckets of a histogram come with its count.
        let names = metrics.keys().filter(|name| !name.contains("_bucket{"));
        names.cloned().collect()
    };
    let settled =
        |outcome: &str| format!("runtraced_events_settled_total{{outcome=\"{outcome}\"}}");
    let mut want: BTreeSet<String> = OUTCOMES.map(settled).into();
    want.extend(
        ["missing", "malformed", "unknown", "not_loaded", "customer"]
            .map(|reason| format!("runtraced_auth_failures_total{{reason=\"{reason}\"}}")),
    );
    want.extend(
        [
            "runtraced_events_received_total",
            "runtraced_content_new_bytes_total",
            "runtraced_content_values_bytes_total",
            "runtraced_keys_valid",
            "runtraced_key_limited_total",
            "runtraced_masked_total{kind=\"unchecked\"}",
            "runtraced_memory_budget_bytes",
            "runtraced_memory_used_bytes",
            "runtraced_otlp_not_understood_total{scope=\"\"}",
            "runtraced_ready",
            "runtraced_repaired_nuls_total",
            "runtraced_repaired_surrogates_total",
            "runtraced_repaired_utf8_total",
            "runtraced_cut_values_total",
            "runtraced_cut_texts_total",
            "runtraced_runs_abandoned_total",
            "runtraced_approvals_expired_total",
        ]
        .map(str::to_owned),
    );
    want.extend(
        [
            "agent_contents",
            "agent_messages",
            "agent_runs",
            "agent_scores",
            "agent_sessions",
            "agent_shared_contents",
            "agent_step_aliases",
            "agent_steps",
            "agent_token_counts",
            "approvals",
            "ingest_dead_letters",
        ]
        .map(|table| format!("runtraced_reaped_rows_total{{table=\"{table}\"}}")),
    );
    want.extend(
        ["sent", "queue_full", "not_taken"]
            .map(|outcome| format!("runtraced_own_spans_total{{outcome=\"{outcome}\"}}")),
    );
    want.extend(histogram_counts());
    for door in ["grpc", "http"] {
        want.insert(format!("runtraced_connections{{door=\"{door}\"}}"));
        want.insert(format!(
            "runtraced_connections_accepted_total{{door=\"{door}\"}}"
        ));
        want.extend(["full", "tls", "slow", "idle", "protocol"].map(|reason| {
            format!("runtraced_connections_ended_total{{door=\"{door}\",reason=\"{reason}\"}}")
        }));
    }
    assert_eq!(names(&daemon.metrics().await), want);

    let (run, count) = (new_id(), new_id());
    let mut broken = message(1, Some(run), None, new_id());
    if let Some(runtraced::proto::event::Event::MessageAppended(message)) = &mut broken.event {
        message.content = Some("a\0b".to_owned());
    }
    let events = vec![
        tokens(1, run, count, 1, 1),
        tokens(1, run, count, 1, 1),
        tokens(1, run, new_id(), -1, 1),
        broken,
    ];
    let outcome = daemon.submit(events).await;
    assert_eq!(
        (outcome.committed, outcome.duplicate, outcome.refused.len()),
        (2, 1, 1)
    );
    let metrics = daemon.metrics().await;
    assert_eq!(names(&metrics), want);
    for (outcome, count) in [("committed", 2), ("duplicate", 1), ("refused", 1)] {
        assert_eq!(metrics[&settled(outcome)], count, "{outcome}");
    }
    assert_eq!(metrics["runtraced_events_received_total"], 4);
    assert_eq!(metrics["runtraced_repaired_nuls_total"], 1);
    daemon.finish().await;
}

/// Scenario: an agent streams its run event by event and waits for each ack.
/// Guarantees: whatever is acked can be read in the timeline and the summary at once, long before the run ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_run_is_visible_while_it_runs() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut stream = RawStream::open(daemon.grpc_url()).await;
    let mut conn = database.connect().await;
    let (run, step) = (new_id(), new_id());
    let items = format!(
        "SELECT coalesce(jsonb_agg(item || ':' || coalesce(status, '') ORDER BY position), '[]')
         FROM run_timeline WHERE run_id = '{run}'"
    );
    let summary = format!(
        "SELECT status, open_steps AS open, tokens_input AS input, running_ms IS NOT NULL AS live
         FROM run_summary WHERE run_id = '{run}'"
    );
    for (event, want, open, input) in [
        (run_started(0, run), json!([]), 0, None),
        (
            step_started(10, run, step),
            json!(["step:running"]),
            1,
            None,
        ),
        (
            message(20, Some(run), None, new_id()),
            json!(["step:running", "message:"]),
            1,
            None,
        ),
        (
            tokens(30, run, new_id(), 7, 1),
            json!(["step:running", "message:", "tokens:"]),
            1,
            Some(7),
        ),
    ] {
        assert!(stream.send(vec![event]).await);
        stream.acked().await;
        assert_eq!(value(&mut conn, &items).await, want);
        let want = json!({"status": "running", "open": open, "input": input, "live": true});
        assert_eq!(row(&mut conn, &summary).await, want);
    }
    assert!(
        stream
            .send(vec![run_ended(40, run, EndStatus::Completed)])
            .await
    );
    stream.acked().await;
    let want = json!({"status": "completed", "open": 0, "input": 7, "live": false});
    assert_eq!(row(&mut conn, &summary).await, want);
    drop(stream);
    daemon.finish().await;
}

/// Scenario: the server refuses a setting that a connection begins with, by a code of bad data.
/// Guarantees: no event is blamed for it.
#[tokio::test]
async fn a_connection_that_the_server_refuses_is_an_outage() {
    let database = pg::database().await;
    for setting in ["work_mem=none", "vacuum_cost_limit=0", "DateStyle=none"] {
        let url = format!("{}&options=-c%20{setting}", database.url());
        let error = PgConnection::connect(&url).await.unwrap_err();
        let code = error.as_database_error().unwrap().code();
        assert_eq!(code.as_deref(), Some("22023"), "{error}");
        assert!(store::is_outage(&error), "{error}");
    }
}
