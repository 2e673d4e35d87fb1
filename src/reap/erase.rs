//! Erases everything about a customer, a session or a user.
//!
//! First everything that is found gets tombstones, so that nothing new comes into it, and an
//! interruption loses nothing: the same command finds what has tombstones of its subject. Then it
//! deletes, until it finds nothing more.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use tokio::time::sleep;
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{DoomedRun, count_runs, delete_runs};
use super::letters::{SubjectLetters, letters_of};
use super::pace::ReapPace;
use super::sessions::{DoomedSession, SessionScope, delete_sessions};
use super::subject::{Subject, SubjectKey};

/// How long to wait for somebody who works on the same rows.
const PAUSE: Duration = Duration::from_millis(50);
/// How often to look for more. It takes two looks if nobody sends anything.
const LOOKS: u32 = 20;

/// What was erased, or would be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Erased {
    /// Deleted rows.
    pub rows: RowCounts,
    /// Decisions that no longer say who made them, and have no notes any more.
    pub decisions: u64,
    /// Events of anybody that wait in spools and are not in the database yet.
    pub spooled: i64,
    /// The same in spools of daemons that have not run for two days.
    pub left_behind: i64,
    /// At each look, there was more: it is still being sent.
    pub comes_again: bool,
}

/// The rows of a subject.
struct SubjectRows {
    sessions: Vec<Uuid>,
    runs: Vec<Uuid>,
    letters: SubjectLetters,
}

impl SubjectRows {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.runs.is_empty() && self.letters.letters.is_empty()
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
    let key = SubjectKey::of(conn, subject).await?;
    if dry_run {
        let found = find(conn, &key).await?;
        erased.rows = count_runs(conn, &found.runs).await?;
        erased.rows += count_sessions(conn, &found).await?;
        erased.rows.dead_letters = found.letters.letters.len() as u64;
    } else {
        if let Subject::Session(session) = subject {
            bury(conn, &key, &[*session], &[]).await?;
        }
        erased.comes_again = true;
        for _ in 0..LOOKS {
            let found = find(conn, &key).await?;
            if found.is_empty() {
                erased.comes_again = false;
                break;
            }
            bury(conn, &key, &found.sessions, &found.runs).await?;
            bury(conn, &key, &[], &found.letters.runs).await?;
            delete(conn, &found, &mut erased.rows).await?;
            sleep(PAUSE).await;
        }
    }
    erased.rows.aliases += forget_aliases(conn, subject, dry_run).await?;
    erased.decisions = forget_decisions(conn, &key, dry_run).await?;
    let spools = sqlx::query(include_str!("spooled.sql"))
        .fetch_one(conn)
        .await?;
    erased.spooled = spools.try_get("spooled")?;
    erased.left_behind = spools.try_get("left_behind")?;
    Ok(erased)
}

/// Notes that sessions and runs were erased for a subject, before any of them is deleted.
async fn bury(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    sessions: &[Uuid],
    runs: &[Uuid],
) -> Result<(), sqlx::Error> {
    if sessions.is_empty() && runs.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("bury_subject.sql"))
        .bind(sessions)
        .bind(runs)
        .bind(&subject.mark)
        .execute(conn)
        .await?;
    Ok(())
}

async fn find(conn: &mut PgConnection, subject: &SubjectKey) -> Result<SubjectRows, sqlx::Error> {
    let sessions: Vec<Uuid> = sqlx::query_scalar(include_str!("subject_sessions.sql"))
        .bind(subject.kind)
        .bind(&subject.id)
        .bind(subject.uuid.is_some())
        .bind(&subject.mark)
        .fetch_all(&mut *conn)
        .await?;
    let runs: Vec<Uuid> = sqlx::query_scalar(include_str!("subject_runs.sql"))
        .bind(subject.kind)
        .bind(&subject.id)
        .bind(subject.uuid.is_some())
        .bind(&subject.mark)
        .bind(&sessions)
        .fetch_all(&mut *conn)
        .await?;
    let ids = runs.iter().chain(&sessions).copied().collect();
    let letters = letters_of(conn, subject, ids).await?;
    Ok(SubjectRows {
        sessions,
        runs,
        letters,
    })
}

/// Deletes what was found. Dead letters first: what names them is found again after an
/// interruption.
async fn delete(
    conn: &mut PgConnection,
    found: &SubjectRows,
    rows: &mut RowCounts,
) -> Result<(), sqlx::Error> {
    rows.dead_letters += sqlx::query("DELETE FROM ingest_dead_letters WHERE id = ANY ($1)")
        .bind(&found.letters.letters)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    let pace = ReapPace::of_share(100);
    let runs: Vec<DoomedRun> = found.runs.iter().copied().map(DoomedRun::anyway).collect();
    delete_runs(conn, &runs, &pace, |gone| *rows += gone).await?;
    let sessions: Vec<DoomedSession> = found
        .sessions
        .iter()
        .map(|id| DoomedSession {
            id: *id,
            unchanged_since: None,
        })
        .collect();
    let count = |gone| *rows += gone;
    delete_sessions(conn, &sessions, SessionScope::All, &pace, count).await
}

async fn count_sessions(
    conn: &mut PgConnection,
    found: &SubjectRows,
) -> Result<RowCounts, sqlx::Error> {
    let row = sqlx::query(include_str!("count_sessions.sql"))
        .bind(&found.sessions)
        .bind(&found.runs)
        .fetch_one(conn)
        .await?;
    Ok(RowCounts::read(&row))
}

/// Deletes the aliases of a customer's runs that have not arrived. Returns how many these are.
async fn forget_aliases(
    conn: &mut PgConnection,
    subject: &Subject,
    dry_run: bool,
) -> Result<u64, sqlx::Error> {
    let Subject::Customer(customer) = subject else {
        return Ok(0);
    };
    let statement = match dry_run {
        true => {
            "SELECT FROM agent_step_aliases a
             WHERE a.tenant_id = $1 AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.id = a.run_id)"
        }
        false => {
            "DELETE FROM agent_step_aliases a
             WHERE a.tenant_id = $1 AND NOT EXISTS (SELECT FROM agent_runs r WHERE r.id = a.run_id)"
        }
    };
    let done = sqlx::query(statement).bind(customer).execute(conn).await?;
    Ok(done.rows_affected())
}

/// Takes a user out of decisions about runs of others. Returns how many these are.
async fn forget_decisions(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    dry_run: bool,
) -> Result<u64, sqlx::Error> {
    if subject.kind != "user" {
        return Ok(0);
    }
    let statement = match dry_run {
        true => {
            "SELECT FROM approvals
             WHERE decided_by::text = $1 OR metadata ->> 'unresolved_decided_by' = $1"
        }
        false => include_str!("forget_decisions.sql"),
    };
    let done = sqlx::query(statement)
        .bind(&subject.id)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
