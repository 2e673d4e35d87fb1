//! `runtraced migrate --plan`, indexes that are built ahead, and schemas of newer versions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use runtraced::store::{MigrationEffects, migrate, migration_effects};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::catalog::{MIGRATIONS, lines, run};
use crate::support::pg;
use crate::support::process::runtraced;

const FILE: &str = "src/store/admin/migration_effects.json";

/// Tables and views of the schema, with what changes when they are written anew.
async fn relations(conn: &mut PgConnection) -> BTreeMap<String, i64> {
    let rows = sqlx::query(
        "SELECT relname::text, relfilenode::bigint FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
           AND relname <> '_sqlx_migrations'",
    );
    let rows = rows.fetch_all(conn).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The indexes of the tables that are there before.
async fn indexes(conn: &mut PgConnection, tables: &[String]) -> BTreeSet<String> {
    let query = "SELECT indexname::text FROM pg_indexes
                 WHERE schemaname = 'public' AND tablename = ANY ($1)";
    let names: Vec<String> = sqlx::query_scalar(query)
        .bind(tables)
        .fetch_all(conn)
        .await
        .unwrap();
    names.into_iter().collect()
}

/// How often this connection has read a whole table. The server tells what is not yet in its
/// statistics, so two answers are compared.
async fn scans(conn: &mut PgConnection, tables: &[String]) -> BTreeMap<String, i64> {
    let query = "SELECT relname::text, seq_scan FROM pg_stat_xact_user_tables
                 WHERE schemaname = 'public' AND relname = ANY ($1)";
    let rows = sqlx::query(query)
        .bind(tables)
        .fetch_all(conn)
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn epoch(conn: &mut PgConnection) -> Option<i32> {
    let there = "SELECT to_regprocedure('ingest_write_epoch()') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(there)
        .fetch_one(&mut *conn)
        .await
        .unwrap()
    {
        return None;
    }
    let query = sqlx::query_scalar("SELECT ingest_write_epoch()");
    Some(query.fetch_one(conn).await.unwrap())
}

/// Applies a migration and says what the server did for it.
async fn observe(conn: &mut PgConnection, version: i64, sql: &str) -> MigrationEffects {
    let before = relations(conn).await;
    let names: Vec<String> = before.keys().cloned().collect();
    let (indexed, epoch_before) = (indexes(conn, &names).await, epoch(conn).await);
    let mut tx = conn.begin().await.unwrap();
    let scanned = scans(&mut tx, &names).await;
    run(&mut tx, sql).await;
    // Modes that hold up writers, the strongest last.
    let rows = sqlx::query(
        "SELECT c.relname::text, (array_agg(l.mode ORDER BY array_position(ARRAY[
            'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], l.mode) DESC))[1]
         FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
         WHERE l.pid = pg_backend_pid() AND c.relname = ANY ($1) AND l.mode IN (
            'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
         GROUP BY 1",
    );
    let rows = rows.bind(&names).fetch_all(&mut *tx).await.unwrap();
    let locks = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let scans = scans(&mut tx, &names).await;
    let reads = names
        .iter()
        .filter(|name| scans.get(*name) > scanned.get(*name));
    let reads = reads.cloned().collect();
    tx.commit().await.unwrap();
    let after = relations(conn).await;
    let is_new = |name: &&String| after.get(*name).is_some_and(|file| *file != before[*name]);
    let epoch_after = epoch(conn).await;
    let all = indexes(conn, &names).await;
    MigrationEffects {
        version,
        locks,
        rewrites: before.keys().filter(is_new).cloned().collect(),
        reads,
        indexes: all.difference(&indexed).cloned().collect(),
        epoch: epoch_after.filter(|_| epoch_after != epoch_before),
    }
}

/// Scenario: every migration is applied, each in a transaction, and the server is asked what it
/// locked, read and wrote anew.
/// Guarantees: `--plan` says the same of each.
#[tokio::test]
async fn the_effects_are_those_that_the_server_shows() {
    let database = pg::empty_database().await;
    let mut conn = database.connect().await;
    MIGRATIONS.run_to(0, &mut conn).await.unwrap();
    let mut seen = Vec::new();
    for up in MIGRATIONS
        .iter()
        .filter(|one| one.migration_type.is_up_migration())
    {
        seen.push(observe(&mut conn, up.version, up.sql.as_str()).await);
    }
    if std::env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        let text = serde_json::to_string_pretty(&seen).unwrap() + "\n";
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE), text).unwrap();
        return;
    }
    assert_eq!(
        migration_effects().unwrap(),
        seen,
        "{FILE} is out of date: RUNTRACED_UPDATE_DOCS=1 cargo test --test suite schema::plan rewrites it"
    );
}

/// Scenario: the plan of an empty database, of one that is behind, and of one that is up to date.
/// Guarantees: it names what is pending and whether daemons must stop, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_says_what_would_happen() {
    let database = pg::empty_database().await;
    let mut conn = database.connect().await;
    let plan = async || runtraced(&["migrate", "--plan"], database.url()).await;
    let (code, said) = plan().await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("0001_auth_shim\n"), "{said}");
    assert!(said.contains("stop all daemons first"), "{said}");
    assert_eq!(relations(&mut conn).await.len(), 0);

    MIGRATIONS.run_to(24, &mut conn).await.unwrap();
    let (code, said) = plan().await;
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("0024_"), "{said}");
    let ahead =
        "builds    idx_approvals_session (before the migration, CONCURRENTLY: nobody waits)";
    assert!(said.contains(ahead), "{said}");
    let applied = "SELECT max(version) FROM _sqlx_migrations";
    let newest: i64 = sqlx::query_scalar(applied)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(newest, 24);

    let (code, said) = runtraced(&["migrate"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = plan().await;
    assert_eq!(
        (code, said.as_str()),
        (0, "nothing to do: the schema is up to date\n")
    );
}

/// Scenario: an index that a migration makes is built ahead, while a transaction that wrote to its
/// table is open; before, an interrupted attempt left a broken one.
/// Guarantees: the build waits for the transaction without holding up others who write; the index
/// is valid in the end.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_ahead_without_holding_up_writers() {
    let database = pg::empty_database().await;
    let mut conn = database.connect().await;
    MIGRATIONS.run_to(24, &mut conn).await.unwrap();
    run(
        &mut conn,
        "CREATE INDEX idx_approvals_session ON approvals (session_id) WHERE session_id IS NOT NULL;
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_approvals_session'::regclass",
    )
    .await;
    let insert = "INSERT INTO approvals (action_type) VALUES ('a')";
    let mut writer = database.connect().await;
    run(&mut writer, &format!("BEGIN; {insert}")[..]).await;
    let mut migrating = database.connect().await;
    let migrating = tokio::spawn(async move { migrate(&mut migrating).await });
    let until = Instant::now() + Duration::from_secs(60);
    let waits = "SELECT pid::text FROM pg_stat_activity
                 WHERE query LIKE '%INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'
                   AND datname = current_database()";
    while lines(&mut conn, waits).await.is_empty() {
        assert!(Instant::now() < until, "nobody builds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Another writer goes on meanwhile.
    run(
        &mut conn,
        &format!("SET statement_timeout = '10s'; {insert}")[..],
    )
    .await;
    run(&mut writer, "COMMIT").await;
    migrating.await.unwrap().unwrap();
    let valid = "SELECT indisvalid::text FROM pg_index
                 WHERE indexrelid = 'idx_approvals_session'::regclass";
    assert_eq!(lines(&mut conn, valid).await, ["true"]);
}

/// Scenario: a newer version has migrated the database; this one is to migrate it.
/// Guarantees: it refuses in one line that says what to do, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn going_back_is_refused() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    run(
        &mut conn,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', true, '', 0)",
    )
    .await;
    for args in [&["migrate"][..], &["migrate", "--plan"]] {
        let (code, said) = runtraced(args, database.url()).await;
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("a newer runtraced has migrated the database"),
            "{said}"
        );
        assert!(
            said.contains("(migration 9999)") && said.lines().count() == 1,
            "{said}"
        );
    }
}
