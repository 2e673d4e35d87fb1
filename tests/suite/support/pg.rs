//! Postgres for tests: one cluster that all tests of this program share, with
//! a database for each, and clusters of their own for tests that break them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use runtraced::postgres::{PrivateConfig, PrivatePostgres, StopMode};
use runtraced::store::{self, SlotCount, TraceLayout};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use super::events::new_id;
use super::hang::TestAlive;
use super::watchdog;

const TEMPLATE: &str = "template_migrated";
/// How many databases of finished tests may wait to be dropped.
const DROP_LIMIT: usize = 16;

static SHARED: OnceLock<PrivatePostgres> = OnceLock::new();
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A database of one test.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its name in the cluster.
    pub name: String,
    url: String,
    _alive: TestAlive,
}

impl TestDatabase {
    /// For the daemon, sqlx and psql.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection as the owner of everything.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        FINISHED.lock().unwrap().push(self.name.clone());
    }
}

/// A new database with all migrations applied.
pub async fn database() -> TestDatabase {
    create(TEMPLATE).await
}

/// A new database in the plain layout, whatever layout is tested.
pub async fn plain_database() -> TestDatabase {
    if layout() == TraceLayout::Plain {
        return database().await;
    }
    let database = empty_database().await;
    let mut connection = database.connect().await;
    store::migrate(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    database
}

/// A new database in the layout by month.
pub async fn database_by_month() -> TestDatabase {
    if is_by_month() {
        return database().await;
    }
    let database = plain_database().await;
    let mut connection = database.connect().await;
    let partitioned = store::partition_by_month(&mut connection).await;
    assert!(partitioned.unwrap().is_some());
    connection.close().await.unwrap();
    database
}

/// A new database with nothing in it.
pub async fn empty_database() -> TestDatabase {
    create("template0").await
}

/// A new database with all migrations applied, which sorts texts as English does: not by
/// their bytes.
pub async fn english_database() -> TestDatabase {
    let database = create("template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'").await;
    let mut connection = database.connect().await;
    migrate(&mut connection).await;
    connection.close().await.unwrap();
    database
}

async fn create(template: &str) -> TestDatabase {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let alive = TestAlive::watch();
    let server = SHARED.get_or_init(|| in_runtime(start_shared));
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    run(
        &mut connection,
        format!("CREATE DATABASE {name} TEMPLATE {template}"),
    )
    .await;
    drop_finished(&mut connection).await;
    connection.close().await.unwrap();
    TestDatabase {
        url: url_of(server, &name),
        name,
        _alive: alive,
    }
}

async fn drop_finished(connection: &mut PgConnection) {
    let names = {
        let mut finished = FINISHED.lock().unwrap();
        match finished.len() {
            0..DROP_LIMIT => Vec::new(),
            _ => std::mem::take(&mut *finished),
        }
    };
    for name in names {
        run(connection, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
}

async fn start_shared() -> PrivatePostgres {
    let server = start(watchdog::scratch_dir("shared")).await;
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    run(&mut connection, format!("CREATE DATABASE {TEMPLATE}")).await;
    connection.close().await.unwrap();
    let mut connection = PgConnection::connect(&url_of(&server, TEMPLATE))
        .await
        .unwrap();
    migrate(&mut connection).await;
    connection.close().await.unwrap();
    server
}

/// Brings the schema up to date, in the layout that is tested.
async fn migrate(connection: &mut PgConnection) {
    store::migrate(connection).await.unwrap();
    match layout() {
        TraceLayout::Plain => {}
        TraceLayout::ByMonth => {
            store::partition_by_month(connection).await.unwrap();
        }
        TraceLayout::InSlots(slots) => {
            let moved = store::move_to_slots(connection, slots, |_| ()).await;
            assert!(moved.unwrap());
        }
    }
}

/// The layout that the tests run on.
pub fn layout() -> TraceLayout {
    if let Ok(slots) = std::env::var("RUNTRACED_TEST_SLOTS") {
        let slots = slots.parse().ok().and_then(SlotCount::new);
        return TraceLayout::InSlots(slots.expect("RUNTRACED_TEST_SLOTS is 2, 4, 8, 16, 32 or 64"));
    }
    match std::env::var("RUNTRACED_TEST_LAYOUT").as_deref() {
        Ok("month") => TraceLayout::ByMonth,
        Ok("plain") | Err(_) => TraceLayout::Plain,
        Ok(other) => panic!("RUNTRACED_TEST_LAYOUT={other} is neither month nor plain"),
    }
}

/// Whether the tests run on the layout by month.
pub fn is_by_month() -> bool {
    layout() == TraceLayout::ByMonth
}

/// The tables behind a name in `public`: those of the slots, or the one that has the name.
pub fn tables_of(name: &str) -> Vec<String> {
    layout().tables_of(name)
}

/// The table behind a name in `public` that holds a run, and what is below it.
pub fn table_of(name: &str, run: Uuid) -> String {
    format!("{}.{name}", layout().place_of(run).schema())
}

/// Brings a database of [`plain_database`] into the layout that is tested.
pub async fn convert(connection: &mut PgConnection) {
    migrate(connection).await;
}

/// A new id that is in the same slot as `id`: only within a slot, runtraced notices that an id is
/// taken, and a sighting moves.
pub fn beside(id: Uuid) -> Uuid {
    first_beside(id, new_id)
}

/// The same, and it is before or after other new ones by chance.
pub fn beside_at_random(id: Uuid) -> Uuid {
    first_beside(id, || Uuid::from_u128(rand::random()))
}

fn first_beside(id: Uuid, make: impl FnMut() -> Uuid) -> Uuid {
    let is_beside = |one: &Uuid| layout().place_of(*one) == layout().place_of(id);
    std::iter::repeat_with(make).find(is_beside).unwrap()
}

fn url_of(server: &PrivatePostgres, database: &str) -> String {
    let url = server
        .url()
        .replace("/runtraced?", &format!("/{database}?"));
    assert_ne!(url, server.url());
    url
}

async fn run(connection: &mut PgConnection, statement: String) {
    let query = sqlx::query(AssertSqlSafe(statement));
    query.execute(connection).await.unwrap();
}

/// A cluster that one test may stop and kill. Its URL stays the same.
#[derive(Debug)]
pub struct OwnCluster {
    server: PrivatePostgres,
    dir: PathBuf,
    _alive: TestAlive,
}

/// A running cluster of one's own, whose database has all migrations applied.
pub async fn own_cluster() -> OwnCluster {
    let cluster = own_plain_cluster().await;
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    migrate(&mut connection).await;
    connection.close().await.unwrap();
    cluster
}

/// The same in the plain layout, whatever layout is tested: for migrations that are undone.
pub async fn own_plain_cluster() -> OwnCluster {
    let alive = TestAlive::watch();
    let dir = watchdog::scratch_dir("own");
    let server = start(dir.clone()).await;
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    store::migrate(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    OwnCluster {
        server,
        dir,
        _alive: alive,
    }
}

impl OwnCluster {
    /// For the daemon, sqlx and psql.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// `pg_ctl stop -m immediate`: as in a crash.
    pub async fn stop_immediate(&mut self) {
        self.server.stop(StopMode::Immediate).await.unwrap();
    }

    /// Starts it again, at the same URL.
    pub async fn start(&mut self) {
        let before = self.server.url().to_owned();
        self.server.restart().await.unwrap();
        assert_eq!(self.server.url(), before, "somebody took the port");
    }

    /// Freezes the whole cluster: connections stay open and say nothing.
    pub fn sigstop(&self) {
        self.signal("STOP");
    }

    /// Ends [`sigstop`](Self::sigstop).
    pub fn sigcont(&self) {
        self.signal("CONT");
    }

    /// To the postmaster and to its children, each of which leads a process
    /// group of its own.
    fn signal(&self, signal: &str) {
        let mut all = children(self.server.pid());
        all.push(self.server.pid());
        for pid in all {
            send(pid, signal);
        }
    }
}

/// The child processes, as Linux lists them in `/proc/PID/stat`:
/// `PID (NAME) STATE PARENT …`.
fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}

/// A process that is gone already is fine.
pub fn send(pid: u32, signal: &str) {
    let _ = Command::new("/bin/sh")
        .args([
            "-c",
            "kill -s \"$1\" \"$2\"",
            "sh",
            signal,
            &pid.to_string(),
        ])
        .stderr(Stdio::null())
        .status();
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        for signal in ["CONT", "QUIT"] {
            self.signal(signal);
        }
        watchdog::remove_scratch_dir(&self.dir);
    }
}

async fn start(data_dir: PathBuf) -> PrivatePostgres {
    prefill(&data_dir);
    PrivatePostgres::start(&config(&data_dir)).await.unwrap()
}

/// Quick rather than durable: a crash of Postgres loses nothing even so, only
/// a crash of the machine would.
pub fn config(data_dir: &Path) -> PrivateConfig {
    let mut config = PrivateConfig::new(data_dir);
    config.settings = [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "300"),
        ("shared_buffers", "128MB"),
        ("min_wal_size", "80MB"),
        ("max_wal_size", "1GB"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    config
}

/// Copies a cluster that was made once, for `initdb` takes seconds.
pub fn prefill(data_dir: &Path) {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let made = MADE.get_or_init(|| in_runtime(make_cluster));
    let status = Command::new("cp")
        .arg("-a")
        .arg(made.join("postgres"))
        .arg(data_dir)
        .status();
    assert!(status.unwrap().success());
}

async fn make_cluster() -> PathBuf {
    let dir = watchdog::scratch_dir("made");
    let mut server = PrivatePostgres::start(&config(&dir)).await.unwrap();
    server.stop(StopMode::Fast).await.unwrap();
    dir
}

/// Runs it in a runtime and thread of its own: what it makes outlives the
/// runtime of the test that needs it first.
fn in_runtime<T: Send, F: Future<Output = T>>(make: impl FnOnce() -> F + Send) -> T {
    let work = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(make())
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

mod tests {
    use super::*;

    #[tokio::test]
    async fn each_test_has_a_database_of_its_own() {
        let (one, two, empty) = (database().await, database().await, empty_database().await);
        let mut connection = one.connect().await;
        run(&mut connection, "CREATE TABLE only_here ()".to_owned()).await;
        for other in [&two, &empty] {
            let mut connection = other.connect().await;
            let there: bool = sqlx::query_scalar("SELECT to_regclass('only_here') IS NOT NULL")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert!(!there, "{}", other.name);
            assert!(other.url().contains(&other.name));
        }
    }

    #[tokio::test]
    async fn own_cluster_keeps_its_url_and_its_commits_over_a_crash() {
        let mut cluster = own_cluster().await;
        let url = cluster.url().to_owned();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        run(
            &mut connection,
            "CREATE TABLE kept AS SELECT 7 AS n".to_owned(),
        )
        .await;
        cluster.stop_immediate().await;
        assert!(PgConnection::connect(&url).await.is_err());
        cluster.start().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let query = sqlx::query_scalar("SELECT n FROM kept");
        let kept: i32 = query.fetch_one(&mut connection).await.unwrap();
        assert_eq!(kept, 7);
    }

    #[tokio::test]
    async fn a_frozen_cluster_says_nothing_until_it_thaws() {
        let cluster = own_cluster().await;
        let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
        cluster.sigstop();
        let limit = std::time::Duration::from_millis(300);
        let mut query = std::pin::pin!(sqlx::query("SELECT 1").execute(&mut connection));
        assert!(tokio::time::timeout(limit, &mut query).await.is_err());
        cluster.sigcont();
        query.await.unwrap();
    }
}
