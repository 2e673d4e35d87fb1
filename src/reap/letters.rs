//! The dead letters that are about a subject.

use std::collections::HashSet;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::letter::Letter;
use super::subject::SubjectKey;
use super::whose::SubjectOwners;

/// Dead letters that one statement looks at.
const LETTERS: i64 = 500;

/// The dead letters of a subject.
#[derive(Default)]
pub(super) struct SubjectLetters {
    pub letters: Vec<Uuid>,
    /// The runs that they start, and that belong to the subject.
    pub runs: Vec<Uuid>,
    /// The customers of those that name the user.
    pub owners: HashSet<String>,
}

/// Finds the dead letters that name the subject, one of `ids`, or a run of the subject that such
/// a letter starts. `owners`: whose the subject's rows are.
pub(super) async fn letters_of(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    owners: &SubjectOwners,
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
        let found = look_once(conn, subject, owners, &ids).await?;
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
    owners: &SubjectOwners,
    ids: &HashSet<Uuid>,
) -> Result<SubjectLetters, sqlx::Error> {
    let mut found = SubjectLetters::default();
    let mut starts = Vec::new();
    let mut after = Uuid::nil();
    let user_places = subject.user_places_in_json();
    loop {
        let rows = sqlx::query(include_str!("subject_letters.sql"))
            .bind(after)
            .bind(LETTERS)
            .bind(&user_places)
            .fetch_all(&mut *conn)
            .await?;
        let Some(last) = rows.last() else {
            break;
        };
        after = last.try_get("id")?;
        for row in &rows {
            let letter = Letter::read(row)?;
            if letter.says_user() {
                found.owners.extend(letter.owner().map(str::to_owned));
            }
            if letter.is_of(subject, owners, ids) {
                found.letters.push(letter.id);
                if letter.starts_run_of(subject, owners, ids) {
                    starts.push(letter);
                }
            }
        }
    }
    found.runs = started_runs(conn, owners, &starts).await?;
    Ok(found)
}

/// The runs that letters start and that may go for that.
async fn started_runs(
    conn: &mut PgConnection,
    owners: &SubjectOwners,
    letters: &[Letter],
) -> Result<Vec<Uuid>, sqlx::Error> {
    let starts = || letters.iter().filter(|letter| letter.started.is_some());
    sqlx::query_scalar(include_str!("letter_runs.sql"))
        .bind(starts().map(|letter| letter.started).collect::<Vec<_>>())
        .bind(starts().map(|l| l.tenant.as_deref()).collect::<Vec<_>>())
        .bind(starts().map(Letter::claims).collect::<Vec<_>>())
        .bind(owners.names())
        .fetch_all(conn)
        .await
}
