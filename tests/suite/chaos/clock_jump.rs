//! The daemon's wall clock jumps.

use std::time::Duration;

use prost_types::Duration as ProtoDuration;
use runtraced::proto::{Durability, EndStatus};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::machine::Machine;
use crate::support::events::{
    new_id, run_ended, run_started, started_with, step, step_started, tokens,
};
use crate::support::product::{poison, refuse_poison};
use crate::support::tables::{eventually, row};
use crate::support::{pg, valid};

const TEN_YEARS: i64 = 3_650 * 86_400;

/// Scenario: the daemon's clock jumps ten years ahead, then to ten years behind, then back to where it was. Each
/// time a run is sent and ended, another with a timeout of half a second falls silent, an event comes that only
/// Postgres refuses, and Postgres goes away and comes back while a run is spooled. A run from before stays open.
/// Guarantees: the log shows the wrong year, so the clock did jump. Runs end as sent; the silent run is closed at
/// its last event and the open one is not; what was spooled is replayed; whatever has the time at which it came or
/// is due has it by the database's clock.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_by_the_daemons_wall_clock() {
    let mut cluster = pg::own_cluster().await;
    let machine = Machine::new();
    let args = [
        "--spool-bytes",
        "1073741824",
        "--spool-after",
        "5",
        "--sweep-interval",
        "0.1",
    ];
    let mut daemon = machine.spawn(cluster.url(), &args).await;
    daemon.expect_warnings("the database is away");
    daemon.wait_ready().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    refuse_poison(&mut conn).await;
    conn.close().await.unwrap();
    let open = new_id();
    daemon
        .submit(vec![run_started(0, open), step_started(1, open, new_id())])
        .await;
    for (round, seconds) in [TEN_YEARS, -TEN_YEARS, 0].into_iter().enumerate() {
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        machine.set_clock(seconds);
        // A call on its way has read the jump before, and counts when it ends.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = machine.shifted();
        let [ended, silent, spooled] = [(); 3].map(|()| new_id());
        let impatient = started_with(run_started(0, silent), |started| {
            started.timeout = Some(ProtoDuration {
                seconds: 0,
                nanos: 500_000_000,
            });
        });
        daemon
            .submit(vec![
                run_started(0, ended),
                step(100, 200, ended, new_id()),
                tokens(200, ended, new_id(), 30, 20),
                run_ended(1_000, ended, EndStatus::Completed),
                impatient,
                step(100, 700, silent, new_id()),
            ])
            .await;
        let poisoned = valid::message(|message| message.tool_calls_json = poison());
        assert_eq!(daemon.submit(vec![poisoned]).await.refused.len(), 1);
        let how = |run, by| {
            format!(
                "SELECT finalized_by = '{by}' AS by, duration_ms AS ms, coalesce(total_tokens_input, 0) AS input
                 FROM agent_runs WHERE id = '{run}'"
            )
        };
        let want = json!({"by": true, "ms": 1_000, "input": 30});
        assert_eq!(row(&mut conn, &how(ended, "client")).await, want);
        let want = json!({"by": true, "ms": 700, "input": 0});
        eventually(&mut conn, &how(silent, "abandoned"), want).await;
        let due = format!(
            "SELECT status, abandon_at BETWEEN now() AND now() + interval '2 hours' AS due
             FROM agent_runs WHERE id = '{open}'"
        );
        let want = json!({"status": "running", "due": true});
        assert_eq!(row(&mut conn, &due).await, want);

        conn.close().await.unwrap();
        cluster.stop_immediate().await;
        let client = daemon.client().await;
        let run = vec![
            run_started(0, spooled),
            run_ended(50, spooled, EndStatus::Completed),
        ];
        let answer = client.submit(run).await.unwrap();
        assert_eq!(answer.durability(), Durability::Spooled);
        cluster.start().await;
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        let there = format!(
            "SELECT count(*) AS n FROM agent_runs
             WHERE id = '{spooled}' AND finalized_by = 'client' AND duration_ms = 50"
        );
        eventually(&mut conn, &there, json!({"n": 1})).await;
        daemon.wait_ready().await;
        let abandoned = daemon.metrics().await["runtraced_runs_abandoned_total"];
        assert_eq!(abandoned, round as u64 + 1);
        // The last words are of now, in the daemon's opinion.
        let logs = daemon.logs();
        let last: serde_json::Value = serde_json::from_str(logs.lines().last().unwrap()).unwrap();
        let said = last["timestamp"].as_str().unwrap();
        let opinion = format!(
            "SELECT abs(extract(epoch FROM '{said}'::timestamptz - now()) - {seconds}) < 60 AS shifted"
        );
        assert_eq!(
            row(&mut conn, &opinion).await,
            json!({"shifted": true}),
            "{said}"
        );
        assert_eq!(machine.shifted() > before, seconds != 0);
        let clocks = format!(
            "SELECT (SELECT count(*) FROM ingest_dead_letters WHERE {now} (received_at)) AS letters,
                    (SELECT count(*) FROM ingest_ledger WHERE NOT ({now} (updated_at) AND {now} (started_at))) AS wrong",
            now = "tstzrange(now() - interval '1 hour', now(), '[]') @>"
        );
        let want = json!({"letters": round + 1, "wrong": 0});
        assert_eq!(row(&mut conn, &clocks).await, want);
        conn.close().await.unwrap();
    }
    daemon.finish().await;
}
