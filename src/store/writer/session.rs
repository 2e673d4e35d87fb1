//! A writer's session with the database, and its transactions.

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

/// The database as one writer has it: connected to when it is first needed, and
/// anew after each failure.
#[derive(Debug)]
pub(super) struct Database {
    options: PgConnectOptions,
    deadline: Duration,
    session: Option<Session>,
}

/// A connection, and what is true as long as it lasts.
#[derive(Debug)]
struct Session {
    conn: PgConnection,
    plans: PlanAge,
    /// A server that comes back may have lost what another one had.
    sums: RunTotalsCache,
}

impl Session {
    async fn open(database: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        Ok(Self {
            conn: connect(database).await?,
            plans: PlanAge::new(),
            sums: RunTotalsCache::new(),
        })
    }
}

impl Database {
    pub fn new(options: PgConnectOptions, deadline: Duration) -> Self {
        Self {
            options,
            deadline,
            session: None,
        }
    }

    /// Transactions that take longer are given up, from now on.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Keeps the sums of runs that the last transaction has written.
    pub fn insert(&mut self, sums: HashMap<Uuid, RunTotals>) {
        if let Some(session) = &mut self.session {
            session.sums.insert(sums);
        }
    }

    /// One transaction under the deadline. Unless it is merely refused, its
    /// connection is not used again.
    pub async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection, &mut RunTotalsCache) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        // Whoever stops waiting amid it takes the session away with it.
        let session = self.session.take();
        let transaction = async {
            let mut session = match session {
                Some(session) => session,
                None => Session::open(&self.options).await?,
            };
            let Session { conn, plans, sums } = &mut session;
            let result = async {
                plans.renew(conn).await?;
                let mut tx = conn.begin().await?;
                let value = work(&mut tx, sums).await?;
                tx.commit().await?;
                Ok(value)
            }
            .await;
            Ok::<_, BatchError>((session, result))
        };
        let (session, result) = timeout(self.deadline, transaction).await.map_err(|_| {
            let late = io::Error::new(ErrorKind::TimedOut, "the database did not answer in time");
            BatchError::Sql(sqlx::Error::Io(late))
        })??;
        match &result {
            Err(BatchError::Sql(error)) if classify_failure(error) == FailureClass::Unavailable => {
            }
            _ => self.session = Some(session),
        }
        result
    }
}
