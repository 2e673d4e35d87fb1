//! A writer's database session and its transactions.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;
use uuid::Uuid;

use crate::store::batch::{BatchError, RunTotals, RunTotalsCache};
use crate::store::error::timed_out;
use crate::store::session::{Session, SessionUse};

/// A session that is opened when it is first needed, and again after each failure.
#[derive(Debug)]
pub(super) struct LazySession {
    deadline: Duration,
    /// The run totals are dropped with the connection: a server that comes back may have
    /// lost commits, for example after a failover.
    session: Session<RunTotalsCache>,
}

impl LazySession {
    pub fn new(options: PgConnectOptions, deadline: Duration) -> Self {
        let write = SessionUse::Write;
        let totals = RunTotalsCache::new;
        Self {
            deadline,
            session: Session::new(options, "runtraced", write, deadline, totals),
        }
    }

    /// Sets the deadline of the following transactions. The server has the same limit for
    /// each statement, so it ends what this connection gives up.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
        self.session.set_limit(deadline);
    }

    /// Caches the run totals that the last transaction has committed.
    pub fn cache_run_totals(&mut self, totals: HashMap<Uuid, RunTotals>) {
        if let Some(cache) = self.session.state_mut() {
            cache.insert(totals);
        }
    }

    /// Runs one transaction within the deadline. The connection stays open unless the
    /// failure says that the database is away.
    pub async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection, &mut RunTotalsCache) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        let transaction = async {
            let result = self.session.acquire().await?.transaction(work).await;
            self.session.release(match &result {
                Err(BatchError::Sql(error) | BatchError::RefusedRow { source: error, .. }) => {
                    Some(error)
                }
                _ => None,
            });
            result
        };
        match timeout(self.deadline, transaction).await {
            Ok(result) => result,
            Err(_) => {
                self.session.give_up().await;
                Err(timed_out().into())
            }
        }
    }
}
