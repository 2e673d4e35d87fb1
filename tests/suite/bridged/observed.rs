//! Observations: what the parts of a run tell about it.

use runtraced::proto::EndStatus;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{in_every_order, observed, root_ended};
use crate::support::daemon::Daemon;
use crate::support::events::{at, ended_with, id, run_ended, run_started, started_with};
use crate::support::pg;
use crate::support::tables::row;

async fn read(conn: &mut PgConnection, run: Uuid) -> Value {
    let query = format!(
        "SELECT session_id, agent_id, agent_type, name, input, output, metadata, status FROM agent_runs WHERE id = '{run}'"
    );
    row(conn, &query).await
}

/// Scenario: four parts observe a run; in every order.
/// Guarantees: each field is from the nearest part. Among equals, the earliest part
/// wins, and for the output the latest. The session exists.
#[tokio::test(flavor = "multi_thread")]
async fn each_field_is_from_the_nearest_part() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, session, other]| {
            [
                observed(10, run, 1, |told| {
                    told.agent_id = Some("planner".into());
                    told.input = Some("first question".into());
                    told.output = Some("first answer".into());
                }),
                observed(20, run, 1, |told| {
                    told.session_id = id(other);
                    told.agent_id = Some("writer".into());
                    told.input = Some("second question".into());
                    told.output = Some("last answer".into());
                }),
                observed(30, run, 0, |told| {
                    told.session_id = id(session);
                    told.name = Some("the run".into());
                }),
                observed(1, run, 2, |told| {
                    told.name = Some("far".into());
                    told.agent_type = Some("crew".into());
                    told.agent_id = Some(String::new());
                    told.output = Some("far".into());
                    told.metadata_json = Some("{\"a\": 1}".into());
                }),
            ]
        },
        async |conn, ids| read(conn, ids[0]).await,
        |ids| {
            json!({"session_id": ids[1], "agent_id": "planner", "agent_type": "crew", "name": "the run",
                   "input": "first question", "output": "last answer", "metadata": {"a": 1}, "status": "running"})
        },
    )
    .await;
    daemon.finish().await;
}

/// Scenario: a part observes every field, and the run's own start has only its
/// agent; in both orders.
/// Guarantees: the start wins as a whole. The output is still that of the part.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_wins_over_every_observation() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, session]| {
            [
                observed(10, run, 0, |told| {
                    told.session_id = id(session);
                    told.name = Some("told".into());
                    told.agent_id = Some("told".into());
                    told.input = Some("told".into());
                    told.output = Some("told".into());
                    told.metadata_json = Some("{}".into());
                }),
                started_with(run_started(5, run), |_| {}),
            ]
        },
        async |conn, ids| read(conn, ids[0]).await,
        |_| {
            json!({"session_id": null, "agent_id": "agent", "agent_type": "test", "name": null, "input": null,
                   "output": "told", "metadata": null, "status": "running"})
        },
    )
    .await;
    daemon.finish().await;
}

/// Scenario: two ends of root spans, of which the later has no output; a part that
/// observes an output; and an end of the client without output, or no such end; in
/// every order.
/// Guarantees: the observed output is shown if the winning end has none, but not if
/// that end is the client's.
#[tokio::test(flavor = "multi_thread")]
async fn the_output_is_from_the_end_or_from_an_observation() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for (later, by_client, want) in [
        (None, false, json!("told")),
        (Some("later"), false, json!("later")),
        (Some("later"), true, Value::Null),
    ] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run]| {
                let last = if by_client {
                    run_ended(15, run, EndStatus::Completed)
                } else {
                    root_ended(15, run, |end| end.output = Some("early".into()))
                };
                [
                    root_ended(20, run, |end| end.output = later.map(str::to_owned)),
                    observed(10, run, 0, |told| told.output = Some("told".into())),
                    ended_with(last, |end| end.started_at = Some(at(3))),
                ]
            },
            async |conn, ids| read(conn, ids[0]).await["output"].clone(),
            |_| want.clone(),
        )
        .await;
    }
    daemon.finish().await;
}

/// Scenario: ends that have a start time, with and without a start of the run; in
/// every order.
/// Guarantees: the start time is that of the start, else the earliest of the ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_may_give_the_start_time() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for (started, want) in [(false, 98), (true, 60)] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run]| {
                let third = if started {
                    run_started(40, run)
                } else {
                    observed(1, run, 0, |_| {})
                };
                [
                    root_ended(100, run, |end| end.started_at = Some(at(4))),
                    root_ended(90, run, |end| end.started_at = Some(at(2))),
                    third,
                ]
            },
            async |conn, ids| {
                let query = format!("SELECT duration_ms FROM agent_runs WHERE id = '{}'", ids[0]);
                row(conn, &query).await["duration_ms"].clone()
            },
            |_| json!(want),
        )
        .await;
    }
    daemon.finish().await;
}

/// Scenario: two parts end, and one of them failed. The end of the root span reports
/// success, and in one case the client's end does so too; in every order.
/// Guarantees: the run has the outcome of the part that ended last, unless there is
/// an end of the client.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_failed_when_its_last_part_did_though_the_root_completed() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let failed = json!({"status": "failed", "error": "no such order", "finalized_by": "root_span"});
    let completed = json!({"status": "completed", "error": null, "finalized_by": "root_span"});
    let client = json!({"status": "completed", "error": null, "finalized_by": "client"});
    for (first, last, by_client, want) in [
        (EndStatus::Completed, EndStatus::Failed, false, failed),
        (EndStatus::Failed, EndStatus::Completed, false, completed),
        (EndStatus::Completed, EndStatus::Failed, true, client),
    ] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run]| {
                let part = |time, outcome: EndStatus| {
                    observed(time, run, 1, |told| {
                        told.outcome = outcome.into();
                        told.error = (outcome == EndStatus::Failed).then(|| "no such order".into());
                    })
                };
                let last_word = if by_client {
                    run_ended(15, run, EndStatus::Completed)
                } else {
                    root_ended(15, run, |_| ())
                };
                [
                    part(10, first),
                    part(12, last),
                    root_ended(20, run, |_| ()),
                    last_word,
                ]
            },
            async |conn, ids| {
                let query = format!(
                    "SELECT status, error, finalized_by FROM agent_runs WHERE id = '{}'",
                    ids[0]
                );
                row(conn, &query).await
            },
            |_| want.clone(),
        )
        .await;
    }
    daemon.finish().await;
}

/// Scenario: parts of three services observe a run, one of them twice; in every order.
/// Guarantees: the run shows the earliest metadata, and with it the earliest of each
/// other service.
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_of_every_service_are_kept() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let metadata =
        |service: &str, scope: u32| json!({"resource": {"service.name": service}, "scope": scope});
    let of = |millis, run, metadata: Value| {
        observed(millis, run, 0, |told| {
            told.metadata_json = Some(metadata.to_string());
        })
    };
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run]| {
            [
                of(10, run, metadata("caller", 1)),
                of(20, run, metadata("callee", 1)),
                of(20, run, metadata("callee", 2)),
                of(30, run, metadata("caller", 2)),
                of(5, run, metadata("gateway", 1)),
            ]
        },
        async |conn, ids| read(conn, ids[0]).await["metadata"].clone(),
        |_| {
            let mut want = metadata("gateway", 1);
            want["services"] =
                json!({"callee": metadata("callee", 1), "caller": metadata("caller", 1)});
            want
        },
    )
    .await;
    daemon.finish().await;
}

/// Scenario: parts observe a run with metadata whose service is a number, a text, or beside a
/// number or a depth that few parsers take; in every order, apart and in one batch.
/// Guarantees: only texts name services, and the run keeps the metadata of each.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_text_names_a_service() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let telling = |service: &str| format!("{{\"resource\":{{\"service.name\":{service}}}}}");
    let told = [
        telling("5"),
        telling("\"b\""),
        telling("\"c\",\"n\":1e400"),
        telling(&format!("\"d\",\"deep\":{deep}")),
    ];
    in_every_order(
        &daemon,
        &mut conn,
        |&[run]| {
            told.each_ref().map(|text| {
                observed(10, run, 0, |observed| {
                    observed.metadata_json = Some(text.clone());
                })
            })
        },
        async |conn, ids| {
            let query = format!(
                "SELECT (SELECT jsonb_agg(key ORDER BY key) FROM jsonb_object_keys(metadata -> 'services') AS key) AS names
                 FROM agent_runs WHERE id = '{}'",
                ids[0]
            );
            row(conn, &query).await["names"].clone()
        },
        |_| json!(["c", "d"]),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: parts of 40 services observe a run, the last by name first; in one batch, and one by
/// one in both directions.
/// Guarantees: the run shows the metadata of the first part, and keeps that of the first 32
/// services by name.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_32_services() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let name = |n: i64| format!("service {n:02}");
    let kept: Vec<String> = (0..32).map(name).collect();
    for at_once in [40, 1, -1] {
        let run = Uuid::from_u128(rand::random());
        let mut events: Vec<_> = (0..40)
            .map(|n| {
                observed(100 - n, run, 0, |told| {
                    let metadata = json!({"resource": {"service.name": name(n)}});
                    told.metadata_json = Some(metadata.to_string());
                })
            })
            .collect();
        if at_once < 0 {
            events.reverse();
        }
        for events in events.chunks(usize::try_from(at_once).unwrap_or(1)) {
            daemon.submit(events.to_vec()).await;
        }
        let query = format!(
            "SELECT metadata #>> '{{resource,service.name}}' AS shown,
                    (SELECT jsonb_agg(key ORDER BY key) FROM jsonb_object_keys(metadata -> 'services') AS key) AS kept
             FROM agent_runs WHERE id = '{run}'"
        );
        let want = json!({"shown": "service 39", "kept": kept});
        assert_eq!(row(&mut conn, &query).await, want, "{at_once}");
    }
    daemon.finish().await;
}
