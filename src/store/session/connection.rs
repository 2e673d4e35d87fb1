//! Opens and prepares connections to Postgres.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::nagle::turn_off as turn_off_nagle;

/// Prepares the session and returns its backend.
///
/// The server looks every second whether a client that has a statement running is still
/// connected; not every platform can. An ack promises durability, so asynchronous commits
/// are overridden. Stricter settings than `on` stay.
///
/// Citus plans a statement for the shards that its values are in, so it refuses generic plans.
const PREPARE: &str = "\
DO $$ BEGIN
  PERFORM set_config('client_connection_check_interval', '1000', false);
EXCEPTION WHEN OTHERS THEN NULL;
END $$;
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
SELECT set_config('plan_cache_mode', 'auto', false)
WHERE EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus');
SELECT pid::text || ' ' || backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// A connection and the server process at its other end.
pub(super) struct Connected {
    pub conn: PgConnection,
    /// Its number and start; `None` if the role may not see them.
    pub backend: Option<String>,
}

/// Connects and prepares the session: UTC, durable commits whatever the server's default
/// is, and limits after which the server ends what the daemon has given up.
///
/// sqlx logs no statements of this connection; callers report slow and failed ones. The
/// connection needs a server session of its own, so a pooler in transaction mode does
/// not work.
///
/// # Errors
/// If the server is away or refuses the connection.
pub(super) async fn connect(
    options: PgConnectOptions,
    name: &'static str,
    limit: Duration,
) -> Result<Connected, sqlx::Error> {
    let lock_limit = lock_limit_ms(limit).to_string();
    let limit = limit_ms(limit).to_string();
    let options = options
        .application_name(name)
        .disable_statement_logging()
        .options([
            ("timezone", "UTC"),
            ("statement_timeout", limit.as_str()),
            ("idle_in_transaction_session_timeout", limit.as_str()),
            ("lock_timeout", lock_limit.as_str()),
            // A statement that waited for a lock must see what its holder has written.
            ("default_transaction_isolation", "read committed"),
            // A daemon whose machine is gone must not hold locks for hours.
            ("tcp_keepalives_idle", "15"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "4"),
            // Rows that a daemon changes do not make its cached totals wrong.
            ("runtraced.writer", "on"),
            // The server caches plans, also those of foreign-key checks (see
            // `PlanAge`). A plan made while a table is small may scan the table,
            // which is slow once the table has grown. So force index scans,
            // whatever the statistics say.
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
            // One plan serves batches of all sizes: planning a small batch costs more
            // than executing it.
            ("plan_cache_mode", "force_generic_plan"),
            // Enough to hold the rows of one merging statement in memory.
            ("work_mem", "32MB"),
        ]);
    let mut conn = PgConnection::connect_with(&options).await?;
    if options.get_socket().is_none() {
        turn_off_nagle(options.get_port());
    }
    let prepared = sqlx::raw_sql(PREPARE).fetch_all(&mut conn).await;
    let rows = match prepared {
        Ok(rows) => rows,
        Err(error) => {
            wait_for_end(&mut conn).await;
            return Err(error);
        }
    };
    let backend = rows.last().and_then(|row| row.try_get(0).ok());
    Ok(Connected { conn, backend })
}

/// A limit as the server's settings take it.
fn limit_ms(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, i32::MAX.unsigned_abs().into())
}

/// The limit of one wait for a lock: less than that of the statement, so that the server's
/// error tells which of the two it was.
fn lock_limit_ms(limit: Duration) -> u64 {
    limit_ms(limit.mul_f64(0.75))
}

/// The statement that begins a transaction, with other limits if the session's are not
/// `limit`. It is one message, so the limits cost no round trip.
pub(super) fn begin_with(limit: Duration) -> AssertSqlSafe<String> {
    let lock_limit = lock_limit_ms(limit);
    let limit = limit_ms(limit);
    AssertSqlSafe(format!(
        "BEGIN; SET statement_timeout = {limit}; SET lock_timeout = {lock_limit}; \
         SET idle_in_transaction_session_timeout = {limit}"
    ))
}

/// Waits until the server process has ended its statement and exited. A server closes a
/// connection when its process has exited, so after that no trace of it is left.
pub(super) async fn wait_for_end(conn: &mut PgConnection) {
    const EXIT: &str = "SELECT pg_terminate_backend(pg_backend_pid())";
    loop {
        match sqlx::raw_sql(EXIT).execute(&mut *conn).await {
            // Answers to what was given up, and then the end of the process.
            Ok(_) | Err(sqlx::Error::Database(_) | sqlx::Error::Protocol(_)) => {}
            Err(_) => return,
        }
    }
}

/// Ends a server process that a session has left behind, if it is still there.
pub(super) async fn terminate(conn: &mut PgConnection, backend: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE usename = current_user AND pid::text || ' ' || backend_start::text = $1",
    )
    .bind(backend)
    .execute(conn)
    .await?;
    Ok(())
}

/// Discards the cached plans of a session when they are too old.
///
/// A plan made while a table was small may use the wrong one of two indexes. Postgres
/// keeps such a plan until it gathers statistics, which takes minutes in a new database;
/// until then it would look for each step among all steps of its run. So a session
/// discards its first plans soon. Planning again costs some milliseconds, so it discards
/// later plans rarely.
#[derive(Debug)]
pub(super) struct PlanAge {
    since: Instant,
    limit: Duration,
}

impl PlanAge {
    /// The first limit. It doubles each time the plans are discarded.
    const FIRST_LIMIT: Duration = Duration::from_millis(250);
    const MAX_LIMIT: Duration = Duration::from_secs(16);

    /// The age of a new session's plans.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            limit: Self::FIRST_LIMIT,
        }
    }

    /// Discards the plans if they are too old. Call it between transactions.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn discard_old_plans(&mut self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.since.elapsed() < self.limit {
            return Ok(());
        }
        sqlx::raw_sql("DISCARD PLANS").execute(conn).await?;
        self.since = Instant::now();
        self.limit = Self::MAX_LIMIT.min(self.limit * 2);
        Ok(())
    }
}
