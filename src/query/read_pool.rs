//! Connections for reading. They are apart from those of the writers, few, and every
//! statement on them has a time limit, so that no reader holds up an ack for long.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Postgres, Row as _, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::sql_text::SqlText;

/// Connections that read at the same time.
const CONNECTIONS: u32 = 6;
/// Those of them for reads that may take long. The others are for approvals.
const SHARED: usize = 4;
/// How long a read waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one statement of a read may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long all statements of one read may take, from Postgres 17 on: until then, old rows
/// cannot be removed.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// What a read begins with.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The tables with traces. Policies say which rows of them a reader sees.
const GUARDED_TABLES: [&str; 9] = [
    "agent_contents",
    "agent_messages",
    "agent_run_scopes",
    "agent_runs",
    "agent_scores",
    "agent_sessions",
    "agent_steps",
    "agent_token_counts",
    "approvals",
];
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

impl ReadAs {
    /// What sets role and claims in psql, for the rest of the session; `None`: the daemon sets none.
    #[must_use]
    pub fn for_psql(&self) -> Option<String> {
        let Self::Claims { role, claims } = self else {
            return None;
        };
        let mut sql = SqlText::new("SELECT set_config('request.jwt.claims', ");
        sql.bind(claims, "text")
            .push(", false), set_config('role', ");
        sql.bind(role, "text").push(", false)");
        Some(sql.for_psql())
    }
}

/// Fails if a connection leads to another server of a store than it is meant for: that has other runs.
pub type ConnectionCheck =
    for<'c> fn(
        &'c mut PgConnection,
    ) -> Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + 'c>>;

/// The pool of connections for reading.
#[derive(Clone, Debug)]
pub struct ReadPool {
    connections: PgPool,
    shared: Arc<Semaphore>,
}

/// A transaction. It ends when it is dropped.
#[derive(Debug)]
pub struct ReadTransaction {
    transaction: Transaction<'static, Postgres>,
    /// Given back after the connection.
    _place: Option<OwnedSemaphorePermit>,
}

impl Deref for ReadTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for ReadTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}

impl ReadTransaction {
    /// Makes what was written last.
    ///
    /// # Errors
    /// If the database refuses it, or is away.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

impl ReadPool {
    /// A pool that connects when it is used. `check` looks at each new connection.
    #[must_use]
    pub fn new(database: PgConnectOptions, check: ConnectionCheck) -> Self {
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
            .after_connect(move |conn, _| check(conn))
            .connect_lazy_with(options);
        Self {
            connections: pool,
            shared: Arc::new(Semaphore::new(SHARED)),
        }
    }

    /// Begins a read-only transaction as somebody, for reads that are always short.
    ///
    /// # Errors
    /// If the database is away, no connection is free in time, the daemon may not take the
    /// role, or policies do not bind the role.
    pub async fn begin(&self, reader: &ReadAs) -> Result<ReadTransaction, sqlx::Error> {
        self.begin_with(BEGIN_READ, reader, None).await
    }

    /// The same for all other reads. They leave connections for the short ones.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn begin_shared(&self, reader: &ReadAs) -> Result<ReadTransaction, sqlx::Error> {
        let place = timeout(ACQUIRE_TIMEOUT, self.shared.clone().acquire_owned()).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        self.begin_with(BEGIN_READ, reader, Some(place)).await
    }

    /// Begins a transaction that may write what the policies let this reader write.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn begin_write(&self, reader: &ReadAs) -> Result<ReadTransaction, sqlx::Error> {
        self.begin_with("BEGIN READ WRITE", reader, None).await
    }

    async fn begin_with(
        &self,
        begin: &'static str,
        reader: &ReadAs,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<ReadTransaction, sqlx::Error> {
        // In one round trip. None of these settings can fail.
        let begin = AssertSqlSafe(format!("{begin}; {}", settings()));
        let mut transaction = self.connections.begin_with(begin).await?;
        set_reader(&mut transaction, reader).await?;
        Ok(ReadTransaction {
            transaction,
            _place: place,
        })
    }
}

/// Settings of a transaction. Text of times does not depend on the settings of the server. Sums over many runs are hashed. Each
/// question is planned anew: a plan kept from when tables were empty reads them from end to end until Postgres analyses them.
fn settings() -> String {
    let limit = STATEMENT_TIMEOUT.as_millis();
    format!(
        "SET LOCAL statement_timeout = {limit}; SET LOCAL TimeZone = 'UTC'; \
         SET LOCAL plan_cache_mode = force_custom_plan; \
         SET LOCAL DateStyle = 'ISO'; SET LOCAL jit = off; SET LOCAL work_mem = '32MB'; \
         SET LOCAL idle_in_transaction_session_timeout = {limit}; \
         SELECT set_config('transaction_timeout', '{whole}', true) WHERE current_setting('transaction_timeout', true) IS NOT NULL",
        whole = TRANSACTION_TIMEOUT.as_millis()
    )
}

/// Sets the role and the claims of a reader. What follows has their rights only.
async fn set_reader(conn: &mut PgConnection, reader: &ReadAs) -> Result<(), sqlx::Error> {
    let ReadAs::Claims { role, claims } = reader else {
        return Ok(());
    };
    // A superuser, the owner or a role with BYPASSRLS would see what belongs to others, and everybody would
    // if somebody has disabled the policies of one table.
    let bound = sqlx::query(include_str!("sql/set_reader.sql"))
        .bind(claims)
        .bind(role)
        .bind(&GUARDED_TABLES[..])
        .fetch_one(&mut *conn)
        .await?;
    match bound.try_get::<Option<bool>, _>("bound")? {
        Some(true) => Ok(()),
        _ => Err(sqlx::Error::Configuration(
            format!(
                "row level security does not bind the role {role} (--read-role) on every table"
            )
            .into(),
        )),
    }
}
