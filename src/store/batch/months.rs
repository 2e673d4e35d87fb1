//! The layout by month: the rows below a run are in the partitions of the run's month. Each month
//! has a schema of its own, in which the partitions have the names of their tables.
//!
//! A write batch is written month by month, in one transaction. For each month the search path
//! leads to its schema first, so the statements are those of the plain layout, and rows go
//! straight into their partition.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::error::BatchError;
use super::gone::GoneIds;
use super::parts::{BatchPart, PartWriter};
use super::run_totals::RunTotalsCache;
use super::write::WrittenBatch;
use crate::event::{Event, EventBody};
use crate::store::plan::Rung;

/// The class of the advisory locks on months: writers share the lock of a month, and `drop_month`
/// takes it alone.
const MONTH_LOCK_CLASS: i32 = 0x7274_0005;

/// A month and its place.
#[derive(Clone)]
struct Month {
    bucket: i32,
    schema: String,
}

/// The months of the runs of a batch.
struct Months {
    of_runs: HashMap<Uuid, Month>,
    /// The month of new runs.
    latest: Month,
}

/// Writes a batch into an open transaction, as [`write_unless_gone`], in the layout by month.
///
/// # Errors
/// As [`write_unless_gone`].
pub async fn write_by_month(
    conn: &mut PgConnection,
    events: &[&Event],
    gone: &GoneIds,
    rung: Rung,
    run_timeout_ms: i64,
    cache: &mut RunTotalsCache,
) -> Result<WrittenBatch, BatchError> {
    let mut writer = PartWriter::new(events.len(), gone, rung, run_timeout_ms, cache);
    let months = Months::find(&mut *conn, events, gone).await?;
    for (month, part) in months.split(events) {
        month.enter(&mut *conn).await?;
        writer.write(conn, &part).await?;
    }
    Ok(writer.end())
}

impl Months {
    /// # Errors
    /// [`BatchError::Gone`]: the month of a run was dropped.
    async fn find(
        conn: &mut PgConnection,
        events: &[&Event],
        gone: &GoneIds,
    ) -> Result<Self, BatchError> {
        let mut runs: Vec<Uuid> = events.iter().filter_map(|event| event.run_id()).collect();
        runs.sort_unstable();
        runs.dedup();
        runs.retain(|run| !gone.has_run(*run));
        let rows = sqlx::query(include_str!("../sql/find_buckets.sql"))
            .bind(runs)
            .fetch_all(conn)
            .await?;
        let (mut latest, mut of_runs, mut dropped) = (None, HashMap::new(), Vec::new());
        for row in rows {
            let run: Option<Uuid> = row.try_get("id")?;
            let schema: Option<String> = row.try_get("schema_name")?;
            let Some(schema) = schema else {
                dropped.extend(run);
                continue;
            };
            let month = Month {
                bucket: row.try_get("bucket")?,
                schema,
            };
            match run {
                Some(run) => drop(of_runs.insert(run, month)),
                None => latest = Some(month),
            }
        }
        GoneIds::of_runs(dropped).none()?;
        // The latest month is never dropped.
        let latest = latest.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Self { of_runs, latest })
    }

    /// Splits a batch. A message without a run belongs to the latest month; anything else that
    /// has none is kept elsewhere, and so is written with any part.
    fn split<'m, 'e>(&'m self, events: &[&'e Event]) -> Vec<(&'m Month, BatchPart<'e>)> {
        let mut parts: BTreeMap<i32, (&Month, BatchPart<'e>)> = BTreeMap::new();
        let any = self.of_runs.values().max_by_key(|month| month.bucket);
        for (position, event) in events.iter().enumerate() {
            let month = match (event.run_id(), &event.body) {
                (None, EventBody::Message(_)) => &self.latest,
                (run, _) => run
                    .and_then(|run| self.of_runs.get(&run))
                    .or(any)
                    .unwrap_or(&self.latest),
            };
            let (_, part) = parts
                .entry(month.bucket)
                .or_insert_with(|| (month, BatchPart::default()));
            part.push(position, event);
        }
        parts.into_values().collect()
    }
}

impl Month {
    /// Leads the following statements of the transaction to the month, and keeps others from
    /// dropping it meanwhile.
    async fn enter(&self, conn: &mut PgConnection) -> Result<(), BatchError> {
        sqlx::query(
            "SELECT pg_advisory_xact_lock_shared($1, $2), set_config('search_path', $3 || ', public', true),
                    set_config('runtraced.bucket', $2::text, true)",
        )
        .bind(MONTH_LOCK_CLASS)
        .bind(self.bucket)
        .bind(&self.schema)
        .execute(&mut *conn)
        .await?;
        // A statement of its own, so it sees what was committed before it had the lock.
        let there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM public.agent_months WHERE bucket = $1)")
                .bind(self.bucket)
                .fetch_one(conn)
                .await?;
        match there {
            true => Ok(()),
            // The next attempt finds it dropped.
            false => Err(BatchError::MissingRow),
        }
    }
}
