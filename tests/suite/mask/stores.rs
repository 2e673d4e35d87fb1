//! Where else a secret could be kept: the spool, dead letters, answers.

use std::fs;
use std::path::Path;

use runtraced::proto::Event;

use super::events::{events_with, lines};
use super::secrets::secrets;
use super::{DataDir, check_nothing_found, daemon, found_in};
use crate::support::daemon::AWAY;
use crate::support::otlp::post;
use crate::support::pg;
use crate::support::product::before_insert;
use crate::support::spool::SpoolDir;

/// The bytes of all files of a folder.
fn files(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() {
            files(&path)
        } else {
            fs::read(&path).unwrap()
        });
    }
    all
}

/// Scenario: secrets arrive while Postgres is away. Later it is back.
/// Guarantees: no secret is in the files of the spool, nor in the database afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_spooled() {
    let mut cluster = pg::own_cluster().await;
    let (data, spool) = (DataDir::new(), SpoolDir::new());
    let flags = spool.flags(&["--spool-after", "0.2"]);
    let mut daemon = daemon(cluster.url(), &data.flags(&flags)).await;
    daemon.expect_warnings(AWAY);
    cluster.stop_immediate().await;
    let secrets = secrets(48, 14);
    let events: Vec<Event> = secrets.iter().flat_map(events_with).collect();
    let answer = post(&daemon, "/v1/events", &[], lines(&events).as_bytes()).await;
    assert_eq!(answer.json()["durability"], "SPOOLED", "{}", answer.text());
    let spooled = files(spool.path());
    assert!(
        memchr::memmem::find(&spooled, b"[masked:").is_some(),
        "nothing is spooled"
    );
    assert_eq!(found_in(&spooled, &secrets), [""; 0], "in the spool");
    cluster.start().await;
    while daemon.metrics().await["runtraced_events_settled_total{outcome=\"spooled\"}"] > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(cluster.url())
        .await
        .unwrap();
    check_nothing_found(&daemon, &mut conn, &secrets).await;
    drop(conn);
    daemon.finish().await;
}

/// Scenario: a product's trigger refuses steps, and repeats their texts in its error.
/// Guarantees: no secret is in the dead letters, in their errors, or in the answer.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_dead_letters() {
    let database = pg::database().await;
    let data = DataDir::new();
    let daemon = daemon(database.url(), &data.flags(&[])).await;
    let mut conn = database.connect().await;
    before_insert(
        &mut conn,
        "agent_steps",
        "RAISE EXCEPTION 'no step %: %', NEW.name, NEW.input; RETURN NEW;",
    )
    .await;
    let secrets = secrets(48, 15);
    let events: Vec<Event> = secrets.iter().flat_map(events_with).collect();
    let answer = post(&daemon, "/v1/events", &[], lines(&events).as_bytes()).await;
    assert!(answer.text().contains("DEAD_LETTERED"), "{}", answer.text());
    assert!(answer.text().contains("[masked:"), "{}", answer.text());
    assert_eq!(found_in(&answer.body, &secrets), [""; 0], "in the answer");
    let letters: i64 = sqlx::query_scalar("SELECT count(*) FROM ingest_dead_letters")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(letters >= 48, "{letters}");
    check_nothing_found(&daemon, &mut conn, &secrets).await;
    daemon.finish().await;
}

/// Scenario: lines that are no events, with secrets in wrong places; OTLP that cannot be read.
/// Guarantees: the answers say what is wrong, without the secrets; neither does the log.
#[tokio::test(flavor = "multi_thread")]
async fn answers_do_not_repeat_secrets() {
    let database = pg::database().await;
    let data = DataDir::new();
    let daemon = daemon(database.url(), &data.flags(&[])).await;
    let secrets = secrets(48, 16);
    for secret in &secrets {
        let text = serde_json::Value::from(secret.text.as_str());
        let body = format!(
            "{{{text}: 1}}\n{{\"time\": {text}}}\n{{\"time\":\"2026-01-01T00:00:00Z\",\"heartbeat\":{{\"run_id\":{text}}}}}\n\
             {{\"heartbeat\":{text}}}\n{{\"run_ended\":{{\"status\":{text}}}}}\n{text}"
        );
        let answer = post(&daemon, "/v1/events", &[], body.as_bytes()).await;
        assert_eq!(
            answer.json()["refused"].as_array().map(Vec::len),
            Some(6),
            "{}",
            answer.text()
        );
        assert_eq!(
            found_in(&answer.body, &secrets),
            [""; 0],
            "{}",
            answer.text()
        );
        for body in [
            format!("{{\"resourceSpans\":{text}}}"),
            format!("{{{text}:[}}"),
            text.to_string(),
        ] {
            let answer = post(
                &daemon,
                "/v1/traces",
                &["Content-Type: application/json"],
                body.as_bytes(),
            )
            .await;
            assert_eq!(
                found_in(&answer.body, &secrets),
                [""; 0],
                "{}",
                answer.text()
            );
        }
    }
    assert_eq!(found_in(daemon.logs().as_bytes(), &secrets), [""; 0]);
    daemon.finish().await;
}
