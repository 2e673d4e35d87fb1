//! How the daemon ends, and how it refuses to begin.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use runtraced::proto::{Durability, Event, StreamRequest};
use runtraced_client::RetryPolicy;
use sqlx::{Connection as _, PgConnection};
use tonic::Code;

use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{message, new_id, run_started};
use crate::support::load::Load;
use crate::support::pg;
use crate::support::spool::SpoolDir;
use crate::support::stream::{RawStream, deliver, lanes};
use crate::support::tables::count;
use crate::support::wire::{Exchange, channel};

/// Slack of a busy machine.
const SLACK: Duration = Duration::from_secs(3);

/// Scenario: SIGTERM under load; besides, one stream whose client does not read its acks until
/// the daemon has gone, and one on which nothing happens.
/// Guarantees: exit code 0 long before --drain-timeout; both streams end with UNAVAILABLE after
/// their acks; every acked event is in Postgres; a new daemon takes the retry of everything.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_settles_and_acks_what_was_taken_in() {
    let database = pg::database().await;
    let mut daemon = Daemon::with_args(database.url(), &["--drain-timeout", "30"]).await;
    // A slow machine takes a while for the first answers.
    let patience = Duration::from_secs(5);
    let seed = rand::random::<u32>().into();
    let load = Load::on_mortal(patience, seed, daemon.grpc_url(), 4).await;
    let mut late_reader = RawStream::open(daemon.grpc_url()).await;
    let mut idle = RawStream::open(daemon.grpc_url()).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        let id = new_id();
        ids.push(id);
        assert!(late_reader.send(vec![run_started(0, id)]).await);
    }
    load.wait_for_acks(50).await;
    let begin = Instant::now();
    let status = daemon.terminate().await;
    assert!(status.success(), "{status}\n{}", daemon.logs());
    assert!(begin.elapsed() < Duration::from_secs(10));
    daemon.check_logs();

    let mut settled = 0;
    let end = loop {
        match late_reader.acks.message().await {
            Ok(ack) => {
                let sequence = ack.expect("an error ends the stream").settled_sequence;
                assert!(sequence > settled);
                settled = sequence;
            }
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    assert!(settled > 0);
    assert_eq!(
        idle.acks.message().await.unwrap_err().code(),
        Code::Unavailable
    );
    let mut conn = database.connect().await;
    let acked = &ids[..usize::try_from(settled).unwrap()];
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_runs WHERE id = ANY ($1)")
        .bind(acked)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(found, acked.len() as i64);

    let oracle = load.given_up().await;
    oracle.check_acked(&mut conn).await;
    let daemon = Daemon::start(database.url()).await;
    deliver(&[daemon.client().await], lanes(oracle.batches(), 4)).await;
    oracle.check_all(&mut conn).await;
    daemon.finish().await;
}

/// Scenario: SIGTERM at full load, again and again (20 times in `make chaos`), Postgres being there
/// or stopped just before; the daemons share a spool, one after the other.
/// Guarantees: exit code 0 within the deadline each time; everything acked is in Postgres when the
/// last of them has replayed what the others left.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_at_full_load_again_and_again() {
    let asked = std::env::var("RUNTRACED_DRAINS").ok();
    let times = asked.and_then(|times| times.parse().ok()).unwrap_or(2);
    let mut cluster = pg::own_cluster().await;
    let spool = SpoolDir::new();
    let args = spool.flags(&["--drain-timeout", "15"]);
    let (mut oracles, retry) = (
        Vec::new(),
        RetryPolicy {
            give_up_after: Duration::from_secs(3),
            ..RetryPolicy::default()
        },
    );
    for time in 0..times {
        let away = time % 2 == 1;
        let mut daemon = Daemon::with_args(cluster.url(), &args).await;
        daemon.expect_warnings(AWAY);
        let load = Load::spooled_too(time, &[daemon.grpc_url()], 4, retry).await;
        load.wait_for_acks(30).await;
        if away {
            cluster.stop_immediate().await;
        }
        let begin = Instant::now();
        let status = daemon.terminate().await;
        assert!(status.success(), "{status}\n{}", daemon.logs());
        assert!(
            begin.elapsed() < Duration::from_secs(15),
            "{:?}",
            begin.elapsed()
        );
        daemon.check_logs();
        oracles.push(load.given_up().await);
        if away {
            cluster.start().await;
        }
    }
    let last = Daemon::with_args(cluster.url(), &args).await;
    let spooled = "runtraced_events_settled_total{outcome=\"spooled\"}";
    while last.metrics().await[spooled] > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    for oracle in oracles {
        oracle.check_acked(&mut conn).await;
    }
    conn.close().await.unwrap();
    last.finish().await;
}

/// Scenario: Postgres is away, once stopped and once frozen, with --commit-timeout far beyond
/// --drain-timeout; a batch waits; SIGTERM, and another SIGTERM and SIGINT while it drains.
/// Guarantees: the daemon says that not all was settled and exits with 1 soon after the deadline,
/// undisturbed by the further signals; the batch was not acked.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_postgres_is_away_ends_in_time_and_acks_nothing() {
    for frozen in [false, true] {
        let mut cluster = pg::own_cluster().await;
        let mut daemon = Daemon::with_args(cluster.url(), &["--drain-timeout", "2"]).await;
        for expected in [
            AWAY,
            "still open at the drain deadline",
            "not settled",
            "shut down with",
        ] {
            daemon.expect_warnings(expected);
        }
        let mut stream = RawStream::open(daemon.grpc_url()).await;
        assert!(stream.send(vec![run_started(0, new_id())]).await);
        stream.acked().await;
        if frozen {
            cluster.sigstop();
        } else {
            cluster.stop_immediate().await;
        }
        assert!(stream.send(vec![run_started(0, new_id())]).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begin = Instant::now();
        for signal in ["TERM", "TERM", "INT"] {
            pg::send(daemon.pid(), signal);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let status = daemon.terminate().await;
        let took = begin.elapsed();
        assert_eq!(status.code(), Some(1), "{}", daemon.logs());
        assert!(took >= Duration::from_secs(2), "{took:?}");
        assert!(
            took < Duration::from_secs(2) + SLACK,
            "{took:?}\n{}",
            daemon.logs()
        );
        daemon.check_logs();
        assert!(
            daemon.logs().contains("1 events not settled"),
            "{}",
            daemon.logs()
        );
        assert!(stream.acks.message().await.is_err());
        if frozen {
            cluster.sigcont();
        } else {
            cluster.start().await;
        }
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        assert!(count(&mut conn, "agent_runs").await >= 1);
        conn.close().await.unwrap();
    }
}

/// Seconds of CPU that a process has used, in the kernel too (Linux).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is the program's name, in brackets.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    // Linux tells programs of a hundred a second, whatever its own are.
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

/// Scenario: Postgres is away, once stopped and once frozen, and the daemon has a spool; a stream has
/// sent what may not be spooled, and another client what may; the stream's client has gone in the one
/// case, and waits in the other; SIGTERM.
/// Guarantees: the other is acked from the spool; of the stream's nothing is: who waits is told to send
/// again later, and the daemon ends soon after the deadline, with 1; until then it does next to nothing.
/// The next daemon takes what was sent again, and replays what was spooled.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_spooled_is_waited_for_in_peace_and_not_acked() {
    for frozen in [false, true] {
        let mut cluster = pg::own_cluster().await;
        let spool = SpoolDir::new();
        let args = spool.flags(&["--drain-timeout", "4", "--spool-after", "0.3"]);
        let mut daemon = Daemon::with_args(cluster.url(), &args).await;
        for expected in [
            AWAY,
            "still open at the drain deadline",
            "not settled",
            "shut down with",
        ] {
            daemon.expect_warnings(expected);
        }
        let stream = Exchange::open(channel(daemon.grpc_url()).await).await;
        if frozen {
            cluster.sigstop();
        } else {
            cluster.stop_immediate().await;
        }
        let runs: Vec<_> = (0..20).map(|_| new_id()).collect();
        for (sequence, run) in (1..).zip(&runs) {
            let request = StreamRequest {
                sequence,
                events: vec![run_started(0, *run)],
                least_durability: Durability::Committed.into(),
            };
            stream.requests.send(request).await.unwrap();
        }
        let other = new_id();
        let spooled = daemon.client().await;
        let spooled = spooled.submit(vec![run_started(0, other)]).await.unwrap();
        assert_eq!(spooled.durability(), Durability::Spooled);
        while daemon.metrics().await["runtraced_events_received_total"] < 21 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let gone = !frozen;
        let waiting = if gone {
            drop(stream);
            None
        } else {
            Some(stream)
        };
        pg::send(daemon.pid(), "TERM");
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (from, before) = (Instant::now(), cpu_seconds(daemon.pid()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let busy = (cpu_seconds(daemon.pid()) - before) / from.elapsed().as_secs_f64();
        println!("{:.1} % of one CPU", busy * 100.0);
        assert!(busy < 0.2, "{busy} of one CPU");
        let status = daemon.terminate().await;
        let took = begin.elapsed();
        assert_eq!(status.code(), Some(1), "{}", daemon.logs());
        assert!(took < Duration::from_secs(4) + SLACK, "{took:?}");
        daemon.check_logs();
        let logs = daemon.logs();
        assert!(logs.contains("20 events not settled"), "{logs}");
        if let Some(stream) = waiting {
            let (acks, end) = stream.close().await.unwrap_err();
            assert_eq!(acks, []);
            assert_eq!(end.code(), Code::Unavailable, "{end:?}");
        }

        if frozen {
            cluster.sigcont();
        } else {
            cluster.start().await;
        }
        // Patient: on a busy machine it would spool.
        let patient = spool.flags(&["--spool-after", "5"]);
        let next = Daemon::with_args(cluster.url(), &patient).await;
        let again = runs.iter().map(|run| run_started(0, *run)).collect();
        assert_eq!(next.submit(again).await.committed, 20);
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        while count(&mut conn, "agent_runs").await < 21 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        conn.close().await.unwrap();
        next.finish().await;
    }
}

/// Scenario: a client sends and sends and never reads an ack, until the daemon reads no more from
/// it; then SIGTERM. Another client has sent a batch and reads.
/// Guarantees: while it serves, the other client is not held up; the daemon ends with 0 when the
/// drain deadline has passed, is not ready meanwhile, and has settled all that it had taken in.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_acks_cannot_stop_the_drain() {
    let database = pg::database().await;
    let args = ["--drain-timeout", "3", "--stream-batches", "4"];
    let mut daemon = Daemon::with_args(database.url(), &args).await;
    daemon.expect_warnings("still open at the drain deadline");
    let mut deaf = RawStream::with_window(daemon.grpc_url(), 16).await;
    let (run, limit) = (new_id(), Duration::from_millis(500));
    let batch = || -> Vec<Event> {
        let messages = (0..2_000).map(|n| message(n, Some(run), None, new_id()));
        messages.collect()
    };
    let mut sent = 0;
    while tokio::time::timeout(limit, deaf.send(batch())).await == Ok(true) {
        sent += 1;
        assert!(sent < 1_000, "nothing holds this client back");
    }
    daemon.submit(vec![run_started(0, run)]).await;
    daemon.check_counts().await;
    let received = daemon.metrics().await["runtraced_events_received_total"];

    let begin = Instant::now();
    pg::send(daemon.pid(), "TERM");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(daemon.get("/readyz").await.0, 503);
    assert_eq!(daemon.get("/livez").await.0, 200);
    let status = daemon.terminate().await;
    assert!(status.success(), "{status}\n{}", daemon.logs());
    let took = begin.elapsed();
    assert!(
        took < Duration::from_secs(3) + SLACK,
        "{took:?}\n{}",
        daemon.logs()
    );
    daemon.check_logs();
    let mut conn = database.connect().await;
    let rows = count(&mut conn, "agent_messages").await;
    assert_eq!(rows, i64::try_from(received).unwrap() - 1);
    drop(deaf);
}

/// Scenario: clients hold connections open and do nothing with them.
/// Guarantees: SIGTERM ends the daemon at once all the same.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_up_the_end() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let clients = [daemon.client().await, daemon.client().await];
    clients[0]
        .submit(vec![run_started(0, new_id())])
        .await
        .unwrap();
    let begin = Instant::now();
    daemon.finish().await;
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    drop(clients);
}

async fn serve(args: &[&str], database_url: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command.arg("serve").args(args);
    command.env("DATABASE_URL", database_url);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Scenario: `serve` with several faults in flags and environment.
/// Guarantees: exit code 64; every fault is named, each in a line; the password in the URL is not shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_configuration_is_refused_with_every_fault_named() {
    let args = [
        "--grpc-listen",
        "nowhere",
        "--http-listen",
        "0.0.0.0:0",
        "--writers",
        "0",
        "--sweep-interval",
        "0",
    ];
    let output = serve(&args, "mysql://me:hunter2@localhost/db").await;
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    let flags = [
        "--database-url",
        "--grpc-listen",
        "--http-listen",
        "--writers",
        "--sweep-interval",
    ];
    for flag in flags {
        assert_eq!(
            said.lines().filter(|line| line.contains(flag)).count(),
            1,
            "{flag} in {said}"
        );
    }
    assert_eq!(said.lines().count(), flags.len(), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let output = serve(&["--no-such-flag"], "postgres://localhost/db").await;
    assert_eq!(output.status.code(), Some(64));
}

/// Scenario: the gRPC port is taken; then the HTTP port.
/// Guarantees: the daemon does not start, names the address and why, and exits with 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let database = pg::database().await;
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (flag, other) in [
        ("--grpc-listen", "--http-listen"),
        ("--http-listen", "--grpc-listen"),
    ] {
        let output = serve(&[flag, &taken, other, "127.0.0.1:0"], database.url()).await;
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        let named = format!("cannot listen on {taken}");
        assert!(said.contains(&named) && said.contains("in use"), "{said}");
    }
}
