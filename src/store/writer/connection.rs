//! A writer's own connection to Postgres.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

/// Connects and prepares the session: durable commits whatever the server's default,
/// and UTC. What is slow or fails is told by those who use it, not by sqlx for each
/// statement. Needs a session of its own: a pooler in transaction mode will not do.
///
/// # Errors
/// When the server is away or refuses.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let options = options
        .clone()
        .application_name("runtraced")
        .disable_statement_logging()
        .options([
            ("timezone", "UTC"),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
            // Plans are kept, those of the foreign keys' checks too (see
            // `PlanAge`). One made while a table is small would read all of it
            // for each batch, or each row, after it has grown. So everything is
            // found by an index, whatever the statistics say.
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
            // There is one plan for batches of any size: to make one for each costs
            // a small batch more than to execute it.
            ("plan_cache_mode", "force_generic_plan"),
            // The rows of one merging statement, without a detour over the disk.
            ("work_mem", "32MB"),
        ]);
    let mut conn = PgConnection::connect_with(&options).await?;
    if options.get_socket().is_none() {
        super::nagle::turn_off(options.get_port());
    }
    // An ack promises durability, so a server that commits asynchronously by
    // default must not be believed; stricter settings than `on` are kept.
    sqlx::raw_sql(
        "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')",
    )
    .execute(&mut conn)
    .await?;
    Ok(conn)
}

/// How old the plans of a session may become. A plan that was made while a table
/// was small may use the wrong one of two indexes, and is kept until statistics
/// are made: for minutes in a new database, in which each step is then looked for
/// among all steps of its run. A session's first plans are thrown away soon, later
/// ones seldom: planning anew costs some milliseconds.
#[derive(Debug)]
pub struct PlanAge {
    since: Instant,
    most: Duration,
}

impl PlanAge {
    const FIRST: Duration = Duration::from_millis(250);
    const LAST: Duration = Duration::from_secs(16);

    /// Of a session that begins.
    #[must_use]
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            most: Self::FIRST,
        }
    }

    /// Throws the plans away if they are too old. To be called between
    /// transactions.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn renew(&mut self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.since.elapsed() < self.most {
            return Ok(());
        }
        sqlx::raw_sql("DISCARD PLANS").execute(conn).await?;
        self.since = Instant::now();
        self.most = Self::LAST.min(self.most * 2);
        Ok(())
    }
}
