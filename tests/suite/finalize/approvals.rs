//! Approvals that nobody decides.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, ApprovalStatus, Event};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::IMPATIENT;
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, at, event, id, new_id, run_started};
use crate::support::pg;
use crate::support::tables::{eventually, row};

/// Long past on the database's clock, and long to come.
const PAST: i64 = -86_400_000;
const FUTURE: i64 = 100 * 365 * 86_400_000;

fn requested(millis: i64, run: Uuid, approval: Uuid, expires: i64) -> Event {
    let mut event = approval_requested(millis, run, approval);
    if let Some(Body::ApprovalRequested(request)) = &mut event.event {
        request.expires_at = Some(at(expires));
    }
    event
}

fn decided(millis: i64, run: Uuid, approval: Uuid, status: ApprovalStatus) -> Event {
    let decided = proto::ApprovalDecided {
        approval_id: id(approval),
        run_id: id(run),
        status: status.into(),
        ..Default::default()
    };
    event(millis, Body::ApprovalDecided(decided))
}

fn status_query(approval: Uuid) -> String {
    format!("SELECT status FROM approvals WHERE id = '{approval}'")
}

async fn status(conn: &mut PgConnection, approval: Uuid) -> Value {
    row(conn, &status_query(approval)).await["status"].clone()
}

/// Scenario: requests whose time has passed, will pass long from now, or never passes; the first
/// is asked again, first with a time to come, then with one that has passed; then it is decided;
/// then asked again. Another is decided before its time is looked at.
/// Guarantees: only what has passed expires; asking again opens it again, and it can expire again;
/// a decision, however late, stands over the expiry and over later requests.
#[tokio::test(flavor = "multi_thread")]
async fn approvals_expire_and_a_late_decision_overrides() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--sweep-interval", "0.1"]).await;
    let mut conn = database.connect().await;
    let [run, asked, later, never, approved] = [(); 5].map(|()| new_id());
    daemon
        .submit(vec![
            run_started(0, run),
            requested(10, run, asked, PAST),
            requested(10, run, later, FUTURE),
            approval_requested(10, run, never),
            requested(10, run, approved, PAST),
            decided(20, run, approved, ApprovalStatus::Approved),
        ])
        .await;
    let expired = json!({"status": "expired"});
    eventually(&mut conn, &status_query(asked), expired.clone()).await;
    // A retry of the request is nothing new.
    daemon.submit(vec![requested(10, run, asked, PAST)]).await;
    assert_eq!(status(&mut conn, asked).await, "expired");

    daemon.submit(vec![requested(30, run, asked, FUTURE)]).await;
    assert_eq!(status(&mut conn, asked).await, "pending");
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(status(&mut conn, asked).await, "pending");
    daemon.submit(vec![requested(40, run, asked, PAST)]).await;
    eventually(&mut conn, &status_query(asked), expired).await;

    daemon
        .submit(vec![decided(15, run, asked, ApprovalStatus::Rejected)])
        .await;
    let decision = format!(
        "SELECT status, (extract(epoch FROM decided_at - '2026-01-01Z') * 1000)::integer AS at FROM approvals WHERE id = '{asked}'"
    );
    let rejected = json!({"status": "rejected", "at": 15});
    assert_eq!(row(&mut conn, &decision).await, rejected);
    daemon.submit(vec![requested(90, run, asked, PAST)]).await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(row(&mut conn, &decision).await, rejected);

    for (approval, want) in [
        (later, "pending"),
        (never, "pending"),
        (approved, "approved"),
    ] {
        assert_eq!(status(&mut conn, approval).await, want);
    }
    assert_eq!(
        daemon.metrics().await["runtraced_approvals_expired_total"],
        2
    );
    daemon.finish().await;
}

/// Scenario: two daemons, many expired requests at once.
/// Guarantees: each expires once; waiting does not keep a run alive or close it.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_expire_each_approval_once() {
    let database = pg::database().await;
    let daemons = [
        Daemon::with_args(database.url(), &IMPATIENT).await,
        Daemon::with_args(database.url(), &IMPATIENT).await,
    ];
    let run = new_id();
    let requests = (0..1_100).map(|_| requested(10, run, new_id(), PAST));
    daemons[0].submit(requests.collect()).await;
    let mut conn = database.connect().await;
    let pending = "SELECT count(*) AS n FROM approvals WHERE status = 'pending'";
    eventually(&mut conn, pending, json!({"n": 0})).await;
    super::abandoned(&mut conn, run).await;
    let mut expired = 0;
    for daemon in &daemons {
        expired += daemon.metrics().await["runtraced_approvals_expired_total"];
    }
    assert_eq!(expired, 1_100);
    for daemon in daemons {
        daemon.finish().await;
    }
}
