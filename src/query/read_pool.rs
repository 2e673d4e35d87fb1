//! Connections for reading. They are apart from those of the writers, few, and every
//! statement on them has a time limit, so that no reader holds up an ack for long.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Postgres, Transaction};

/// Connections that read at the same time.
const CONNECTIONS: u32 = 6;
/// How long a read waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one statement of a read may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);
/// An unused connection is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// As whom a read is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReadAs {
    /// As the daemon itself: every trace.
    Daemon,
    /// Under a role and the claims of a request. Row level security decides.
    Claims {
        /// The role that `SET LOCAL ROLE` sets.
        role: String,
        /// `request.jwt.claims`, a JSON object.
        claims: String,
    },
}

/// The pool of connections for reading.
#[derive(Clone, Debug)]
pub struct ReadPool(PgPool);

/// A read-only transaction. It ends when it is dropped.
pub type ReadTransaction = Transaction<'static, Postgres>;

impl ReadPool {
    /// A pool that connects when it is used.
    #[must_use]
    pub fn new(database: PgConnectOptions) -> Self {
        let options = database
            .application_name("runtraced reads")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(0)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // The requests say so themselves.
            .acquire_slow_threshold(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .connect_lazy_with(options);
        Self(pool)
    }

    /// Begins a read-only transaction as somebody.
    ///
    /// # Errors
    /// If the database is away, no connection is free in time, or the daemon may not take the
    /// role.
    pub async fn begin(&self, reader: &ReadAs) -> Result<ReadTransaction, sqlx::Error> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut tx = self.0.begin_with(begin).await?;
        set_reader(&mut tx, reader).await?;
        Ok(tx)
    }

    /// Begins a transaction that may write what the policies let this reader write.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn begin_write(&self, reader: &ReadAs) -> Result<ReadTransaction, sqlx::Error> {
        let mut tx = self.0.begin_with("BEGIN READ WRITE").await?;
        set_reader(&mut tx, reader).await?;
        Ok(tx)
    }
}

/// Settings of a transaction. A role comes last: what follows it has its rights only.
async fn set_reader(conn: &mut PgConnection, reader: &ReadAs) -> Result<(), sqlx::Error> {
    let limit = STATEMENT_TIMEOUT.as_millis();
    // Text of times does not depend on the settings of the server.
    let settings = format!(
        "SET LOCAL statement_timeout = {limit}; SET LOCAL TimeZone = 'UTC'; \
         SET LOCAL DateStyle = 'ISO'; SET LOCAL jit = off"
    );
    sqlx::raw_sql(AssertSqlSafe(settings))
        .execute(&mut *conn)
        .await?;
    let ReadAs::Claims { role, claims } = reader else {
        return Ok(());
    };
    sqlx::query("SELECT set_config('request.jwt.claims', $1, true), set_config('role', $2, true)")
        .bind(claims)
        .bind(role)
        .execute(&mut *conn)
        .await?;
    Ok(())
}
