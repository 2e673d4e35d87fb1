//! Erases everything about a customer, a session or a user.
//!
//! First the sessions get tombstones, so that nothing new comes into them. Then it deletes until
//! it finds nothing more, so that what was being written meanwhile goes too. After an
//! interruption, the same command goes on.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use tokio::time::sleep;
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{count_runs, delete_runs, is_in_the_way};
use super::pace::ReapPace;
use super::tidy::delete_sessions;

/// How long to wait for somebody who works on the same rows.
const PAUSE: Duration = Duration::from_millis(50);
/// How often to look for more. It takes two looks if nobody sends anything.
const LOOKS: u32 = 20;
/// Sessions of one statement.
const SESSIONS: usize = 500;
/// Dead letters that one statement looks at.
const LETTERS: i64 = 500;

/// Whom or what to erase.
#[derive(Clone, Debug)]
pub enum Subject {
    /// What was sent with the customer's keys, or names the customer.
    Customer(Uuid),
    /// A session and its runs.
    Session(Uuid),
    /// The sessions of a user, and runs whose metadata names the user.
    User(String),
}

impl Subject {
    fn kind(&self) -> &'static str {
        match self {
            Self::Customer(_) => "customer",
            Self::Session(_) => "session",
            Self::User(_) => "user",
        }
    }

    fn id(&self) -> String {
        match self {
            Self::Customer(id) | Self::Session(id) => id.to_string(),
            Self::User(id) => id.clone(),
        }
    }
}

/// What was erased, or would be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Erased {
    /// Deleted rows.
    pub rows: RowCounts,
    /// Decisions that no longer say who made them, and have no notes any more.
    pub decisions: u64,
    /// Events of anybody that wait in spools and are not in the database yet.
    pub spooled: i64,
    /// At each look, there was more: it is still being sent.
    pub comes_again: bool,
}

/// The rows of a subject.
struct SubjectRows {
    sessions: Vec<Uuid>,
    runs: Vec<Uuid>,
    letters: Vec<Uuid>,
}

impl SubjectRows {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.runs.is_empty() && self.letters.is_empty()
    }
}

/// Erases a subject, or only counts what it would erase.
///
/// # Errors
/// If the database fails. What was erased stays erased.
pub async fn erase(
    conn: &mut PgConnection,
    subject: &Subject,
    dry_run: bool,
) -> Result<Erased, sqlx::Error> {
    let mut erased = Erased::default();
    if dry_run {
        let found = find(conn, subject).await?;
        erased.rows = count_runs(conn, &found.runs).await?;
        erased.rows += count_sessions(conn, &found.sessions).await?;
        erased.rows.dead_letters = found.letters.len() as u64;
    } else {
        bury(conn, &subject_session(subject)).await?;
        erased.comes_again = true;
        for _ in 0..LOOKS {
            let sessions = sessions_of(conn, subject).await?;
            bury(conn, &sessions).await?;
            let found = find(conn, subject).await?;
            if found.is_empty() {
                erased.comes_again = false;
                break;
            }
            delete(conn, &found, &mut erased.rows).await?;
            sleep(PAUSE).await;
        }
    }
    erased.decisions = forget_decisions(conn, subject, dry_run).await?;
    erased.spooled = sqlx::query_scalar(
        "SELECT coalesce(sum(spooled), 0)::bigint FROM ingest_ledger WHERE spooled > 0",
    )
    .fetch_one(conn)
    .await?;
    Ok(erased)
}

fn subject_session(subject: &Subject) -> Vec<Uuid> {
    match subject {
        Subject::Session(id) => vec![*id],
        _ => Vec::new(),
    }
}

/// Notes that sessions are gone.
async fn bury(conn: &mut PgConnection, sessions: &[Uuid]) -> Result<(), sqlx::Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO ingest_tombstones (id, is_session) SELECT n.id, true FROM unnest($1) AS n (id) ORDER BY n.id
         ON CONFLICT (id, is_session) DO UPDATE SET at = now()",
    )
    .bind(sessions)
    .execute(conn)
    .await?;
    Ok(())
}

async fn sessions_of(conn: &mut PgConnection, subject: &Subject) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(include_str!("subject_sessions.sql"))
        .bind(subject.kind())
        .bind(subject.id())
        .fetch_all(conn)
        .await
}

async fn find(conn: &mut PgConnection, subject: &Subject) -> Result<SubjectRows, sqlx::Error> {
    let sessions = sessions_of(conn, subject).await?;
    let runs: Vec<Uuid> = sqlx::query_scalar(include_str!("subject_runs.sql"))
        .bind(subject.kind())
        .bind(subject.id())
        .bind(&sessions)
        .fetch_all(&mut *conn)
        .await?;
    let ids: HashSet<Uuid> = runs.iter().chain(&sessions).copied().collect();
    let letters = letters_of(conn, subject, &ids).await?;
    Ok(SubjectRows {
        sessions,
        runs,
        letters,
    })
}

/// Finds the dead letters that name the subject, or one of `ids`.
async fn letters_of(
    conn: &mut PgConnection,
    subject: &Subject,
    ids: &HashSet<Uuid>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut letters = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let rows = sqlx::query(include_str!("subject_letters.sql"))
            .bind(subject.kind())
            .bind(subject.id())
            .bind(after)
            .bind(LETTERS)
            .fetch_all(&mut *conn)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(letters);
        };
        after = last.try_get("id")?;
        for row in &rows {
            let named: Vec<Uuid> = row.try_get("ids")?;
            if row.try_get("named")? || named.iter().any(|id| ids.contains(id)) {
                letters.push(row.try_get("id")?);
            }
        }
    }
}

/// Deletes what was found. Dead letters first: what names them is found again after an
/// interruption.
async fn delete(
    conn: &mut PgConnection,
    found: &SubjectRows,
    rows: &mut RowCounts,
) -> Result<(), sqlx::Error> {
    rows.dead_letters += sqlx::query("DELETE FROM ingest_dead_letters WHERE id = ANY ($1)")
        .bind(&found.letters)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    delete_runs(conn, &found.runs, None, &ReapPace::of_share(100), |gone| {
        *rows += gone;
    })
    .await?;
    for sessions in found.sessions.chunks(SESSIONS) {
        match delete_sessions(conn, sessions).await {
            Ok(gone) => *rows += gone,
            // A run of one of them is still being written. The next look finds it.
            Err(error) if is_in_the_way(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn count_sessions(
    conn: &mut PgConnection,
    sessions: &[Uuid],
) -> Result<RowCounts, sqlx::Error> {
    let row = sqlx::query(include_str!("count_sessions.sql"))
        .bind(sessions)
        .fetch_one(conn)
        .await?;
    Ok(RowCounts::read(&row))
}

/// Takes a user out of decisions about runs of others. Returns how many these are.
async fn forget_decisions(
    conn: &mut PgConnection,
    subject: &Subject,
    dry_run: bool,
) -> Result<u64, sqlx::Error> {
    let Subject::User(user) = subject else {
        return Ok(0);
    };
    let statement = match dry_run {
        true => "SELECT FROM approvals WHERE decided_by::text = $1",
        false => "UPDATE approvals SET decided_by = NULL, notes = NULL WHERE decided_by::text = $1",
    };
    let done = sqlx::query(statement).bind(user).execute(conn).await?;
    Ok(done.rows_affected())
}
