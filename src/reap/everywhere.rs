//! Erases a subject on all servers of a store.
//!
//! A run may have started runs on other servers, and a session is on all of them. So what one server
//! knows of the subject, the others are told: they look for what it started, and note that it is
//! erased.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::erase::{Erased, erase_known};
use super::found::{OwnedId, SubjectRows, find, owner_of_gone};
use super::mentions::Mentions;
use super::subject::{Subject, SubjectKey};
use super::whose::SubjectOwners;

/// How often all servers are asked again, because runs have started meanwhile.
const ROUNDS: u32 = 5;

/// Ids, and the customers whose they are.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnedIds(BTreeMap<Uuid, Option<String>>);

impl OwnedIds {
    pub fn ids(&self) -> Vec<Uuid> {
        self.0.keys().copied().collect()
    }

    pub fn owners(&self) -> Vec<Option<String>> {
        self.0.values().cloned().collect()
    }

    fn note(&mut self, ids: Vec<OwnedId>) {
        for (id, owner) in ids {
            let known = self.0.entry(id).or_default();
            *known = known.take().or(owner);
        }
    }
}

/// The rows of a subject on all servers of a store. It is empty if there is only one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Elsewhere {
    pub sessions: OwnedIds,
    pub runs: OwnedIds,
}

impl Elsewhere {
    fn len(&self) -> usize {
        self.sessions.0.len() + self.runs.0.len()
    }

    /// The sessions and runs that a server does not have, and must note as erased. A session of
    /// another customer that has the same id stays.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn missing(
        &self,
        conn: &mut PgConnection,
        found: &SubjectRows,
    ) -> Result<(Vec<Uuid>, Vec<Uuid>), sqlx::Error> {
        let mut sessions = self.sessions.ids();
        if !sessions.is_empty() {
            let there: Vec<Uuid> =
                sqlx::query_scalar("SELECT id FROM agent_sessions WHERE id = ANY ($1)")
                    .bind(&sessions)
                    .fetch_all(conn)
                    .await?;
            sessions.retain(|id| !there.contains(id) || found.sessions.contains(id));
        }
        Ok((sessions, self.runs.ids()))
    }
}

/// A server failed. What was erased stays erased.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct EraseFailure {
    /// Which one, from 0.
    pub server: usize,
    /// What was erased before.
    pub erased: Erased,
    /// The cause.
    pub source: sqlx::Error,
}

impl EraseFailure {
    /// The same of the only server.
    #[must_use]
    pub fn alone(source: sqlx::Error) -> Self {
        Self {
            server: 0,
            erased: Erased::default(),
            source,
        }
    }
}

/// Erases a subject on all servers of a store, or only counts what it would erase. Nothing is erased
/// if it is a name that traces of several customers have.
///
/// # Errors
/// If a server fails.
pub async fn erase_everywhere(
    servers: &mut [&mut PgConnection],
    subject: &Subject,
    dry_run: bool,
) -> Result<Erased, EraseFailure> {
    let mut erased = Erased::default();
    let Some(first) = servers.first_mut() else {
        return Ok(erased);
    };
    let key = SubjectKey::of(first, subject).await;
    let mut key = key.map_err(|source| failed(0, &erased, source))?;
    let owners = learn(servers, &mut key, &erased).await?;
    if key.owners.is_unknown() {
        key.owners = owners.clone();
    }
    if key.is_ambiguous() {
        erased.customers = owners_of_all(servers, &key, owners).await?;
    }
    if dry_run || erased.customers > 1 {
        return on_each(servers, subject, &key, true, erased).await;
    }
    for _ in 0..ROUNDS {
        let known = key.elsewhere.len();
        erased = on_each(servers, subject, &key, false, erased).await?;
        learn(servers, &mut key, &erased).await?;
        if key.elsewhere.len() == known {
            return Ok(erased);
        }
    }
    erased.comes_again = true;
    Ok(erased)
}

/// Erases the subject on one server after the other.
async fn on_each(
    servers: &mut [&mut PgConnection],
    subject: &Subject,
    key: &SubjectKey,
    dry_run: bool,
    before: Erased,
) -> Result<Erased, EraseFailure> {
    // What is left is looked at anew.
    let mut erased = Erased {
        rows: before.rows,
        decisions: before.decisions,
        mentions: before.mentions,
        ..Erased::default()
    };
    for (server, conn) in servers.iter_mut().enumerate() {
        let done = erase_known(conn, subject, key.clone(), dry_run).await;
        erased += done.map_err(|source| failed(server, &erased, source))?;
    }
    erased.customers = before.customers;
    Ok(erased)
}

/// Asks all servers what they know of the subject, until none of them knows more. Returns whose the
/// rows are.
async fn learn(
    servers: &mut [&mut PgConnection],
    key: &mut SubjectKey,
    erased: &Erased,
) -> Result<SubjectOwners, EraseFailure> {
    let mut owners = SubjectOwners::default();
    loop {
        let known = key.elsewhere.len();
        for (server, conn) in servers.iter_mut().enumerate() {
            let found = learn_from(conn, key).await;
            let found = found.map_err(|source| failed(server, erased, source))?;
            owners = owners.with(&found);
        }
        if key.elsewhere.len() == known {
            return Ok(owners);
        }
    }
}

/// Asks one server. Returns whose its rows of the subject are.
async fn learn_from(
    conn: &mut PgConnection,
    key: &mut SubjectKey,
) -> Result<SubjectOwners, sqlx::Error> {
    let found = find(conn, key).await?;
    key.elsewhere.sessions.note(found.owned_sessions);
    key.elsewhere.runs.note(found.owned_runs);
    // What an earlier command has erased may have started something elsewhere.
    let gone: Vec<(Uuid, bool)> =
        sqlx::query_as("SELECT id, is_session FROM ingest_tombstones WHERE erased_for = $1")
            .bind(&key.mark)
            .fetch_all(conn)
            .await?;
    let owner = owner_of_gone(key);
    for (id, is_session) in gone {
        match is_session {
            true => key.elsewhere.sessions.note(vec![(id, owner.clone())]),
            false => {
                // Nobody knows whose it was: only what belongs to nobody goes with it. An empty text is no customer.
                let owner = owner.clone().or_else(|| Some(String::new()));
                key.elsewhere.runs.note(vec![(id, owner)]);
            }
        }
    }
    Ok(found.owners)
}

/// How many customers have traces that name the subject.
async fn owners_of_all(
    servers: &mut [&mut PgConnection],
    key: &SubjectKey,
    mut owners: SubjectOwners,
) -> Result<usize, EraseFailure> {
    for (server, conn) in servers.iter_mut().enumerate() {
        let mentioned = async {
            let found = find(conn, key).await?;
            Mentions::find(conn, key, &found).await
        };
        let mentioned = mentioned.await;
        let mentioned = mentioned.map_err(|source| failed(server, &Erased::default(), source))?;
        owners = owners.and(&mentioned.owners);
    }
    Ok(owners.names().len())
}

fn failed(server: usize, erased: &Erased, source: sqlx::Error) -> EraseFailure {
    EraseFailure {
        server,
        erased: erased.clone(),
        source,
    }
}
