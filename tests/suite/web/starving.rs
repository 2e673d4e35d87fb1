//! Readers that take their time, and those who then want something.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, raw_sql};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::client::{Events, decide_as, get, get_as, post_as};
use super::{approval, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{long_message, new_id, run_started};
use crate::support::pg;

/// How soon somebody gets an answer who wants little. A read waits ten seconds for a connection.
const SOON: Duration = Duration::from_secs(8);

/// Scenario: eight clients ask for a run of 60 MB as a file and do not read it; then one does.
/// Guarantees: the page answers as before, and the file is what `runtraced export` prints.
#[tokio::test]
async fn exports_that_nobody_reads_hold_up_nobody() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    daemon.submit(vec![run_started(0, run)]).await;
    for _ in 0..6 {
        let messages = (0..10).map(|_| long_message(run, 1 << 20)).collect();
        daemon.submit(messages).await;
    }
    let path = format!("/api/runs/{run}/export");
    let mut stalled = Vec::new();
    for _ in 0..8 {
        stalled.push(Events::open_narrow(&daemon, &path).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    assert_eq!(get(&daemon, "/api/runs").await.status, 200);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let whole = get(&daemon, &path).await;
    assert_eq!(whole.status, 200);
    let printed = runtraced(database.url(), &["export", &run.to_string()]);
    assert_eq!(whole.body.lines().count(), 61);
    assert!(whole.body.trim() == printed, "the file is another one");
    drop(stalled);
    daemon.finish().await;
}

/// Scenario: a table is locked, so that eight reads of costs wait; meanwhile a person decides and an
/// agent asks.
/// Guarantees: both are answered at once.
#[tokio::test]
async fn slow_reads_leave_connections_for_approvals() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, asked) = (new_id(), new_id());
    daemon
        .submit(vec![run_started(0, run), approval(10, run, asked, None)])
        .await;
    let mut conn = database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE agent_token_counts IN ACCESS EXCLUSIVE MODE")
        .execute(&mut conn)
        .await
        .unwrap();
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(Events::open_narrow(&daemon, "/api/cost").await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let one = format!("/api/approvals/{asked}");
    assert_eq!(get(&daemon, "/api/approvals").await.status, 200);
    let decided = decide_as(&daemon, "", asked, "approved", "").await;
    assert_eq!(decided.status, 200);
    let found = get(&daemon, &format!("{one}?wait=30s")).await.json();
    assert_eq!(found["approval"]["status"], "approved");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut conn).await.unwrap();
    drop(slow);
    daemon.finish().await;
}

/// Scenario: two hundred clients without a key begin to log in and send no more.
/// Guarantees: who has a key, and the operator, read as before; those log-ins that have a place lose it
/// within seconds, the others are refused at once.
#[tokio::test]
async fn slow_log_ins_take_no_places() {
    let database = pg::database().await;
    let key = runtraced(database.url(), &["keys", "create", "--name", "r", "--read"]);
    let daemon = Daemon::start(database.url()).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(daemon.http_address()).await.unwrap();
        let head = format!(
            "POST /api/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
            daemon.http_address()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        slow.push(Events::of(socket));
    }
    assert_eq!(get_as(&daemon, &key, "/api/runs").await.status, 200);
    assert_eq!(get(&daemon, "/api/runs").await.status, 200);
    let mut answers = [0; 2];
    for one in &mut slow {
        let line = one.line().await;
        match line.split(' ').nth(1) {
            Some("408") => answers[0] += 1,
            Some("429") => answers[1] += 1,
            _ => panic!("{line}"),
        }
    }
    assert_eq!(answers, [128, 72]);
    let body = format!("{{\"key\":\"{}\"}}", "x".repeat(5_000));
    assert_eq!(post_as(&daemon, "", "/api/login", &body).await.status, 413);
    daemon.finish().await;
}

/// Scenario: 20,100 runs, the oldest of which has the most tokens; lists by tokens, cost and duration.
/// Guarantees: the newest 20,000 are sorted and the answer says, as RFC 3339, how far they reach; a list
/// narrowed to less is complete; a second page goes on.
#[tokio::test]
async fn a_list_without_an_index_says_how_far_it_reaches() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    sqlx::raw_sql(
        "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, total_tokens_input)
         SELECT gen_random_uuid(), 'a', 'a', 'completed', '2026-01-01'::timestamptz + n * interval '1 second', 100000 - n
         FROM generate_series(1, 20100) AS n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    for sort in ["tokens", "cost", "duration"] {
        let answer = get(&daemon, &format!("/api/runs?sort={sort}&limit=10")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let list = answer.json();
        assert_eq!(
            list["searched_back_to"], "2026-01-01T00:01:41+00:00",
            "{sort}"
        );
        let cursor = list["next"].as_str().unwrap();
        let path = format!("/api/runs?sort={sort}&limit=10&cursor={cursor}");
        let next = get(&daemon, &path).await.ids("run_id");
        assert_eq!(next.len(), 10);
        let first = answer.ids("run_id");
        assert!(next.iter().all(|id| !first.contains(id)), "{sort}");
    }
    let path = "/api/runs?sort=tokens&until=2026-01-01T00:01:00Z&limit=10";
    let few = get(&daemon, path).await.json();
    assert_eq!(few["searched_back_to"], serde_json::Value::Null);
    assert_eq!(few["rows"][0]["started_at"], "2026-01-01T00:00:01+00:00");
    daemon.finish().await;
}

/// Scenario: the role of `--read-role` is that of the daemon, which owns the tables.
/// Guarantees: readers of one customer get nothing, not everything.
#[tokio::test]
async fn nobody_reads_under_a_role_that_no_policy_binds() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let customer = new_id();
    runtraced(database.url(), &["migrate"]);
    sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)")
        .bind(customer)
        .execute(&mut conn)
        .await
        .unwrap();
    let customer = customer.to_string();
    let args = [
        "keys",
        "create",
        "--name",
        "c",
        "--read",
        "--customer",
        &customer,
    ];
    let key = runtraced(database.url(), &args);
    let owner: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let mut daemon = Daemon::with_args(database.url(), &["--read-role", &owner]).await;
    daemon.expect_warnings("the web cannot read");
    let answer = get_as(&daemon, &key, "/api/runs").await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &"unavailable".into())
    );
    daemon.finish().await;
}

/// Scenario: somebody turns off the policies of one table, on which a reader of one customer depends.
/// Guarantees: that reader gets nothing, not the rows of all customers; the operator still reads.
#[tokio::test]
async fn nobody_reads_a_table_without_policies() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    runtraced(database.url(), &["migrate"]);
    let customer = runtraced(database.url(), &["customers", "add", "--name", "c"]);
    let args = ["keys", "create", "--name", "c", "--read", "--customer"];
    let key = runtraced(database.url(), &[&args[..], &[&customer]].concat());
    let mut daemon = Daemon::start(database.url()).await;
    daemon.expect_warnings("the web cannot read");
    assert_eq!(get_as(&daemon, &key, "/api/runs").await.status, 200);
    for table in ["agent_steps", "approvals"] {
        let off = format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY");
        raw_sql(AssertSqlSafe(off))
            .execute(&mut conn)
            .await
            .unwrap();
        let answer = get_as(&daemon, &key, "/api/runs").await;
        assert_eq!(answer.status, 503, "{table}: {answer:?}");
        assert_eq!(get_as(&daemon, "", "/api/runs").await.status, 200);
        let on = format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY");
        raw_sql(AssertSqlSafe(on)).execute(&mut conn).await.unwrap();
    }
    daemon.finish().await;
}
