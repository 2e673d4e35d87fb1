//! Finds the rows of a subject.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::letters::{SubjectLetters, letters_of};
use super::subject::{SubjectKey, USER_PATHS};
use super::whose::SubjectOwners;

/// The rows of a subject.
pub(super) struct SubjectRows {
    pub sessions: Vec<Uuid>,
    pub runs: Vec<Uuid>,
    pub letters: SubjectLetters,
    /// The customers whose they are.
    pub owners: SubjectOwners,
    /// The sessions, and whose each is.
    pub owned_sessions: Vec<OwnedId>,
    /// The same of the runs.
    pub owned_runs: Vec<OwnedId>,
}

impl SubjectRows {
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.runs.is_empty() && self.letters.letters.is_empty()
    }

    /// With those that dead letters start. These are deleted when they have their tombstones.
    pub fn all_runs(&self) -> Vec<Uuid> {
        let all: HashSet<Uuid> = self
            .runs
            .iter()
            .chain(&self.letters.runs)
            .copied()
            .collect();
        all.into_iter().collect()
    }
}

/// Finds the rows of a subject that are there.
///
/// # Errors
/// If the database fails.
pub(super) async fn find(
    conn: &mut PgConnection,
    subject: &SubjectKey,
) -> Result<SubjectRows, sqlx::Error> {
    let sessions: Vec<OwnedId> = sqlx::query_as(include_str!("subject_sessions.sql"))
        .bind(subject.kind)
        .bind(&subject.names)
        .bind(subject.uuid.is_some())
        .bind(&subject.mark)
        .bind(subject.customer_names())
        .bind(subject.elsewhere.sessions.ids())
        .bind(subject.elsewhere.sessions.owners())
        .fetch_all(&mut *conn)
        .await?;
    let ids = |rows: &[OwnedId]| rows.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let runs: Vec<OwnedId> = sqlx::query_as(include_str!("subject_runs.sql"))
        .bind(subject.kind)
        .bind(&subject.names)
        .bind(subject.uuid.is_some())
        .bind(&subject.mark)
        .bind(ids(&sessions))
        .bind(subject.customer_names())
        .bind(owner_of_gone(subject))
        .bind(USER_PATHS.as_slice())
        .bind(subject.elsewhere.runs.ids())
        .bind(subject.elsewhere.runs.owners())
        .fetch_all(&mut *conn)
        .await?;
    let all = || runs.iter().chain(&sessions);
    let of_rows = SubjectOwners::of_rows(all().map(|(_, owner)| owner.as_deref()));
    let owners = match subject.owners.is_unknown() {
        true => &of_rows,
        false => &subject.owners,
    };
    let letters = letters_of(conn, subject, owners, all().map(|(id, _)| *id).collect()).await?;
    Ok(SubjectRows {
        owners: of_rows.and(&letters.owners),
        sessions: ids(&sessions),
        runs: ids(&runs),
        letters,
        owned_sessions: sessions,
        owned_runs: runs,
    })
}

/// The customer of the subject's runs that are gone, if it is known.
pub(super) fn owner_of_gone(subject: &SubjectKey) -> Option<String> {
    match (subject.kind, &subject.customer) {
        ("customer", _) => Some(subject.id.clone()),
        (_, Some(customer)) => Some(customer.key()),
        _ => subject.owners.only().cloned(),
    }
}

/// A run or session, and the customer whose it is.
pub(super) type OwnedId = (Uuid, Option<String>);
