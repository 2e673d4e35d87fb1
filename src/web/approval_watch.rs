//! Tells who waits for a decision that it is there, whichever daemon or statement made it.
//!
//! One task asks the database about all approvals that somebody waits for. It runs only
//! while somebody does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Row as _;
use tokio::sync::watch;
use uuid::Uuid;

use crate::query::{ReadAs, ReadPool, SqlText};

/// How often the database is asked.
const INTERVAL: Duration = Duration::from_millis(250);
/// Approvals that may be waited for at the same time.
const MAX_WATCHED: usize = 10_000;

/// Approvals that somebody waits for.
#[derive(Clone, Debug)]
pub struct ApprovalWatch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    pool: ReadPool,
    state: Mutex<WatchState>,
}

#[derive(Debug, Default)]
struct WatchState {
    waiting: HashMap<Uuid, watch::Sender<()>>,
    /// Whether the task runs.
    polls: bool,
}

/// Too many approvals are waited for.
#[derive(Debug)]
pub struct TooManyWaiting;

impl ApprovalWatch {
    pub(super) fn new(pool: ReadPool) -> Self {
        Self(Arc::new(Watched {
            pool,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the approval may be no longer pending; the caller looks. Also returns
    /// when there is no such approval yet.
    ///
    /// # Errors
    /// If too many are waited for.
    pub async fn changed(&self, id: Uuid) -> Result<(), TooManyWaiting> {
        let mut decided = self.subscribe(id)?;
        // An error: the task has removed the entry, which is the news.
        let _ = decided.changed().await;
        Ok(())
    }

    fn subscribe(&self, id: Uuid) -> Result<watch::Receiver<()>, TooManyWaiting> {
        let mut state = self.state();
        if state.waiting.len() >= MAX_WATCHED && !state.waiting.contains_key(&id) {
            return Err(TooManyWaiting);
        }
        let sender = state
            .waiting
            .entry(id)
            .or_insert_with(|| watch::Sender::new(()));
        let receiver = sender.subscribe();
        if !std::mem::replace(&mut state.polls, true) {
            tokio::spawn(self.clone().poll());
        }
        Ok(receiver)
    }

    /// Asks until nobody waits.
    async fn poll(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let ids: Vec<String> = {
                let mut state = self.state();
                state
                    .waiting
                    .retain(|_, sender| sender.receiver_count() > 0);
                if state.waiting.is_empty() {
                    state.polls = false;
                    return;
                }
                state.waiting.keys().map(Uuid::to_string).collect()
            };
            // While the database is away, nothing is decided.
            let decided = self.decided(&ids).await.unwrap_or_default();
            let mut state = self.state();
            for id in decided {
                state.waiting.remove(&id);
            }
        }
    }

    async fn decided(&self, ids: &[String]) -> Result<Vec<Uuid>, sqlx::Error> {
        let mut tx = self.0.pool.begin(&ReadAs::Daemon).await?;
        let mut sql = SqlText::new(
            "SELECT a.id FROM approvals AS a WHERE (a.status <> 'pending' OR a.expires_at <= now()) AND a.id = ANY (",
        );
        sql.bind(&format!("{{{}}}", ids.join(",")), "uuid[]")
            .push(")");
        let rows = sql.rows(&mut tx).await?;
        rows.iter().map(|row| row.try_get("id")).collect()
    }
}
