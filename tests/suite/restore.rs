//! A dump and what `runtraced restore` makes of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use runtraced::{
    cli::demo::story,
    postgres::{PrivatePostgres, StopMode},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{
    daemon::Daemon,
    events::{message, new_id, run_started},
    pg::{self, TestDatabase},
    watchdog::scratch_dir,
    writer,
};

/// The demo's story in a database, its events, a key, a rule and a tombstone.
async fn told() -> (TestDatabase, Vec<runtraced::proto::Event>) {
    let story = story(1_769_860_800_000_000, &mut Uuid::now_v7);
    let scenes = story.scenes.iter();
    let events: Vec<_> = scenes.flat_map(|scene| scene.events.clone()).collect();
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    assert_eq!(daemon.submit(events.clone()).await.refused, []);
    daemon.finish().await;
    let mut connection = database.connect().await;
    let kept =
        "INSERT INTO retention_rules (agent_id, keep, note) VALUES ('a', '100 years', 'audit');
         INSERT INTO ingest_tombstones (id, erased_for) VALUES (gen_random_uuid(), 'x');
         WITH run AS (
           INSERT INTO agent_runs (agent_id, agent_type, status, finalized_by, started_at, ended_at)
           VALUES ('a', 'b', 'completed', 'client', '2026-01-01Z', '2026-01-02Z') RETURNING id
         ), step AS (
           INSERT INTO agent_steps (run_id, input) SELECT id, jsonb_build_object('$content', id) FROM run
         )
         INSERT INTO agent_contents (run_id, hash, kind, body) SELECT id, id, 0, '[\"said before\"]' FROM run;
         WITH run AS (
           INSERT INTO agent_runs (agent_id, agent_type, status, finalized_by, started_at, ended_at)
           VALUES ('a', 'b', 'completed', 'client', '2026-01-01Z', '2026-01-02Z') RETURNING id
         ), step AS (
           INSERT INTO agent_steps (run_id, input) SELECT id, jsonb_build_object('$content', id) FROM run
         ), scope AS (
           INSERT INTO agent_content_scopes (id, session_id, owner_id, month) SELECT id, id, id, '2026-01-01' FROM run
         ), link AS (
           INSERT INTO agent_run_scopes (run_id, scope_id) SELECT id, id FROM run
         )
         INSERT INTO agent_shared_contents (scope_id, hash, kind, body) SELECT id, id, 0, '[\"said by all\"]' FROM run";
    sqlx::raw_sql(kept).execute(&mut connection).await.unwrap();
    let said = runtraced(database.url(), &["keys", "create", "--name", "agent"]);
    assert_eq!(said.0, 0, "{}", said.1);
    (database, events)
}

/// Exit code and everything said.
fn runtraced(database_url: &str, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(args)
        .env("DATABASE_URL", database_url)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn restore(file: &Path, data_dir: &Path) -> (i32, String) {
    // The database in the environment is not the one that is meant.
    runtraced(
        "postgresql://me@127.0.0.1:1/precious",
        &[
            "restore",
            file.to_str().unwrap(),
            "--data-dir",
            data_dir.to_str().unwrap(),
        ],
    )
}

/// Dumps with the program of the server, and returns the file.
async fn dump(database: &TestDatabase, format: &str) -> PathBuf {
    let mut connection = database.connect().await;
    let bin: String = sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let file = scratch_dir("dump").join("traces");
    if writer::is_wanted() {
        // The new cluster has no role that only writes.
        let (code, said) = runtraced(
            database.url(),
            &["grant", "--revoke", "--role", writer::ROLE],
        );
        assert_eq!(code, 0, "{said}");
    }
    let status = Command::new(Path::new(&bin).join("pg_dump"))
        .args(["--format", format, "--file"])
        .arg(&file)
        .args(["--dbname", database.url()])
        .status();
    assert!(status.unwrap().success());
    file
}

/// A new folder. Its cluster is made already, because that takes seconds.
fn new_folder() -> PathBuf {
    let dir = scratch_dir("restored");
    pg::prefill(&dir);
    dir
}

/// Every row of every table and view, but for what depends on now.
async fn rows(connection: &mut PgConnection) -> Vec<String> {
    let relations: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY relname",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let mut rows = Vec::new();
    for relation in relations {
        let query = format!(
            "SELECT '{relation} ' || (to_jsonb(t) - 'running_ms' - 'waiting_ms')::text AS row
             FROM {relation} t ORDER BY row"
        );
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        rows.extend(found);
    }
    rows
}

/// Scenario: a database is dumped, as SQL and in the custom format, and restored into a new folder; then a daemon
/// serves it, gets the same events again, and new ones.
/// Guarantees: every row of every table and view is the same, the events are duplicates, the new ones are written.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_dumped_is_restored_and_goes_on() {
    let (database, events) = told().await;
    let want = rows(&mut database.connect().await).await;
    for said in ["said before", "said by all"] {
        let is_read = |row: &String| row.starts_with("run_timeline ") && row.contains(said);
        assert!(want.iter().any(is_read), "{said}");
    }
    for relation in [
        "run_summary ",
        "run_timeline ",
        "agent_contents ",
        "agent_shared_contents ",
        "approvals ",
        "ingest_keys ",
    ] {
        assert!(
            want.iter().any(|row| row.starts_with(relation)),
            "{relation}"
        );
    }
    for format in ["plain", "custom"] {
        let (file, dir) = (dump(&database, format).await, new_folder());
        let (code, said) = restore(&file, &dir);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(dir.to_str().unwrap()), "{said}");

        let mut server = PrivatePostgres::start(&pg::config(&dir)).await.unwrap();
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        assert_eq!(rows(&mut connection).await, want, "{format}");
        let daemon = Daemon::start(server.url()).await;
        let again = daemon.submit(events.clone()).await;
        assert_eq!(again.duplicate, events.len() as u64, "{again:?}");
        let run = new_id();
        let new = vec![run_started(0, run), message(1, Some(run), None, new_id())];
        assert_eq!(daemon.submit(new).await.committed, 2);
        daemon.finish().await;
        drop(connection);
        server.stop(StopMode::Fast).await.unwrap();
    }
}

/// Scenario: no file; a file that is cut off, in either format; a dump of something else; a folder that a daemon
/// uses; a folder with traces.
/// Guarantees: each is refused with the reason, nothing is restored, and the right dump can be restored after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_refused_and_changes_nothing() {
    let (database, _) = told().await;
    let sql = dump(&database, "plain").await;
    let custom = dump(&database, "custom").await;
    let dir = new_folder();
    let check = |file: &Path, want: i32, reason: &str| {
        let (code, said) = restore(file, &dir);
        assert_eq!(code, want, "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
    };
    check(Path::new("/nowhere"), 66, "cannot read /nowhere");
    let part = scratch_dir("part").join("part");
    for file in [&sql, &custom] {
        let whole = fs::read(file).unwrap();
        for length in [0, whole.len() / 2, whole.len() - 2_000] {
            fs::write(&part, &whole[..length]).unwrap();
            let reason = match file == &sql || length == 0 {
                true => "not a complete dump",
                false => "refused the dump; nothing was restored",
            };
            check(&part, 1, reason);
        }
    }
    let last = "-- PostgreSQL database dump complete\n";
    fs::write(&part, format!("SELECT 1;\n{last}")).unwrap();
    check(&part, 1, "no table agent_runs");
    let text = fs::read_to_string(&sql).unwrap();
    fs::write(&part, format!("{text}SELECT nonsense;\n{last}")).unwrap();
    check(&part, 1, "refused the dump; nothing was restored");

    let mut server = PrivatePostgres::start(&pg::config(&dir)).await.unwrap();
    let (code, said) = restore(&sql, &dir);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another runtraced"), "{said}");
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    assert_eq!(rows(&mut connection).await, Vec::<String>::new());
    drop(connection);
    server.stop(StopMode::Fast).await.unwrap();
    drop(server);

    check(&sql, 0, "restored");
    check(&sql, 1, "not empty");
}
