//! Why runs and sessions stay that should have gone: a table of the product refers to them.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{DoomedRun, try_run};
use super::sessions::{DoomedSession, try_session};
use crate::store::TraceLayout;

/// How many runs and sessions are tried one by one.
const TRIED: usize = 500;

/// A foreign key that does not let rows go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The table that refers to the traces.
    pub table: String,
}

/// Runs or sessions that one foreign key does not let go.
#[derive(Clone, Debug)]
pub struct HeldRows {
    /// The foreign key.
    pub by: ForeignKey,
    /// How many.
    pub rows: u64,
    /// One of them.
    pub example: Uuid,
}

/// What was found by trying.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: BTreeMap<ForeignKey, HeldRows>,
    /// What went after all.
    pub gone: RowCounts,
}

impl ForeignKey {
    /// The foreign key that an error is about, if it is about one.
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?;
        let is_of_key = error.code().is_some_and(|code| code == "23503");
        is_of_key.then(|| Self {
            name: error.constraint().unwrap_or_default().to_owned(),
            table: error.table().unwrap_or_default().to_owned(),
        })
    }
}

impl Held {
    /// Tries to delete runs and sessions one by one, a bounded number of them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(
        conn: &mut PgConnection,
        layout: TraceLayout,
        runs: &[DoomedRun],
        sessions: &[DoomedSession],
    ) -> Result<Self, sqlx::Error> {
        let mut held = Self::default();
        for run in runs.iter().take(TRIED) {
            let tried = try_run(conn, layout, run).await?;
            held.note(run.id, tried);
        }
        for session in sessions.iter().take(TRIED) {
            let tried = try_session(conn, layout, session).await?;
            held.note(session.id, tried);
        }
        Ok(held)
    }

    fn note(&mut self, id: Uuid, (gone, by): (RowCounts, Option<ForeignKey>)) {
        self.gone += gone;
        let Some(by) = by else {
            return;
        };
        let held = self.keys.entry(by.clone()).or_insert(HeldRows {
            by,
            rows: 0,
            example: id,
        });
        held.rows += 1;
    }

    /// By foreign key.
    pub fn into_rows(self) -> Vec<HeldRows> {
        self.keys.into_values().collect()
    }
}
