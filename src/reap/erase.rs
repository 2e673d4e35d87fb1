//! Erases everything about a customer, a session or a user.
//!
//! First everything that is found gets tombstones, so that nothing new comes into it, and an
//! interruption loses nothing: the same command finds what has tombstones of its subject. Then it
//! deletes, until it finds nothing more.

use std::ops::AddAssign;
use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use tokio::time::sleep;
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{DoomedRun, count_runs, delete_runs};
use super::found::{SubjectRows, find};
use super::held::{Held, HeldRows};
use super::mentions::{MentionCounts, Mentions};
use super::pace::ReapPace;
use super::scopes::sweep_all_scopes;
use super::sessions::{DoomedSession, SessionScope, delete_sessions};
use super::subject::{Subject, SubjectKey};
use super::sums::{SumsState, forget_sums};
use crate::store::TraceLayout;

/// How long to wait for somebody who works on the same rows.
const PAUSE: Duration = Duration::from_millis(50);
/// How often to look for more. It takes two looks if nobody sends anything.
const LOOKS: u32 = 20;

/// How often to look whether a transaction has ended: for ten seconds.
const WAITS: u32 = 200;
/// Ids of one statement.
const IDS: usize = 10_000;

/// What was erased, or would be.
#[derive(Clone, Debug, Default)]
pub struct Erased {
    /// Deleted rows.
    pub rows: RowCounts,
    /// Decisions that no longer say who made them, and have no notes any more.
    pub decisions: u64,
    /// Steps and scores of others that no longer name the user.
    pub mentions: u64,
    /// Events of anybody that wait in spools and are not in the database yet.
    pub spooled: i64,
    /// The same in spools of daemons that have not run for two days.
    pub left_behind: i64,
    /// At each look, there was more: it is still being sent.
    pub comes_again: bool,
    /// Runs and sessions that tables of the product refer to. They stay.
    pub held: Vec<HeldRows>,
    /// Sessions whose shared contents were in use and may hold what nothing needs.
    pub unswept: u64,
    /// The sums of statistics may have names of users until a daemon sums up again: this role
    /// cannot delete them.
    pub has_old_sums: bool,
    /// If the user has no id, but a name: it is in traces of so many customers. If they are
    /// several, nothing was erased: they may be several users.
    pub customers: usize,
}

impl AddAssign for Erased {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.decisions += other.decisions;
        self.mentions += other.mentions;
        self.spooled += other.spooled;
        self.left_behind += other.left_behind;
        self.comes_again |= other.comes_again;
        self.held.extend(other.held);
        self.unswept += other.unswept;
        self.has_old_sums |= other.has_old_sums;
        self.customers = self.customers.max(other.customers);
    }
}

impl Erased {
    fn note_mentions(&mut self, mentions: MentionCounts) {
        self.rows.messages += mentions.messages;
        self.mentions = mentions.stay;
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
    let key = SubjectKey::of(conn, subject).await?;
    erase_known(conn, subject, key, dry_run).await
}

/// The same with what is known of the subject.
///
/// # Errors
/// As [`erase`].
pub(super) async fn erase_known(
    conn: &mut PgConnection,
    subject: &Subject,
    mut key: SubjectKey,
    dry_run: bool,
) -> Result<Erased, sqlx::Error> {
    let mut erased = Erased::default();
    let layout = TraceLayout::find(conn).await?;
    let found = find(conn, &key).await?;
    let mentions = Mentions::find(conn, &key, &found).await?;
    if key.is_ambiguous() {
        let owners = found.owners.clone().and(&mentions.owners);
        erased.customers = owners.names().len();
    }
    if key.owners.is_unknown() {
        key.owners = found.owners.clone();
    }
    let dry_run = dry_run || erased.customers > 1;
    if dry_run {
        erased.rows = count_runs(conn, &found.all_runs()).await?;
        erased.rows += count_sessions(conn, &found).await?;
        erased.rows.dead_letters = found.letters.letters.len() as u64;
        erased.note_mentions(mentions.count());
    } else {
        if let Subject::Session(session) = subject {
            bury(conn, &key, &[*session], &[]).await?;
        }
        let (sessions, runs) = key.elsewhere.missing(conn, &found).await?;
        bury(conn, &key, &sessions, &runs).await?;
        if !delete_all(conn, layout, &key, &mut erased.rows).await? {
            find_held(conn, layout, &key, &mut erased).await?;
        }
        erased.note_mentions(mentions.forget(conn, layout, &key).await?);
        // Also when nothing was found: an earlier command may have been interrupted before this.
        let pace = ReapPace::of_share(100);
        erased.unswept = sweep_all_scopes(conn, &pace, |gone| erased.rows += gone).await?;
        erased.has_old_sums = forget_sums(conn).await? == SumsState::Left;
    }
    erased.rows.aliases += forget_aliases(conn, layout, subject, dry_run).await?;
    erased.decisions = forget_decisions(conn, &key, &found, dry_run).await?;
    let spools = sqlx::query(include_str!("spooled.sql"))
        .fetch_one(conn)
        .await?;
    erased.spooled = spools.try_get("spooled")?;
    erased.left_behind = spools.try_get("left_behind")?;
    Ok(erased)
}

/// Deletes what it finds until there is nothing more, also from the transactions that were open
/// meanwhile. Returns whether that is so.
async fn delete_all(
    conn: &mut PgConnection,
    layout: TraceLayout,
    key: &SubjectKey,
    rows: &mut RowCounts,
) -> Result<bool, sqlx::Error> {
    let mut is_settled = false;
    for _ in 0..LOOKS {
        let found = find(conn, key).await?;
        if found.is_empty() {
            if is_settled {
                return Ok(true);
            }
            // A run may have started below a buried one before that was to be seen.
            is_settled = wait_for_writers(conn, layout).await?;
            if !is_settled {
                return Ok(false);
            }
            continue;
        }
        is_settled = false;
        bury(conn, key, &found.sessions, &found.runs).await?;
        bury(conn, key, &[], &found.letters.runs).await?;
        delete(conn, layout, &found, rows).await?;
        sleep(PAUSE).await;
    }
    Ok(false)
}

/// Waits until all transactions have ended that write at this moment. Returns whether they have.
async fn wait_for_writers(
    conn: &mut PgConnection,
    layout: TraceLayout,
) -> Result<bool, sqlx::Error> {
    let mut open = writers(conn, layout).await?;
    for _ in 0..WAITS {
        if open.is_empty() {
            return Ok(true);
        }
        sleep(PAUSE).await;
        let now = writers(conn, layout).await?;
        open.retain(|transaction| now.contains(transaction));
    }
    Ok(false)
}

/// The transactions that may have written what nobody sees yet.
async fn writers(conn: &mut PgConnection, layout: TraceLayout) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("writers.sql"))
        .bind(layout.schemas())
        .fetch_all(conn)
        .await
}

/// Notes that sessions and runs were erased for a subject, before any of them is deleted.
async fn bury(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    sessions: &[Uuid],
    runs: &[Uuid],
) -> Result<(), sqlx::Error> {
    for (ids, is_session) in [(sessions, true), (runs, false)] {
        for some in ids.chunks(IDS) {
            sqlx::query(include_str!("bury_subject.sql"))
                .bind(some)
                .bind(is_session)
                .bind(&subject.mark)
                .execute(&mut *conn)
                .await?;
        }
    }
    Ok(())
}

/// Deletes what was found. Dead letters first: what names them is found again after an
/// interruption.
async fn delete(
    conn: &mut PgConnection,
    layout: TraceLayout,
    found: &SubjectRows,
    rows: &mut RowCounts,
) -> Result<(), sqlx::Error> {
    rows.dead_letters += sqlx::query("DELETE FROM ingest_dead_letters WHERE id = ANY ($1)")
        .bind(&found.letters.letters)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    let pace = ReapPace::of_share(100);
    delete_runs(conn, layout, &doomed_runs(found), &pace, |gone| {
        *rows += gone
    })
    .await?;
    let sessions = doomed_sessions(found);
    let count = |gone| *rows += gone;
    delete_sessions(conn, layout, &sessions, SessionScope::All, &pace, count).await
}

fn doomed_runs(found: &SubjectRows) -> Vec<DoomedRun> {
    let runs = found.runs.iter().copied();
    runs.map(DoomedRun::anyway).collect()
}

fn doomed_sessions(found: &SubjectRows) -> Vec<DoomedSession> {
    let sessions = found.sessions.iter().map(|id| DoomedSession {
        id: *id,
        unchanged_since: None,
    });
    sessions.collect()
}

/// Finds out whether what stays is held by tables of the product, or is still being sent.
async fn find_held(
    conn: &mut PgConnection,
    layout: TraceLayout,
    key: &SubjectKey,
    erased: &mut Erased,
) -> Result<(), sqlx::Error> {
    let found = find(conn, key).await?;
    let held = Held::find(conn, layout, &doomed_runs(&found), &doomed_sessions(&found)).await?;
    erased.rows += held.gone;
    erased.held = held.into_rows();
    // A session stays for as long as one of its runs does.
    let of_keys: u64 = erased.held.iter().map(|held| held.rows).sum();
    erased.comes_again = of_keys == 0 || (found.runs.len() as u64) > of_keys;
    Ok(())
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
    layout: TraceLayout,
    subject: &Subject,
    dry_run: bool,
) -> Result<u64, sqlx::Error> {
    let Subject::Customer(customer) = subject else {
        return Ok(0);
    };
    // Only keys tell whose these are, and a key is of a customer with an id.
    let Some(customer) = customer.id() else {
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
    let mut aliases = 0;
    for place in layout.places() {
        let done = place.within(conn, async |conn| {
            sqlx::query(statement).bind(customer).execute(conn).await
        });
        aliases += done.await?.rows_affected();
    }
    Ok(aliases)
}

/// Takes a user out of decisions about runs of others. Returns how many these are.
async fn forget_decisions(
    conn: &mut PgConnection,
    subject: &SubjectKey,
    found: &SubjectRows,
    dry_run: bool,
) -> Result<u64, sqlx::Error> {
    if subject.kind != "user" {
        return Ok(0);
    }
    let decisions: i64 = sqlx::query_scalar(include_str!("forget_decisions.sql"))
        .bind(&subject.names)
        .bind(subject.customer_names())
        .bind(&found.runs)
        .bind(&found.sessions)
        .bind(dry_run)
        .fetch_one(conn)
        .await?;
    Ok(decisions.unsigned_abs())
}
