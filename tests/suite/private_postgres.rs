//! The private Postgres, from the outside.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use runtraced::postgres::{PrivateConfig, PrivateError, PrivatePostgres, StopMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{
    pg,
    watchdog::{guard_process, scratch_dir},
};

const HOLD: &str = "RUNTRACED_TEST_HOLD";
/// Directories with the programs of other versions, separated by colons;
/// scripts/fetch-postgres-versions.sh makes some.
const BINS: &str = "RUNTRACED_TEST_PG_BINS";

fn folder(name: &str) -> PathBuf {
    let dir = scratch_dir(name);
    pg::prefill(&dir);
    dir
}

async fn start(dir: &Path) -> PrivatePostgres {
    PrivatePostgres::start(&pg::config(dir)).await.unwrap()
}

async fn start_error(config: &PrivateConfig) -> String {
    let error = PrivatePostgres::start(config).await.unwrap_err();
    format!("{error}")
}

async fn ask(url: &str, query: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
    let answer = query.fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

async fn put(url: &str, value: &str) {
    let statement = format!("CREATE TABLE kept AS SELECT '{value}'::text AS value");
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = sqlx::query(AssertSqlSafe(statement));
    query.execute(&mut connection).await.unwrap();
}

async fn kept(url: &str) -> String {
    ask(url, "SELECT value FROM kept").await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_folder_becomes_a_durable_utf8_cluster_that_is_kept() {
    let dir = scratch_dir("new").join("made/on/the/way");
    let config = PrivateConfig::new(&dir);
    let mut server = PrivatePostgres::start(&config).await.unwrap();
    let url = server.url().to_owned();
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("max_wal_size", "4GB"),
        ("jit", "off"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        assert_eq!(
            ask(&url, &format!("SHOW {setting}")).await,
            value,
            "{setting}"
        );
    }
    put(&url, "first").await;
    server.stop(StopMode::Fast).await.unwrap();
    drop(server);

    let mut server = PrivatePostgres::start(&config).await.unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(kept(&url).await, "first");
    server.stop(StopMode::Fast).await.unwrap();
}

#[tokio::test]
async fn a_second_daemon_on_the_folder_is_refused() {
    let dir = folder("second");
    let mut first = start(&dir).await;
    let error = start_error(&pg::config(&dir)).await;
    let holder = format!("another runtraced (process {}) uses", std::process::id());
    assert!(error.starts_with(&holder), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
    assert!(first.is_alive());
    first.stop(StopMode::Fast).await.unwrap();
}

#[tokio::test]
async fn other_commands_find_it_while_it_runs() {
    let dir = folder("locate");
    let mut server = start(&dir).await;
    let found = PrivatePostgres::locate(&dir).unwrap();
    assert_eq!(&found, server.connection());
    server.stop(StopMode::Fast).await.unwrap();
    let error = PrivatePostgres::locate(&dir).unwrap_err();
    assert!(matches!(error, PrivateError::NotRunning { .. }), "{error}");
    let error = PrivatePostgres::locate(&dir.join("nowhere")).unwrap_err();
    assert!(error.to_string().contains("DATABASE_URL"), "{error}");
}

/// Scenario: the daemon is killed with -9. Guarantees: Postgres runs on, the
/// next daemon takes it over without a restart, and can stop it.
#[tokio::test]
async fn a_running_postmaster_is_adopted_after_its_daemon_was_killed() {
    let dir = folder("adopt");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "private_postgres::holder", "--nocapture"])
        .env(HOLD, &dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let guard = guard_process(holder.id());
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    let pid = said.find_map(|line| Some(line.ok()?.split_once("holds=")?.1.to_owned()));
    holder.kill().unwrap();
    holder.wait().unwrap();
    drop(guard);

    let mut server = start(&dir).await;
    assert_eq!(Some(server.pid().to_string()), pid);
    assert_eq!(kept(server.url()).await, "by the holder");
    assert!(server.is_alive());
    server.stop(StopMode::Fast).await.unwrap();
    assert!(!server.is_alive());
    server.restart().await.unwrap();
    assert_ne!(Some(server.pid().to_string()), pid);
    assert_eq!(kept(server.url()).await, "by the holder");
    server.stop(StopMode::Fast).await.unwrap();
}

/// The daemon that is killed in the test above; by itself it does nothing.
#[tokio::test]
async fn holder() {
    let Some(dir) = std::env::var_os(HOLD) else {
        return;
    };
    let server = start(Path::new(&dir)).await;
    put(server.url(), "by the holder").await;
    println!("\nholds={}", server.pid());
    std::future::pending::<()>().await;
}

/// Scenario: as above, and the socket is removed meanwhile, as cleaners of
/// temporary folders do. Guarantees: the server nobody can reach is replaced.
#[tokio::test]
async fn a_running_postmaster_without_its_socket_is_replaced() {
    let dir = folder("unreachable");
    let server = start(&dir).await;
    let pid = server.pid();
    put(server.url(), "kept").await;
    drop(server);
    fs::remove_dir_all(dir.join("run")).unwrap();
    let mut server = start(&dir).await;
    assert_ne!(server.pid(), pid);
    assert_eq!(kept(server.url()).await, "kept");
    server.stop(StopMode::Fast).await.unwrap();
}

#[tokio::test]
async fn a_killed_postmaster_is_noticed_and_restarted_without_loss() {
    let dir = folder("killed");
    let mut server = start(&dir).await;
    let url = server.url().to_owned();
    put(&url, "before").await;
    pg::send(server.pid(), "KILL");
    server.exited().await;
    assert!(!server.is_alive());
    server.restart().await.unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(kept(&url).await, "before");
    server.stop(StopMode::Immediate).await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(kept(&url).await, "before");
    server.stop(StopMode::Fast).await.unwrap();
}

/// Scenario: `postmaster.pid` is left over, and another process of the same
/// user has its number now, as after a reboot or in a container.
#[tokio::test]
async fn a_stale_postmaster_pid_does_not_stop_a_start() {
    let dir = folder("stale");
    let file = dir.join("postgres/data/postmaster.pid");
    let mut server = start(&dir).await;
    put(server.url(), "kept").await;
    let text = fs::read_to_string(&file).unwrap();
    server.stop(StopMode::Immediate).await.unwrap();
    drop(server);

    let data = fs::metadata(dir.join("postgres/data")).unwrap();
    let mut sleep = Command::new("sleep");
    sleep.arg("600").current_dir("/");
    if fs::metadata("/proc/self").unwrap().uid() != data.uid() {
        sleep.uid(data.uid());
    }
    let mut other = sleep.spawn().unwrap();
    let guard = guard_process(other.id());
    let (_, rest) = text.split_once('\n').unwrap();
    for stale in [
        format!("{}\n{rest}", other.id()),
        format!("999999999\n{rest}"),
        String::new(),
    ] {
        fs::write(&file, &stale).unwrap();
        chown(&file, Some(data.uid()), Some(data.gid())).unwrap();
        let mut server = start(&dir).await;
        assert_eq!(kept(server.url()).await, "kept", "after {stale:?}");
        server.stop(StopMode::Immediate).await.unwrap();
    }
    other.kill().unwrap();
    other.wait().unwrap();
    drop(guard);
}

#[tokio::test]
async fn a_half_done_initdb_is_cleaned_up() {
    let dir = scratch_dir("half");
    let half = dir.join("postgres.init-abc");
    fs::create_dir_all(half.join("data/base/1")).unwrap();
    fs::write(half.join("data/PG_VERSION"), "15\n").unwrap();
    let mut server = start(&dir).await;
    assert_eq!(
        ask(server.url(), "SELECT current_database()::text").await,
        "runtraced"
    );
    server.stop(StopMode::Fast).await.unwrap();
    let names: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("init"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

#[tokio::test]
async fn secrets_are_closed_and_tcp_wants_the_password() {
    let dir = folder("secret");
    let mut server = start(&dir).await;
    for (file, expected) in [
        ("postgres/password", 0o600),
        ("connection.json", 0o600),
        ("postgres.log", 0o600),
        ("postgres", 0o700),
        ("postgres/data", 0o700),
        ("run", 0o700),
    ] {
        assert_eq!(mode(&dir.join(file)), expected, "{file}");
    }
    assert_eq!(
        ask(server.tcp_url(), "SELECT current_user::text").await,
        "runtraced"
    );
    let (_, address) = server.tcp_url().split_once('@').unwrap();
    for who in ["runtraced", "runtraced:wrong"] {
        let url = format!("postgresql://{who}@{address}");
        let error = PgConnection::connect(&url).await.unwrap_err().to_string();
        assert!(error.contains("password"), "{error}");
    }
    let password = fs::read_to_string(dir.join("postgres/password")).unwrap();
    assert!(!format!("{server:?}").contains(&password));
    server.stop(StopMode::Fast).await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_folder_elsewhere() {
    let dir = scratch_dir("long").join("so long, a name ".repeat(8));
    fs::create_dir(&dir).unwrap();
    pg::prefill(&dir);
    let mut server = start(&dir).await;
    let sockets = server.connection().socket_dir.clone();
    assert!(!sockets.starts_with(&dir));
    assert_eq!(mode(&sockets), 0o700);
    assert_eq!(ask(server.url(), "SELECT 'ok'").await, "ok");
    assert_eq!(&PrivatePostgres::locate(&dir).unwrap(), server.connection());
    server.stop(StopMode::Fast).await.unwrap();
    assert!(!sockets.exists(), "{}", sockets.display());
}

#[tokio::test]
async fn useless_programs_are_refused_with_what_to_do() {
    let mut config = PrivateConfig::new(scratch_dir("bins"));
    let empty = scratch_dir("empty");
    config.bin_dir = Some(empty.clone());
    let error = start_error(&config).await;
    assert!(error.contains(&empty.display().to_string()), "{error}");
    assert!(
        error.contains("no `postgres`") && error.contains("15 to 18"),
        "{error}"
    );

    config.bin_dir = Some(pretended(14));
    let error = start_error(&config).await;
    assert!(error.contains("it holds PostgreSQL 14"), "{error}");

    let made = folder("made-by");
    let by = fs::read_to_string(made.join("postgres/data/PG_VERSION")).unwrap();
    let other = if by.trim() == "16" { 17 } else { 16 };
    let mut config = PrivateConfig::new(&made);
    config.bin_dir = Some(pretended(other));
    let error = start_error(&config).await;
    assert!(
        error.contains(&format!("made by PostgreSQL {}", by.trim())),
        "{error}"
    );
}

/// Programs that do no more than name a version.
fn pretended(major: u32) -> PathBuf {
    let dir = scratch_dir("pretended");
    let script = dir.join("postgres");
    fs::write(
        &script,
        format!("#!/bin/sh\necho 'postgres (PostgreSQL) {major}.1'\n"),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&script, dir.join("initdb")).unwrap();
    dir
}

#[tokio::test]
async fn a_start_that_fails_shows_the_end_of_the_log() {
    let dir = folder("fails");
    fs::write(dir.join("postgres.log"), "old line\n").unwrap();
    let mut config = pg::config(&dir);
    config
        .settings
        .push(("shared_buffers".to_owned(), "much".to_owned()));
    let error = start_error(&config).await;
    assert!(
        error.contains("postgres.log") && error.contains("\"much\""),
        "{error}"
    );
    assert!(!error.contains("old line"), "{error}");
    // The folder is free again, and sound.
    let mut server = start(&dir).await;
    server.stop(StopMode::Fast).await.unwrap();
}

#[tokio::test]
async fn the_log_is_bounded_and_holds_no_payload() {
    let dir = folder("log");
    fs::write(dir.join("postgres.log"), vec![b'x'; 2 << 20]).unwrap();
    let mut server = start(&dir).await;
    put(server.url(), "payload").await;
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    let refused = sqlx::query("SELECT 'payload'::uuid")
        .execute(&mut connection)
        .await;
    assert!(refused.is_err());
    server.stop(StopMode::Fast).await.unwrap();
    let log = fs::read_to_string(dir.join("postgres.log")).unwrap();
    assert!(log.contains("ready to accept connections"), "{log}");
    assert!(!log.contains("payload"), "{log}");
    assert_eq!(
        fs::metadata(dir.join("postgres.log.1")).unwrap().len(),
        2 << 20
    );
}

#[tokio::test]
async fn ctrl_c_at_the_terminal_does_not_reach_it() {
    let dir = folder("group");
    let mut server = start(&dir).await;
    let group = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap().to_owned();
        after_name.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(group(&server.pid().to_string()), server.pid().to_string());
    assert_ne!(group(&server.pid().to_string()), group("self"));
    server.stop(StopMode::Fast).await.unwrap();
}

#[tokio::test]
async fn as_root_a_folder_out_of_reach_is_named() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: not root, so nobody is dropped to");
        return;
    }
    let closed = scratch_dir("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(closed.join("of-somebody-else"), "").unwrap();
    let error = start_error(&PrivateConfig::new(closed.join("data"))).await;
    let named = format!("({} denies access)", closed.display());
    assert!(error.contains(&named), "{error}");
    assert_eq!(mode(&closed), 0o700, "it is not ours to open");
}

/// Scenario: the spool is made first, in the folder that the private Postgres
/// then lives in.
/// Guarantees: as root too, Postgres can be reached in it.
#[tokio::test]
async fn a_folder_that_holds_the_spool_is_ours_to_open() {
    let dir = scratch_dir("with-spool").join("data");
    let limits = runtraced::spool::SpoolLimits {
        total_bytes: 1 << 20,
        segment_bytes: 1 << 16,
    };
    let spool = runtraced::spool::SpoolFolder::open(&dir.join("spool"), limits, uuid::Uuid::nil());
    let spool = spool.unwrap();
    assert_eq!(mode(&dir.join("spool")), 0o700);
    let mut server = PrivatePostgres::start(&PrivateConfig::new(&dir))
        .await
        .unwrap();
    server.stop(StopMode::Fast).await.unwrap();
    drop(spool);
}

#[tokio::test]
async fn every_supported_version_works() {
    let Some(bins) = std::env::var_os(BINS) else {
        println!("skipped: {BINS} is not set (scripts/fetch-postgres-versions.sh)");
        return;
    };
    for bin_dir in std::env::split_paths(&bins) {
        let dir = scratch_dir("version");
        let mut config = PrivateConfig::new(&dir);
        config.bin_dir = Some(bin_dir.clone());
        let mut server = PrivatePostgres::start(&config).await.unwrap();
        let version = ask(server.url(), "SHOW server_version").await;
        println!("{}: {version}", bin_dir.display());
        assert!(version.starts_with(&server.major_version().to_string()));
        put(server.url(), &version).await;
        server.stop(StopMode::Immediate).await.unwrap();
        server.restart().await.unwrap();
        assert_eq!(kept(server.tcp_url()).await, version);
        server.stop(StopMode::Fast).await.unwrap();
    }
}
