//! The dead letters that are about a subject.

use std::collections::HashSet;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::subject::SubjectKey;

/// Dead letters that one statement looks at.
const LETTERS: i64 = 500;

/// The dead letters of a subject.
pub(super) struct SubjectLetters {
    pub letters: Vec<Uuid>,
    /// The runs that they start.
    pub runs: Vec<Uuid>,
}

/// Finds the dead letters that name the subject, one of `ids`, or a run that such a letter starts.
pub(super) async fn letters_of(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    mut ids: HashSet<Uuid>,
) -> Result<SubjectLetters, sqlx::Error> {
    ids.extend(subject.uuid);
    let erased: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM ingest_tombstones WHERE erased_for = $1")
            .bind(&subject.mark)
            .fetch_all(&mut *conn)
            .await?;
    ids.extend(erased);
    loop {
        let found = look_once(conn, subject, &ids).await?;
        // A letter that starts a run may come after one that only names it.
        let known = ids.len();
        ids.extend(&found.runs);
        if ids.len() == known {
            return Ok(found);
        }
    }
}

async fn look_once(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    ids: &HashSet<Uuid>,
) -> Result<SubjectLetters, sqlx::Error> {
    let mut found = SubjectLetters {
        letters: Vec::new(),
        runs: Vec::new(),
    };
    let mut after = Uuid::nil();
    loop {
        let rows = sqlx::query(include_str!("subject_letters.sql"))
            .bind(subject.kind)
            .bind(&subject.id)
            .bind(subject.uuid.is_some())
            .bind(after)
            .bind(LETTERS)
            .fetch_all(&mut *conn)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(found);
        };
        after = last.try_get("id")?;
        for row in &rows {
            let named: Vec<Uuid> = row.try_get("ids")?;
            if row.try_get("named")? || named.iter().any(|id| ids.contains(id)) {
                found.letters.push(row.try_get("id")?);
                let started: Option<&str> = row.try_get("started")?;
                found
                    .runs
                    .extend(started.and_then(|run| Uuid::try_parse(run).ok()));
            }
        }
    }
}
