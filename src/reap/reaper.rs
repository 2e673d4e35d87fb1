//! Deletes what is older than `--retain` and `retention_rules` say, in the background. Any number
//! of daemons may do so in one database: each skips what another one has locked.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::counts::ReapCounts;
use super::delete::{DuePage, PAGE_RUNS, PageEnd, delete_runs};
use super::gone::{RunConditions, delete_gone};
use super::months::{MonthRetention, drop_months};
use super::pace::ReapPace;
use super::scopes::sweep_scopes;
use super::{is_canceled, is_forbidden, tidy};
use crate::store::{self, Session, TraceLayout};

/// How often the sizes of tables are looked at.
const SIZES_INTERVAL: Duration = Duration::from_secs(300);

/// After a look whether months can go, the next one comes after so many times what it took. A month
/// with many runs of which the last is kept takes long, each time.
const MONTHS_REST: u32 = 10;

/// Pages of runs that a round looks at. The next round goes on: runs that are kept for longer
/// than others are not looked at anew each time.
const PAGES: usize = 50;

/// How the reaper works.
#[derive(Clone, Copy, Debug)]
pub struct ReapSettings {
    /// How long runs are kept that no rule is about; `None`: for ever.
    pub keep: Option<Duration>,
    /// The time between two rounds.
    pub interval: Duration,
}

/// What the reaper remembers from one round to the next.
#[derive(Debug, Default)]
struct Reaper {
    /// Where the last look at runs ended.
    run: PageEnd,
    /// Where the last look at sessions ended.
    session: Uuid,
    sizes_at: Option<Instant>,
    /// When to look next whether a month can go.
    months_at: Option<Instant>,
}

/// Deletes what is due until `stop`, in a session of its own.
pub async fn reap_forever(
    mut session: Session,
    settings: ReapSettings,
    counts: &ReapCounts,
    pace: ReapPace<'_>,
    stop: CancellationToken,
) {
    let mut reaper = Reaper::default();
    let mut told = false;
    let work = async {
        loop {
            sleep(settings.interval).await;
            let round = async {
                let mut open = session.acquire().await?;
                let done = reaper.round(open.conn(), settings, counts, &pace).await;
                session.release(done.as_ref().err());
                done
            };
            match round.await {
                Ok(()) => told = false,
                Err(error) if is_forbidden(&error) && !told => {
                    told = true;
                    // ERROR: until a person helps, nothing is deleted.
                    tracing::error!(
                        error = %store::reason(&error),
                        "the daemon's role may not delete traces: run `runtraced grant --role ROLE --retention` as the owner"
                    );
                }
                Err(error) if is_canceled(&error) => {
                    tracing::warn!(
                        error = %store::reason(&error),
                        "a statement that looks for old traces took too long; the next round tries it again"
                    );
                }
                Err(error) if is_forbidden(&error) || store::is_outage(&error) => {
                    tracing::debug!(error = %store::reason(&error), "nothing is deleted now");
                }
                Err(error) => {
                    tracing::error!(error = %store::reason(&error), "old traces cannot be deleted");
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

impl Reaper {
    async fn round(
        &mut self,
        conn: &mut PgConnection,
        settings: ReapSettings,
        counts: &ReapCounts,
        pace: &ReapPace<'_>,
    ) -> Result<(), sqlx::Error> {
        let keep = settings
            .keep
            .map(|keep| format!("{} seconds", keep.as_secs()));
        let keep = keep.as_deref();
        let count = |rows| counts.add(rows);
        let layout = TraceLayout::find(conn).await?;
        // First, so that the figures are true also while nothing can be deleted.
        self.measure(conn, layout, counts).await?;
        let retention = MonthRetention {
            keep,
            with_rules: true,
        };
        if self.months_at.is_none_or(|at| Instant::now() >= at) {
            let begun = Instant::now();
            drop_months(conn, layout, retention, pace, count).await?;
            self.months_at = Some(Instant::now() + MONTHS_REST * begun.elapsed());
        }
        delete_gone(conn, layout, RunConditions::default(), false, pace, count).await?;
        for _ in 0..PAGES {
            let begun = Instant::now();
            let rows = sqlx::query(include_str!("due_runs.sql"))
                .bind(keep)
                .bind(&self.run.at)
                .bind(self.run.id)
                .bind(PAGE_RUNS)
                .fetch_all(&mut *conn)
                .await?;
            let page = DuePage::read(&rows)?;
            pace.rest(begun).await;
            let is_last = page.end.is_none();
            delete_runs(conn, layout, &page.due, pace, count).await?;
            // Not before: after an outage the next round looks at this page again.
            self.run = page.end.unwrap_or_default();
            if is_last {
                break;
            }
        }
        sweep_scopes(conn, pace, count).await?;
        tidy::tidy(conn, layout, keep, &mut self.session, counts, pace).await
    }

    /// Looks at how old the oldest run is and, now and then, how large tables are.
    async fn measure(
        &mut self,
        conn: &mut PgConnection,
        layout: TraceLayout,
        counts: &ReapCounts,
    ) -> Result<(), sqlx::Error> {
        let oldest: Option<f64> = sqlx::query_scalar(
            "SELECT extract(epoch FROM now() - min(coalesce(changed_at, ended_at)))::double precision
             FROM agent_runs",
        )
        .fetch_one(&mut *conn)
        .await?;
        counts.set_oldest(oldest.unwrap_or_default());
        if self
            .sizes_at
            .is_some_and(|at| at.elapsed() < SIZES_INTERVAL)
        {
            return Ok(());
        }
        let sizes = sqlx::query_as(include_str!("table_sizes.sql"))
            .bind(layout.schemas())
            .fetch_all(conn)
            .await?;
        counts.set_table_bytes(sizes);
        self.sizes_at = Some(Instant::now());
        Ok(())
    }
}
