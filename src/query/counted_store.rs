//! The runs that sums are made of, on all servers of a store. The first server adds up its own sums and those of the
//! others, so percentiles come out as they would in one database.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{PgConnection, Row as _};
use tokio::time::timeout;

use super::costs::plan_sums;
use super::counted_runs::CountedRuns;
use super::read_pool::{ReadAs, ReadPool, ReadTransaction};
use super::read_pools::{ReadPools, answers, in_time};
use super::run_pieces::briefly;
use super::run_search::{RunSearch, TimeBound};
use super::sql_text::SqlText;
use super::sums::{MOST_ROWS, SumsPart, handed_over_statement};

/// How long the other servers may take to say which runs they count.
const COUNT_LIMIT: Duration = Duration::from_secs(12);
/// Bytes of sums that all other servers may hand over together. The first one is sent them in one statement.
const MOST_BYTES: usize = 32 << 20;

/// Which runs of a filter are counted.
#[derive(Clone, Copy, Debug)]
pub enum Counting<'a> {
    /// All runs, if the database has sums of these parts; otherwise those that there is time for.
    InTime(&'a [&'a str]),
    /// The newest ones, as many as there is time for.
    Newest,
}

impl Counting<'_> {
    async fn count(
        self,
        conn: &mut PgConnection,
        filter: &RunSearch,
        time: Duration,
    ) -> Result<CountedRuns, sqlx::Error> {
        match self {
            Self::InTime(parts) => CountedRuns::in_time(conn, filter, parts, time).await,
            Self::Newest => CountedRuns::newest(conn, filter, time).await,
        }
    }
}

/// The servers behind the first one, and who reads them.
#[derive(Clone, Copy, Debug)]
pub struct OtherServers<'a> {
    pools: &'a [ReadPool],
    reader: &'a ReadAs,
}

impl<'a> OtherServers<'a> {
    /// Those of a store.
    #[must_use]
    pub fn of(pools: &'a ReadPools, reader: &'a ReadAs) -> Self {
        Self {
            pools: pools.behind_first(),
            reader,
        }
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_some(&self) -> bool {
        !self.pools.is_empty()
    }

    async fn begin(&self, pool: &ReadPool) -> Result<ReadTransaction, sqlx::Error> {
        let mut tx = pool.begin_shared(self.reader).await?;
        plan_sums(&mut tx).await?;
        Ok(tx)
    }

    /// The sums of one server.
    async fn sums(
        &self,
        pool: &ReadPool,
        counted: &CountedRuns,
        parts: &[SumsPart],
        limit: Duration,
    ) -> Result<Vec<String>, sqlx::Error> {
        let mut tx = self.begin(pool).await?;
        let mut tx = briefly(&mut tx, limit).await?;
        handed_over(&mut tx, counted, parts, MOST_ROWS).await
    }
}

/// A time of the database's clock. The clocks of other servers may differ.
///
/// # Errors
/// If the statement fails.
pub async fn fixed_time(
    conn: &mut PgConnection,
    bound: &TimeBound,
) -> Result<TimeBound, sqlx::Error> {
    let TimeBound::Ago(age) = bound else {
        return Ok(bound.clone());
    };
    let mut sql = SqlText::new("SELECT to_json(now() - ");
    sql.bind(&format!("{} seconds", age.as_secs()), "interval")
        .push(") #>> '{}' AS at");
    let rows = sql.rows(conn).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(TimeBound::At(row.try_get("at")?))
}

/// The sums of one server that the first one needs, as JSON, at most so many rows of each part.
///
/// # Errors
/// If there are more, or a statement fails.
pub async fn handed_over(
    conn: &mut PgConnection,
    counted: &CountedRuns,
    parts: &[SumsPart],
    most_rows: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::with_capacity(parts.len());
    for part in parts {
        let statement = handed_over_statement(*part, counted, most_rows);
        let rows = statement.rows(&mut *conn).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        if row.try_get::<i64, _>("count")? > most_rows {
            return Err(TooManySums.into());
        }
        found.push(row.try_get("sums")?);
    }
    Ok(found)
}

/// A server has more sums than it can hand over in time.
#[derive(Debug, thiserror::Error)]
#[error("a server of the store has too many sums to hand over: ask about less time")]
pub(super) struct TooManySums;

impl From<TooManySums> for sqlx::Error {
    fn from(error: TooManySums) -> Self {
        Self::Decode(error.into())
    }
}

/// What is counted on each server. Sums cover only the time that all of them have counted.
#[derive(Clone, Debug)]
pub struct CountedStore {
    /// On the first server.
    pub first: CountedRuns,
    others: Vec<CountedRuns>,
}

impl CountedStore {
    /// Counts runs on all servers. `conn` leads to the first.
    ///
    /// # Errors
    /// If a server cannot be read.
    pub async fn count(
        conn: &mut PgConnection,
        servers: OtherServers<'_>,
        filter: &RunSearch,
        which: Counting<'_>,
        time: Duration,
    ) -> Result<Self, sqlx::Error> {
        let (first, others) = tokio::join!(
            which.count(conn, filter, time),
            answers(servers.pools, |pool| {
                // Meanwhile, the first one holds a transaction open.
                in_time(COUNT_LIMIT, async move {
                    let mut tx = servers.begin(pool).await?;
                    which.count(&mut tx, filter, time).await
                })
            })
        );
        let counted = Self {
            first: first?,
            others: others.into_iter().collect::<Result<_, sqlx::Error>>()?,
        };
        Ok(counted.aligned())
    }

    /// The same, but all servers count equally far back and in the same way.
    fn aligned(mut self) -> Self {
        if self.others.is_empty() {
            return self;
        }
        let times = self.all().filter_map(|counted| counted.back_to.clone());
        let back_to = times.max_by_key(|time| time.parse::<Timestamp>().ok());
        let by_sums = self.all().all(CountedRuns::has_no_ids);
        for counted in std::iter::once(&mut self.first).chain(&mut self.others) {
            counted.align(back_to.as_deref(), by_sums);
        }
        self
    }

    fn all(&self) -> impl Iterator<Item = &CountedRuns> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The runs of the first server, with the sums that the others have of theirs.
    ///
    /// # Errors
    /// If a server cannot be read, or takes longer than `limit`.
    pub async fn with_others(
        &self,
        servers: OtherServers<'_>,
        parts: &[SumsPart],
        limit: Duration,
    ) -> Result<CountedRuns, sqlx::Error> {
        let mut first = self.first.clone();
        let asked = servers.pools.iter().zip(&self.others);
        let found = answers(asked, |(pool, counted)| {
            servers.sums(pool, counted, parts, limit)
        });
        // Meanwhile, the first one holds a transaction open.
        let found = timeout(limit, found).await.map_err(|_| TooManySums)?;
        let mut bytes = 0;
        for server in found {
            let sums = server?;
            bytes += sums.iter().map(String::len).sum::<usize>();
            if bytes > MOST_BYTES {
                return Err(TooManySums.into());
            }
            first.add(parts, sums);
        }
        Ok(first)
    }

    /// As [`CountedRuns::fewer`].
    pub fn fewer<T>(&self, attempt: &Result<T, sqlx::Error>) -> Option<Duration> {
        let shortest = self.others.iter().fold(&self.first, |one, other| {
            match other.has_less_time_than(one) {
                true => other,
                false => one,
            }
        });
        shortest.fewer(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{CostBy, cost_statement, stats_sums};

    fn counted(back_to: Option<&str>, ids: Option<&str>) -> CountedRuns {
        let mut counted = CountedRuns::all(RunSearch::default());
        counted.ids = ids.map(str::to_owned);
        counted.back_to = back_to.map(str::to_owned);
        counted
    }

    #[test]
    fn no_server_counts_further_back_than_another() {
        let (early, late) = ("2026-01-01T00:00:05Z", "2026-01-01T00:00:05.000001Z");
        let aligned = CountedStore {
            first: counted(Some(early), Some("{1}")),
            others: vec![counted(Some(late), Some("{2}")), counted(None, None)],
        }
        .aligned();
        let of = |counted: &CountedRuns| cost_statement(CostBy::Agent, counted).for_psql();
        assert!(
            aligned
                .all()
                .all(|one| one.back_to.as_deref() == Some(late))
        );
        let since =
            format!("r.started_at >= '{late}'::timestamptz AND r.id = ANY ('{{1}}'::uuid[])");
        assert!(of(&aligned.first).contains(&since));
        assert!(of(&aligned.others[0]).contains("public.run_sums_of('{2}'::uuid[]"));
        let since = format!("run_sums_between('{late}'::timestamptz, ");
        assert!(of(&aligned.others[1]).contains(&since));
        // One server has no sums by time alone, so no other hands them over.
        let parts = |counted: &CountedRuns| stats_sums(counted, 3_600).len();
        assert_eq!(aligned.all().map(parts).collect::<Vec<_>>(), [4; 3]);
        assert_eq!(parts(&counted(None, None)), 5);
    }

    #[test]
    fn too_many_sums_are_a_reason_to_count_fewer_runs() {
        let store = CountedStore {
            first: counted(None, None),
            others: vec![counted(None, None)],
        };
        let too_many: Result<(), sqlx::Error> = Err(TooManySums.into());
        assert!(store.fewer(&too_many).is_some());
        assert!(
            store
                .fewer(&Err::<(), _>(sqlx::Error::PoolTimedOut))
                .is_none()
        );
        assert!(store.fewer(&Ok(())).is_none());
    }
}
