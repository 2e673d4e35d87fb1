//! Rows that name a user in runs and sessions of others.
//!
//! A message that names the user goes. A step is a part of somebody else's run, and a score an opinion about it: these stay, without the user.

use std::collections::{BTreeMap, HashSet};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::found::SubjectRows;
use super::subject::{SubjectKey, USER_PATHS, user_keys};
use crate::store::{TraceLayout, TracePlace};

/// Rows that one transaction changes.
const ROWS: usize = 1_000;

/// The rows of others that name a user.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    rows: Vec<Mention>,
    /// The customers whose rows they are.
    pub owners: HashSet<String>,
}

/// How many rows name a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MentionCounts {
    /// Messages, which go.
    pub messages: u64,
    /// Steps and scores, which stay without the user.
    pub stay: u64,
}

#[derive(Debug)]
struct Mention {
    id: Uuid,
    run: Option<Uuid>,
    session: Option<Uuid>,
    is_message: bool,
}

impl Mentions {
    /// Finds the rows, but those of the runs and sessions that go anyway. It reads all steps,
    /// messages and scores once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(
        conn: &mut PgConnection,
        subject: &SubjectKey,
        found: &SubjectRows,
    ) -> Result<Self, sqlx::Error> {
        let mut mentions = Self::default();
        if subject.kind != "user" {
            return Ok(mentions);
        }
        let own: HashSet<Uuid> = found
            .all_runs()
            .into_iter()
            .chain(found.sessions.iter().copied())
            .collect();
        let mut rows = sqlx::query(include_str!("mentions.sql"))
            .bind(user_keys())
            .bind(USER_PATHS.as_slice())
            .bind(subject.uuid.is_some())
            .bind(&subject.names)
            .bind(subject.customer_names())
            .fetch(conn);
        while let Some(row) = rows.next().await {
            mentions.note(&row?, &own)?;
        }
        Ok(mentions)
    }

    fn note(&mut self, row: &PgRow, own: &HashSet<Uuid>) -> Result<(), sqlx::Error> {
        let run: Option<Uuid> = row.try_get("run_id")?;
        let session: Option<Uuid> = row.try_get("session_id")?;
        if run.is_some_and(|run| own.contains(&run)) || session.is_some_and(|id| own.contains(&id))
        {
            return Ok(());
        }
        self.owners
            .extend(row.try_get::<Option<String>, _>("owner")?);
        self.rows.push(Mention {
            id: row.try_get("id")?,
            run,
            session,
            is_message: row.try_get("is_message")?,
        });
        Ok(())
    }

    pub fn count(&self) -> MentionCounts {
        let messages = self.rows.iter().filter(|row| row.is_message).count();
        MentionCounts {
            messages: messages as u64,
            stay: (self.rows.len() - messages) as u64,
        }
    }

    /// Deletes the messages, and takes the user out of the other rows.
    ///
    /// # Errors
    /// If the database fails. What was done stays done.
    pub async fn forget(
        &self,
        conn: &mut PgConnection,
        layout: TraceLayout,
        subject: &SubjectKey,
    ) -> Result<MentionCounts, sqlx::Error> {
        let mut places: BTreeMap<TracePlace, Vec<&Mention>> = BTreeMap::new();
        for row in &self.rows {
            let owner = row.run.or(row.session).unwrap_or_default();
            places.entry(layout.place_of(owner)).or_default().push(row);
        }
        let mut done = MentionCounts::default();
        let chunks = places
            .iter()
            .flat_map(|(place, rows)| rows.chunks(ROWS).map(move |rows| (place, rows)));
        for (place, rows) in chunks {
            let mut tx = place.begin(conn).await?;
            // Writers know the totals of runs only while nobody else writes below them.
            sqlx::query(include_str!("lock_mentioning.sql"))
                .bind(rows.iter().filter_map(|row| row.run).collect::<Vec<_>>())
                .execute(&mut *tx)
                .await?;
            let forgotten = sqlx::query(include_str!("forget_mentions.sql"))
                .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
                .bind(USER_PATHS.as_slice())
                .bind(subject.uuid.is_some())
                .bind(&subject.names)
                .fetch_one(&mut *tx)
                .await?;
            tx.commit().await?;
            done.messages += forgotten.try_get::<i64, _>("messages")?.unsigned_abs();
            done.stay += forgotten.try_get::<i64, _>("stay")?.unsigned_abs();
        }
        Ok(done)
    }
}
