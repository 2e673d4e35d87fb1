//! Opens and prepares connections to Postgres.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::nagle::turn_off as turn_off_nagle;

/// Connects and prepares the session: UTC, and durable commits whatever the server's
/// default is.
///
/// sqlx logs no statements of this session; callers report slow and failed ones. The
/// connection needs a server session of its own, so a pooler in transaction mode does
/// not work.
///
/// # Errors
/// If the server is away or refuses the connection.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let options = options
        .clone()
        .application_name("runtraced")
        .disable_statement_logging()
        .options([
            ("timezone", "UTC"),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
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
    // An ack promises durability, so override asynchronous commits. Stricter settings
    // than `on` stay.
    sqlx::raw_sql(
        "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')",
    )
    .execute(&mut conn)
    .await?;
    Ok(conn)
}

/// Discards the cached plans of a session when they are too old.
///
/// A plan made while a table was small may use the wrong one of two indexes. Postgres
/// keeps such a plan until it gathers statistics, which takes minutes in a new database;
/// until then it would look for each step among all steps of its run. So a session
/// discards its first plans soon. Planning again costs some milliseconds, so it discards
/// later plans rarely.
#[derive(Debug)]
pub struct PlanAge {
    since: Instant,
    limit: Duration,
}

impl PlanAge {
    /// The first limit. It doubles each time the plans are discarded.
    const FIRST_LIMIT: Duration = Duration::from_millis(250);
    const MAX_LIMIT: Duration = Duration::from_secs(16);

    /// The age of a new session's plans.
    #[must_use]
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
