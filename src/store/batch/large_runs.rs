//! Runs that have too many rows to work on all of them for one small event.
//!
//! A late event, a better end or an alias may change how every row of its run shows. A writer
//! does that work at once if the runs of its batch have few rows. All other runs are left to the
//! sweeper (column `settle_at`), which needs no deadline of a client.

use std::collections::HashSet;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

/// A run with more rows is large.
const RUN_ROWS: i64 = 2_000;
/// The most rows that one transaction works on, of all runs.
const ALL_ROWS: i64 = 12_000;
/// Of a run with more rows, every view of a call shows as a call.
const VIEW_ROWS: i64 = 10_000;

/// Runs by the number of their rows.
#[derive(Debug, Default)]
pub struct RunSizes {
    /// Runs of which one transaction may work on all rows.
    pub few: HashSet<Uuid>,
    /// Runs that have more rows. All others were not counted, because those before them have
    /// many rows together.
    pub large: HashSet<Uuid>,
}

impl RunSizes {
    /// Counts the rows of runs, one run after the other.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count(conn: &mut PgConnection, runs: &[Uuid]) -> Result<Self, sqlx::Error> {
        Self::with_limits(conn, runs, RUN_ROWS, ALL_ROWS).await
    }

    async fn with_limits(
        conn: &mut PgConnection,
        runs: &[Uuid],
        of_run: i64,
        of_all: i64,
    ) -> Result<Self, sqlx::Error> {
        if runs.is_empty() {
            return Ok(Self::default());
        }
        let rows = sqlx::query(include_str!("../sql/count_rows.sql"))
            .bind(runs)
            .bind(of_run)
            .bind(of_all)
            .fetch_all(conn)
            .await?;
        let mut counted: Vec<(i64, Uuid, i64)> = rows
            .iter()
            .map(|row| {
                let (position, rows) = (row.try_get("position")?, row.try_get("rows")?);
                Ok((position, row.try_get("id")?, rows))
            })
            .collect::<Result<_, sqlx::Error>>()?;
        if counted.iter().map(|(_, _, rows)| rows).sum::<i64>() > of_all {
            counted.sort_unstable();
            counted.pop();
        }
        let mut sizes = Self::default();
        for (_, id, rows) in counted {
            let fitting = if rows <= of_run {
                &mut sizes.few
            } else {
                &mut sizes.large
            };
            fitting.insert(id);
        }
        Ok(sizes)
    }
}

/// The runs of which one transaction may work on all rows.
///
/// # Errors
/// If the database fails.
pub async fn few_rows(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    Ok(RunSizes::count(conn, runs).await?.few)
}

/// Whether the run has so few rows that views of its calls are shown.
pub async fn shows_views(conn: &mut PgConnection, run: Uuid) -> Result<bool, sqlx::Error> {
    let sizes = RunSizes::with_limits(conn, &[run], VIEW_ROWS, VIEW_ROWS + 1).await?;
    Ok(sizes.few.contains(&run))
}

/// Leaves runs to the sweeper. They must be locked.
///
/// # Errors
/// If the database fails.
pub async fn postpone(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    if runs.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("../sql/postpone_runs.sql"))
        .bind(runs)
        .execute(conn)
        .await?;
    Ok(())
}
