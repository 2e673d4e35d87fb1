//! Live lists and runs.

use runtraced::proto::EndStatus;
use runtraced::proto::event::Event as Body;
use serde_json::Value;
use sqlx::raw_sql;
use uuid::Uuid;

use super::client::{Events, get};
use crate::support::daemon::Daemon;
use crate::support::events::{
    details, new_id, run_ended, run_started, step, step_ended, step_started,
};
use crate::support::pg;

/// Scenario: fifty clients look at a run while steps begin and end.
/// Guarantees: each gets every step and the end; a client that comes again gets what it missed.
#[tokio::test]
async fn fifty_tails_of_a_busy_run_see_its_end() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, first) = (new_id(), new_id());
    daemon
        .submit(vec![run_started(0, run), step_started(10, run, first)])
        .await;
    let path = format!("/api/runs/{run}/events");
    let mut tails = Vec::new();
    for _ in 0..50 {
        let mut tail = Events::open(&daemon, &path, &[]).await;
        let snapshot = tail.wait_for("snapshot").await;
        assert_eq!(snapshot["rows"]["count"], 1);
        tails.push(tail);
    }
    let before = tails[0].last_id.clone();
    daemon.submit(vec![step_ended(500, run, first)]).await;
    for tail in &mut tails {
        let change = tail.wait_for("change").await;
        assert_eq!(change["rows"][0]["id"], first.to_string());
        assert_eq!(change["rows"][0]["status"], "completed");
    }
    // One that lost its connection before the change.
    let mut again = Events::open(&daemon, &path, &[("Last-Event-ID", &before)]).await;
    let (kind, missed) = again.next().await.unwrap();
    assert_eq!(
        (kind.as_str(), &missed["rows"][0]["id"]),
        ("change", &first.to_string().into())
    );
    for at in 1..=5 {
        let steps = (0..1_000)
            .map(|_| step(at * 1_000, at * 1_000 + 5, run, new_id()))
            .collect();
        daemon.submit(steps).await;
    }
    daemon
        .submit(vec![run_ended(9_000, run, EndStatus::Completed)])
        .await;
    for tail in &mut tails {
        tail.wait_for("end").await;
        assert_eq!(tail.next().await, None, "nothing follows the end");
    }
    // A run that is over: all of it, and the end.
    let mut over = Events::open(&daemon, &path, &[]).await;
    assert_eq!(over.wait_for("snapshot").await["rows"]["count"], 5_001);
    over.wait_for("end").await;
    daemon.finish().await;
}

/// Scenario: a list with a filter is looked at while runs begin and end.
/// Guarantees: runs that fit appear and change, others do not, and one that no longer fits is told as gone.
#[tokio::test]
async fn a_live_list_shows_what_fits_its_filter() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut list = Events::open(&daemon, "/api/runs/events?status=running", &[]).await;
    assert_eq!(
        list.wait_for("snapshot").await["rows"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let (run, over) = (new_id(), new_id());
    daemon
        .submit(vec![
            run_started(0, over),
            run_ended(5, over, EndStatus::Completed),
            run_started(0, run),
        ])
        .await;
    let change = list.wait_for("change").await;
    assert_eq!(change["rows"].as_array().unwrap().len(), 1);
    assert_eq!(change["rows"][0]["run_id"], run.to_string());
    daemon
        .submit(vec![run_ended(10, run, EndStatus::Completed)])
        .await;
    let change = list.wait_for("change").await;
    assert_eq!(change["gone"][0], run.to_string());
    // Whoever waits does not hold up the end of the daemon.
    assert_eq!(get(&daemon, "/api/me").await.status, 200);
    daemon.finish().await;
}

/// Scenario: the database stops to answer while somebody looks at a list, and then answers again.
/// Guarantees: the client is told to come again, so that nobody takes for live what is not; it hears that the database
/// is away, and later gets the list.
#[tokio::test]
async fn a_list_does_not_stay_live_without_its_database() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::start(database.url()).await;
    daemon.submit(vec![run_started(0, new_id())]).await;
    let path = "/api/runs/events";
    let mut list = Events::open(&daemon, path, &[]).await;
    list.wait_for("snapshot").await;
    raw_sql("ALTER VIEW run_summary RENAME TO away")
        .execute(&mut conn)
        .await
        .unwrap();
    list.wait_for("resume").await;
    assert_eq!(list.next().await, None);
    assert_eq!(get(&daemon, path).await.status, 503);
    raw_sql("ALTER VIEW away RENAME TO run_summary")
        .execute(&mut conn)
        .await
        .unwrap();
    let mut list = Events::open(&daemon, path, &[]).await;
    list.wait_for("snapshot").await;
    daemon.finish().await;
}

/// Bytes that a daemon has in memory.
fn resident(daemon: &Daemon) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", daemon.pid())).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Scenario: 1,500 steps change again and again, a megabyte each time; one client reads every change,
/// four read none.
/// Guarantees: memory does not grow by what they do not read; each is told to come again once it reads,
/// and then gets all there is.
#[tokio::test]
async fn clients_that_do_not_read_cost_little_and_come_again() {
    const CHANGES: i64 = 28;
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--idle-timeout", "600s"]).await;
    let run = new_id();
    let steps: Vec<_> = (0..1_500).map(|_| new_id()).collect();
    let round = |n: i64| -> Vec<_> {
        let one = |id: &Uuid| {
            let mut event = step(10, 1_000 * n, run, *id);
            if let Some(Body::StepEnded(ended)) = &mut event.event {
                ended.status = EndStatus::Failed.into();
                ended.error = Some(format!("{n:03}{}", "x".repeat(197)));
                ended.details = Some(details(&"x".repeat(200)));
            }
            event
        };
        steps.iter().map(one).collect()
    };
    daemon.submit(vec![run_started(0, run)]).await;
    daemon.submit(round(1)).await;
    let path = format!("/api/runs/{run}/events");
    let mut reads = Events::open(&daemon, &path, &[]).await;
    assert_eq!(reads.wait_for("snapshot").await["rows"]["count"], 1_500);
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(Events::open_narrow(&daemon, &path).await);
    }
    let before = resident(&daemon);
    let mut sent = 0;
    for n in 2..2 + CHANGES {
        daemon.submit(round(n)).await;
        let mark = format!("{n:03}");
        let mut changed = 0;
        while changed < 1_500 {
            let change = reads.wait_for("change").await;
            let rows = change["rows"].as_array().unwrap();
            sent += change.to_string().len();
            let is_new = |row: &&Value| {
                row["error"]
                    .as_str()
                    .is_some_and(|error| error.starts_with(&mark))
            };
            changed += rows.iter().filter(is_new).count();
        }
    }
    assert!(sent > 20 << 20, "{sent}");
    let grown = resident(&daemon).saturating_sub(before);
    // What the four did not read is more than 80 MB. The topic keeps 8 MB, and 16 changes wait in it.
    assert!(grown < 80 << 20, "{} MB", grown >> 20);
    for mut slow in idle {
        slow.wait_for("resume").await;
        assert_eq!(slow.next().await, None, "nothing follows");
        let last = slow.last_id.clone();
        let mut again = Events::open(&daemon, &path, &[("Last-Event-ID", &last)]).await;
        assert_eq!(again.next().await.unwrap().0, "snapshot");
    }
    drop(reads);
    daemon.finish().await;
}
