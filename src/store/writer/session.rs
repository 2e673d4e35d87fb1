//! A writer's database session and its transactions.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use super::connection::{PlanAge, connect};
use crate::store::batch::{BatchError, RunTotals, RunTotalsCache};
use crate::store::error::{FailureClass, classify_failure};

/// A session that is opened when it is first needed, and again after each failure.
#[derive(Debug)]
pub(super) struct LazySession {
    options: PgConnectOptions,
    deadline: Duration,
    open: Option<OpenSession>,
}

/// A connection, and the state that is valid as long as it is open.
#[derive(Debug)]
struct OpenSession {
    conn: PgConnection,
    plans: PlanAge,
    /// Dropped with the connection: a server that comes back may have lost commits, for
    /// example after a failover.
    run_totals: RunTotalsCache,
}

impl OpenSession {
    async fn open(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        Ok(Self {
            conn: connect(options).await?,
            plans: PlanAge::new(),
            run_totals: RunTotalsCache::new(),
        })
    }
}

impl LazySession {
    pub fn new(options: PgConnectOptions, deadline: Duration) -> Self {
        Self {
            options,
            deadline,
            open: None,
        }
    }

    /// Sets the deadline of the following transactions.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Caches the run totals that the last transaction has committed.
    pub fn cache_run_totals(&mut self, totals: HashMap<Uuid, RunTotals>) {
        if let Some(session) = &mut self.open {
            session.run_totals.insert(totals);
        }
    }

    /// Runs one transaction within the deadline. The connection stays open unless the
    /// failure says that the database is away.
    pub async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection, &mut RunTotalsCache) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        // The future owns the session, so cancelling it closes the connection.
        let session = self.open.take();
        let transaction = async {
            let mut session = match session {
                Some(session) => session,
                None => OpenSession::open(&self.options).await?,
            };
            let OpenSession {
                conn,
                plans,
                run_totals,
            } = &mut session;
            let result = async {
                plans.discard_old_plans(conn).await?;
                let mut tx = conn.begin().await?;
                let value = work(&mut tx, run_totals).await?;
                tx.commit().await?;
                Ok(value)
            }
            .await;
            Ok::<_, BatchError>((session, result))
        };
        let (session, result) = timeout(self.deadline, transaction).await.map_err(|_| {
            let error = io::Error::new(ErrorKind::TimedOut, "the database did not answer in time");
            BatchError::Sql(sqlx::Error::Io(error))
        })??;
        match &result {
            Err(BatchError::Sql(error)) if classify_failure(error) == FailureClass::Unavailable => {
            }
            _ => self.open = Some(session),
        }
        result
    }
}
