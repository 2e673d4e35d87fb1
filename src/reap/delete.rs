//! Deletes given runs, a bounded number of rows in each transaction.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::counts::RowCounts;
use super::held::ForeignKey;
use super::pace::ReapPace;
use super::sessions::{DoomedSession, SessionScope, delete_sessions};
use crate::store::{self, RunSizes, TraceLayout, TracePlace};

/// Runs that are looked at in one transaction.
const RUNS: usize = 200;
/// Of a large run, a transaction deletes so many rows of each table.
pub(super) const SLICE_ROWS: i64 = 2_000;
/// A transaction deletes so many contents of small runs.
const CONTENTS: i64 = 12_000;
/// How long to wait for a lock.
const LOCK_TIMEOUT: &str = "200ms";

/// A run to delete.
#[derive(Clone, Debug)]
pub(super) struct DoomedRun {
    pub id: Uuid,
    /// It stays if it has changed since, goes on, or waits for somebody. `None`: it goes anyway.
    pub unchanged_since: Option<String>,
}

impl DoomedRun {
    /// A run that goes, whatever it does.
    pub fn anyway(id: Uuid) -> Self {
        Self {
            id,
            unchanged_since: None,
        }
    }
}

/// Deletes runs, and calls `done` after each transaction with what went. Runs that somebody works
/// on at this moment stay, and so do those that the database does not let go.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn delete_runs(
    conn: &mut PgConnection,
    layout: TraceLayout,
    runs: &[DoomedRun],
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<(), sqlx::Error> {
    let mut portion = Portion::WHOLE;
    for (place, mut left) in chunks(layout, runs) {
        while !left.is_empty() {
            let begun = Instant::now();
            let later = left.split_off(left.len().min(portion.runs));
            let mut emptied = Vec::new();
            match delete_some(conn, place, &left, portion).await {
                Ok(deleted) => {
                    done(deleted.rows);
                    left = deleted.left;
                    emptied = deleted.sessions;
                    portion = portion.after_success(left.is_empty());
                }
                Err(error) if portion.is_to_blame(&error) => portion = portion.smaller(&error),
                // Somebody else came first. The next round finds the runs again.
                Err(error) if is_in_the_way(&error) => {
                    tracing::debug!(error = %store::reason(&error), "runs are not deleted yet");
                    left.clear();
                }
                Err(error) if is_stubborn(&error) => {
                    let run = left.first().map(|run| run.id);
                    tracing::warn!(?run, error = %store::reason(&error), "a run cannot be deleted");
                    left.clear();
                    portion = Portion::WHOLE;
                }
                Err(error) => return Err(error),
            }
            left.extend(later);
            pace.rest(begun).await;
            delete_sessions(conn, layout, &emptied, SessionScope::Empty, pace, &mut done).await?;
        }
    }
    Ok(())
}

/// The runs that are looked at together, which are in one place.
fn chunks(layout: TraceLayout, runs: &[DoomedRun]) -> Vec<(TracePlace, Vec<DoomedRun>)> {
    let mut places: BTreeMap<TracePlace, Vec<DoomedRun>> = BTreeMap::new();
    for run in runs {
        let place = places.entry(layout.place_of(run.id)).or_default();
        place.push(run.clone());
    }
    let mut chunks = Vec::new();
    for (place, runs) in places {
        chunks.extend(runs.chunks(RUNS).map(|chunk| (place, chunk.to_vec())));
    }
    chunks
}

/// How much one transaction deletes at most. It is less after one that took too long, so that one
/// heavy run holds up no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Portion {
    runs: usize,
    /// Rows of each table, of a run that is large or heavy.
    rows: i64,
}

impl Portion {
    const WHOLE: Self = Self {
        runs: RUNS,
        rows: SLICE_ROWS,
    };

    /// Whether less at a time may go through.
    fn is_to_blame(self, error: &sqlx::Error) -> bool {
        is_stubborn(error) && (self.runs > 1 || super::is_canceled(error) && self.rows > 1)
    }

    fn smaller(self, error: &sqlx::Error) -> Self {
        match self.runs {
            1 if super::is_canceled(error) => Self {
                runs: 1,
                rows: self.rows / 2,
            },
            runs => Self {
                runs: (runs / 2).max(1),
                ..self
            },
        }
    }

    /// More runs at a time again. A heavy run stays heavy to its end.
    fn after_success(self, is_done: bool) -> Self {
        match (self.rows, is_done) {
            (SLICE_ROWS, _) => Self {
                runs: RUNS.min(self.runs * 2),
                ..self
            },
            (_, true) => Self {
                rows: SLICE_ROWS,
                ..self
            },
            (_, false) => self,
        }
    }
}

/// Whether an error stays until somebody does something: a statement takes too long, or a table
/// of somebody else refers to a run.
fn is_stubborn(error: &sqlx::Error) -> bool {
    super::is_canceled(error) || store::sqlstate(error) == "23503"
}

/// Tries to delete one run. Returns what went, and the foreign key that does not let it go.
///
/// # Errors
/// If the database fails.
pub(super) async fn try_run(
    conn: &mut PgConnection,
    layout: TraceLayout,
    run: &DoomedRun,
) -> Result<(RowCounts, Option<ForeignKey>), sqlx::Error> {
    let (place, alone) = (layout.place_of(run.id), std::slice::from_ref(run));
    match delete_some(conn, place, alone, Portion::WHOLE).await {
        Ok(deleted) => Ok((deleted.rows, None)),
        Err(error) if is_stubborn(&error) || is_in_the_way(&error) => {
            Ok((RowCounts::default(), ForeignKey::of(&error)))
        }
        Err(error) => Err(error),
    }
}

/// What one transaction did.
struct DeletedRuns {
    rows: RowCounts,
    /// Runs that are locked by nobody else, and were not reached.
    left: Vec<DoomedRun>,
    /// The sessions of runs that went because they were old.
    sessions: Vec<DoomedSession>,
}

/// Deletes small runs whole, or else a part of the first large one. All of them are in `place`.
async fn delete_some(
    conn: &mut PgConnection,
    place: TracePlace,
    runs: &[DoomedRun],
    portion: Portion,
) -> Result<DeletedRuns, sqlx::Error> {
    let mut tx = place.begin(conn).await?;
    limit_waits(&mut tx).await?;
    let locked = lock_doomed(&mut tx, runs).await?;
    // The second look sees what was committed before it had the locks.
    let mut left = lock_doomed(&mut tx, &locked).await?;
    let ids: Vec<Uuid> = left.iter().map(|run| run.id).collect();
    let sizes = sizes_of(&mut tx, &ids).await?;
    let (few, first_large) = match portion.rows {
        SLICE_ROWS => {
            let first_large = ids.iter().find(|run| sizes.large.contains(run)).copied();
            (sizes.few.into_iter().collect(), first_large)
        }
        _ => (Vec::new(), ids.first().copied()),
    };
    let (mut rows, gone) = match (few.is_empty(), first_large) {
        (false, _) => (delete_rows(&mut tx, &few, None).await?, few),
        (true, Some(run)) => {
            let deleted = delete_slice(&mut tx, run, portion.rows).await?;
            let is_empty = deleted.most() < portion.rows.unsigned_abs();
            (deleted, is_empty.then_some(run).into_iter().collect())
        }
        (true, None) => (RowCounts::default(), Vec::new()),
    };
    let deleted: Vec<(Uuid, Option<Uuid>)> =
        sqlx::query_as("DELETE FROM agent_runs WHERE id = ANY ($1) RETURNING id, session_id")
            .bind(&gone)
            .fetch_all(&mut *tx)
            .await?;
    tx.commit().await?;
    rows.runs += deleted.len() as u64;
    let gone: HashSet<Uuid> = gone.into_iter().collect();
    let in_session: HashMap<Uuid, Uuid> = deleted
        .into_iter()
        .filter_map(|(run, session)| Some((run, session?)))
        .collect();
    let sessions = left.iter().filter_map(|run| {
        Some(DoomedSession {
            id: *in_session.get(&run.id)?,
            unchanged_since: Some(run.unchanged_since.clone()?),
        })
    });
    let sessions = sessions.collect();
    left.retain(|run| !gone.contains(&run.id));
    Ok(DeletedRuns {
        rows,
        left,
        sessions,
    })
}

/// The sizes of runs, of which those with many contents are not small either.
async fn sizes_of(conn: &mut PgConnection, runs: &[Uuid]) -> Result<RunSizes, sqlx::Error> {
    let mut sizes = RunSizes::count(&mut *conn, runs).await?;
    let few: Vec<Uuid> = runs
        .iter()
        .filter(|run| sizes.few.contains(run))
        .copied()
        .collect();
    let crowded: Vec<(Uuid, bool)> = sqlx::query_as(include_str!("crowded_runs.sql"))
        .bind(few)
        .bind(SLICE_ROWS)
        .bind(CONTENTS)
        .fetch_all(conn)
        .await?;
    for (run, is_large) in crowded {
        sizes.few.remove(&run);
        if is_large {
            sizes.large.insert(run);
        }
    }
    Ok(sizes)
}

/// Locks those of some runs that may be deleted.
pub(super) async fn lock_doomed(
    conn: &mut PgConnection,
    runs: &[DoomedRun],
) -> Result<Vec<DoomedRun>, sqlx::Error> {
    let since = runs.iter().map(|run| run.unchanged_since.as_deref());
    let locked: HashSet<Uuid> = sqlx::query_scalar::<_, Uuid>(include_str!("lock_doomed.sql"))
        .bind(runs.iter().map(|run| run.id).collect::<Vec<_>>())
        .bind(since.collect::<Vec<_>>())
        .fetch_all(conn)
        .await?
        .into_iter()
        .collect();
    let runs = runs.iter().filter(|run| locked.contains(&run.id));
    Ok(runs.cloned().collect())
}

/// Lets the statements of a transaction wait for locks for a short time only: whoever holds them
/// goes first.
pub(super) async fn limit_waits(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('lock_timeout', $1, true)")
        .bind(LOCK_TIMEOUT)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes a part of a large run. From now on, it is gone for everybody who writes.
async fn delete_slice(
    conn: &mut PgConnection,
    run: Uuid,
    rows: i64,
) -> Result<RowCounts, sqlx::Error> {
    sqlx::query("UPDATE agent_runs SET gone_at = now() WHERE id = $1 AND gone_at IS NULL")
        .bind(run)
        .execute(&mut *conn)
        .await?;
    delete_rows(conn, &[run], Some(rows)).await
}

async fn delete_rows(
    conn: &mut PgConnection,
    runs: &[Uuid],
    most: Option<i64>,
) -> Result<RowCounts, sqlx::Error> {
    let row = sqlx::query(include_str!("delete_runs.sql"))
        .bind(runs)
        .bind(most)
        .fetch_one(conn)
        .await?;
    Ok(RowCounts::read(&row))
}

/// Whether somebody else worked on the same rows.
pub(super) fn is_in_the_way(error: &sqlx::Error) -> bool {
    store::is_conflict(error) || store::is_lock_timeout(error)
}

/// Counts the rows of runs.
pub(super) async fn count_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<RowCounts, sqlx::Error> {
    let mut counts = RowCounts::default();
    for chunk in runs.chunks(RUNS) {
        let row = sqlx::query(include_str!("count_runs.sql"))
            .bind(chunk)
            .fetch_one(&mut *conn)
            .await?;
        counts += RowCounts::read(&row);
    }
    Ok(counts)
}

/// A page of runs that a statement looked at.
pub(super) struct DuePage {
    /// The runs to delete.
    pub due: Vec<DoomedRun>,
    /// Where the look ended; `None` if there is nothing behind it.
    pub end: Option<PageEnd>,
}

/// A place in the order of when runs last changed.
#[derive(Clone, Debug)]
pub(super) struct PageEnd {
    /// When the last run of the page last changed.
    pub at: String,
    /// That run.
    pub id: Uuid,
}

impl Default for PageEnd {
    /// Before all runs.
    fn default() -> Self {
        Self {
            at: "-infinity".to_owned(),
            id: Uuid::nil(),
        }
    }
}

/// Runs that one statement looks at.
pub(super) const PAGE_RUNS: i64 = 2_000;

impl DuePage {
    /// Reads the rows of `due_runs.sql` or `old_runs.sql`.
    pub fn read(rows: &[sqlx::postgres::PgRow]) -> Result<Self, sqlx::Error> {
        let mut page = Self {
            due: Vec::new(),
            end: None,
        };
        for row in rows {
            if row.try_get("due")? {
                page.due.push(DoomedRun {
                    id: row.try_get("id")?,
                    unchanged_since: row.try_get("since")?,
                });
            }
        }
        if let Some(last) = rows.last() {
            page.end = Some(PageEnd {
                at: last.try_get("at")?,
                id: last.try_get("id")?,
            });
        }
        Ok(page)
    }
}
