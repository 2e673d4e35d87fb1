//! Tells who waits for a decision that it is there, whichever daemon or statement made it.
//!
//! One task asks the database about all approvals that somebody waits for. It runs only
//! while somebody does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use sqlx::Row as _;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use uuid::{NonNilUuid, Uuid};

use super::decision_counts::decision_counts;
use crate::query::{
    ApprovalsOf, ReadAs, ReadPool, ReadPools, ReadTransaction, asked_statement, decided_statement,
};

/// How often the database is asked.
const INTERVAL: Duration = Duration::from_millis(250);
/// The time until the next question after an error.
const RETRY: Duration = Duration::from_secs(1);
/// What may be waited for at the same time.
const MAX_WATCHED: usize = 10_000;

/// Approvals that somebody waits for.
#[derive(Clone, Debug)]
pub struct ApprovalWatch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    pools: ReadPools,
    state: Mutex<WatchState>,
    look: Notify,
}

#[derive(Debug, Default)]
struct WatchState {
    /// How many decisions there are.
    waiting: HashMap<ApprovalsOf, watch::Sender<i64>>,
    /// Whether the task runs.
    polls: bool,
}

/// Lets the next one who comes start the task again, also if it ended by a panic.
struct PollEnd(ApprovalWatch);

impl Drop for PollEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().polls = false;
        }
    }
}

/// Too many approvals are waited for.
#[derive(Debug)]
pub struct TooManyWaiting;

/// A decision, as the agent that asked for it sees it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AgentDecision {
    pub approval: Uuid,
    /// `approved`, `rejected` or `expired`.
    pub status: String,
    /// Microseconds since 1970.
    pub decided_us: Option<i64>,
    pub notes: Option<String>,
}

impl ApprovalWatch {
    pub(super) fn new(pools: ReadPools) -> Self {
        Self(Arc::new(Watched {
            pools,
            state: Mutex::default(),
            look: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when there is another number of decisions than `known`, and which. The
    /// caller looks.
    ///
    /// # Errors
    /// If too many are waited for.
    pub(super) async fn changed(&self, of: ApprovalsOf, known: i64) -> Result<i64, TooManyWaiting> {
        let mut decided = self.subscribe(of)?;
        match decided.wait_for(|count| *count != known).await {
            Ok(count) => Ok(*count),
            // The task keeps an entry as long as somebody waits.
            Err(_) => Ok(known),
        }
    }

    /// Returns when there is another number of decisions than `known`, which, and those of
    /// them that the agents of a tenant may see.
    ///
    /// # Errors
    /// If too many are waited for.
    pub async fn decisions(
        &self,
        of: ApprovalsOf,
        tenant: Option<NonNilUuid>,
        known: i64,
    ) -> Result<(i64, Vec<AgentDecision>), TooManyWaiting> {
        let count = self.changed(of, known).await?;
        loop {
            match self.decided(of, tenant).await {
                Ok(decided) => return Ok((count, decided)),
                // The database is away: the agent waits on.
                Err(error) => {
                    tracing::debug!(%error, "decisions cannot be read");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn decided(
        &self,
        of: ApprovalsOf,
        tenant: Option<NonNilUuid>,
    ) -> Result<Vec<AgentDecision>, sqlx::Error> {
        let statement = &decided_statement(of, tenant.is_some());
        let ask = |pool: ReadPool| async move {
            let mut tx = begin_as(&pool, tenant).await?;
            statement.rows(&mut tx).await
        };
        let rows = match of {
            ApprovalsOf::Run(run) => ask(self.0.pools.one_of(run).clone()).await?,
            ApprovalsOf::One(approval) => match self.holder(approval, tenant).await? {
                Some((pool, _)) => ask(pool).await?,
                None => Vec::new(),
            },
        };
        rows.iter()
            .map(|row| {
                Ok(AgentDecision {
                    approval: row.try_get("id")?,
                    status: row.try_get("status")?,
                    decided_us: row.try_get("decided_us")?,
                    notes: row.try_get("notes")?,
                })
            })
            .collect()
    }

    /// What the agents of a tenant may know about an approval, as JSON. `None`: it is not there, or not
    /// theirs.
    pub(super) async fn asked(
        &self,
        approval: Uuid,
        tenant: Option<NonNilUuid>,
    ) -> Result<Option<String>, sqlx::Error> {
        let holder = self.holder(approval, tenant).await?;
        Ok(holder.map(|(_, row)| row))
    }

    /// The server of an approval, and what its agent may know of it. `None`: it is not there, or not theirs, or it is on
    /// several servers: whoever may write to one of them could decide there for the others.
    ///
    /// # Errors
    /// If a server cannot say whether it has it.
    async fn holder(
        &self,
        approval: Uuid,
        tenant: Option<NonNilUuid>,
    ) -> Result<Option<(ReadPool, String)>, sqlx::Error> {
        let statement = &asked_statement(approval, tenant.is_some());
        let ask = |pool: ReadPool| async move {
            let mut tx = begin_as(&pool, tenant).await?;
            statement.json_row(&mut tx).await
        };
        let (mut found, failed) = self.0.pools.holders(ask).await;
        match (failed, found.len()) {
            (Some(error), _) => Err(error),
            (None, 1) => Ok(found.pop()),
            (None, _) => Ok(None),
        }
    }

    /// Something was decided here: the task looks at once.
    pub(super) fn look(&self) {
        self.0.look.notify_one();
    }

    fn subscribe(&self, of: ApprovalsOf) -> Result<watch::Receiver<i64>, TooManyWaiting> {
        let mut state = self.state();
        if state.waiting.len() >= MAX_WATCHED && !state.waiting.contains_key(&of) {
            return Err(TooManyWaiting);
        }
        let sender = state
            .waiting
            .entry(of)
            .or_insert_with(|| watch::Sender::new(0));
        let receiver = sender.subscribe();
        if !std::mem::replace(&mut state.polls, true) {
            tokio::spawn(self.clone().poll());
        }
        self.look();
        Ok(receiver)
    }

    /// Asks until nobody waits.
    async fn poll(self) {
        let _end = PollEnd(self.clone());
        loop {
            // Not in a row, however often somebody comes.
            sleep(INTERVAL / 10).await;
            let _ = timeout(INTERVAL, self.0.look.notified()).await;
            let all: Vec<ApprovalsOf> = {
                let mut state = self.state();
                state
                    .waiting
                    .retain(|_, sender| sender.receiver_count() > 0);
                if state.waiting.is_empty() {
                    state.polls = false;
                    return;
                }
                state.waiting.keys().copied().collect()
            };
            let counts = decision_counts(&self.0.pools, &all).await;
            let state = self.state();
            for of in all {
                // While a database is away, nothing is decided that may be in it.
                let Some(count) = counts.of(of) else {
                    continue;
                };
                if let Some(sender) = state.waiting.get(&of) {
                    sender.send_if_modified(|known| std::mem::replace(known, count) != count);
                }
            }
        }
    }
}

/// Begins to read with the rights of the daemon and the claims of an agent. The statement asks for
/// them, so the role of readers need not exist.
async fn begin_as(
    pool: &ReadPool,
    tenant: Option<NonNilUuid>,
) -> Result<ReadTransaction, sqlx::Error> {
    let mut tx = pool.begin(&ReadAs::Daemon).await?;
    if let Some(customer) = tenant {
        let claims = json!({ "runtraced_customer": customer }).to_string();
        sqlx::query("SELECT set_config('request.jwt.claims', $1, true)")
            .bind(claims)
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx)
}
