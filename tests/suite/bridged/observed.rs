//! What parts of a run tell of it.

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

/// Scenario: four parts tell of a run; in every order.
/// Guarantees: field by field the nearest, then the earliest stands, of the
/// output the latest; the session is there.
#[tokio::test(flavor = "multi_thread")]
async fn each_field_is_that_of_the_nearest_part() {
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

/// Scenario: a part tells everything, and the run's own start nothing but its
/// agent; in both orders.
/// Guarantees: the start stands as a whole; the output is still the part's.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_stands_over_all_that_parts_tell() {
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

/// Scenario: two ends of root spans, the later without an output, a part that
/// tells one, and an end of the client without one, or none; in every order.
/// Guarantees: the told output is shown where the end that stands has none, but
/// not against the client's.
#[tokio::test(flavor = "multi_thread")]
async fn the_output_is_the_ends_own_or_what_was_told() {
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

/// Scenario: ends that tell when the run began, with and without a start of its
/// own; in every order.
/// Guarantees: a start says when it began; else the least that an end tells.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_may_tell_when_the_run_began() {
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

/// Scenario: two parts end, the one failed and the other not; a root span's end
/// says that all went well, and, in one case, so does the client; in every order.
/// Guarantees: the outcome of the part that ended last is the run's, unless the
/// client says otherwise.
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
