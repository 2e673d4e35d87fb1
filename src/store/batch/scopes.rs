//! Where the contents of runs are stored: those of a run with a session in a scope that it shares
//! with the other runs of the session, those of others by run.
//!
//! The row of a scope is its lock. It is taken after the locks of runs and sessions, so whoever
//! waits for it holds nothing that its holder still needs.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

/// What holds contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHolder {
    /// The run or the scope.
    pub id: Uuid,
    /// Whether it is a scope.
    pub is_shared: bool,
}

/// The scopes of runs, which this transaction has locked.
#[derive(Debug, Default)]
pub struct ContentScopes {
    of_runs: HashMap<Uuid, Uuid>,
    /// Those that this transaction has made.
    new: HashSet<Uuid>,
}

impl ContentScopes {
    /// Locks the scopes of some runs, which are locked and have their sessions.
    pub async fn lock(conn: &mut PgConnection, runs: &[Uuid]) -> Result<Self, sqlx::Error> {
        if runs.is_empty() {
            return Ok(Self::default());
        }
        let new: Vec<Uuid> = sqlx::query_scalar(include_str!("../sql/lock_scopes.sql"))
            .bind(runs)
            .fetch_all(&mut *conn)
            .await?;
        // A statement of its own sees what was committed before it had the locks.
        let of_runs: Vec<(Uuid, Uuid)> = sqlx::query_as(include_str!("../sql/link_scopes.sql"))
            .bind(runs)
            .fetch_all(conn)
            .await?;
        Ok(Self {
            of_runs: of_runs.into_iter().collect(),
            new: new.into_iter().collect(),
        })
    }

    /// What holds the contents of a run.
    pub fn holder(&self, run: Uuid) -> ContentHolder {
        let scope = self.of_runs.get(&run).copied();
        ContentHolder {
            id: scope.unwrap_or(run),
            is_shared: scope.is_some(),
        }
    }

    /// Whether a scope was made just now, and so holds nothing.
    pub fn is_new(&self, scope: Uuid) -> bool {
        self.new.contains(&scope)
    }
}
