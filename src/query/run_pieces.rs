//! Looks for runs piece by piece, from the newest, until the time is over.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _, Transaction};

use super::run_search::{RunOrder, RunPlace, RunSearch};
use super::sql_text::SqlText;

/// Runs of the first piece of a list.
const FIRST_PIECE: usize = 500;
/// Runs of the first piece of a search in texts, which may be large.
const FIRST_SEARCHED: usize = 50;
/// Smaller pieces are not worth a limit of their time.
const SMALLEST_PIECE: usize = 10;
/// Runs of the largest piece.
const LARGEST_PIECE: usize = 16_000;
/// Of the time that is left, the next piece is to take this part, if it goes as the one before.
const PIECE_SHARE: f64 = 0.6;
/// How much longer than planned a piece may take.
const GRACE: Duration = Duration::from_millis(30);
/// How long sorting may take. After that fewer runs are sorted.
const SORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Runs that are looked at for a list whose order no index has: the newest ones.
const SORTED_RUNS: usize = 20_000;
/// The SQLSTATE of a statement that took too long.
const CANCELED: &str = "57014";

/// What a search has found.
pub(super) struct Found {
    pub(super) places: Vec<RunPlace>,
    /// How far it has come, if there may be more behind that.
    pub(super) searched: Option<RunPlace>,
    /// Runs that it has looked at.
    pub(super) looked: usize,
}

impl RunSearch {
    /// Looks piece by piece until the page is full or the time is over.
    pub(super) async fn search(
        &self,
        conn: &mut PgConnection,
        budget: Duration,
    ) -> Result<Found, sqlx::Error> {
        let begun = Instant::now();
        let by_start = self.order == RunOrder::Started;
        let mut piece = match (by_start, &self.text) {
            (false, _) => SORTED_RUNS,
            (true, None) if self.is_filtered() => FIRST_PIECE,
            (true, None) => self.limit + 1,
            (true, Some(_)) => FIRST_SEARCHED,
        };
        let mut found = Found {
            places: Vec::new(),
            searched: None,
            looked: 0,
        };
        let mut place = self.after.clone();
        loop {
            let piece_begun = Instant::now();
            let limit = match by_start {
                true => budget.saturating_sub(begun.elapsed()) + GRACE,
                false => SORT_TIMEOUT,
            };
            let Some((hits, last)) = self
                .piece_in_time(conn, place.as_ref(), piece, limit)
                .await?
            else {
                // It says how far it has come, or looks at fewer runs.
                if place != self.after {
                    found.searched = place;
                    break;
                }
                piece /= 10;
                continue;
            };
            found.looked += piece;
            found.places.extend(hits);
            let Some(last) = last else { break };
            if by_start && found.places.len() > self.limit {
                break;
            }
            let left = budget.saturating_sub(begun.elapsed());
            let next = next_piece(piece, piece_begun.elapsed(), left);
            let Some(next) = next.filter(|_| by_start) else {
                found.searched = Some(last);
                break;
            };
            (place, piece) = (Some(last), next);
        }
        Ok(found)
    }

    /// A piece that may take long; `None`: it took longer than `limit`.
    async fn piece_in_time(
        &self,
        conn: &mut PgConnection,
        after: Option<&RunPlace>,
        size: usize,
        limit: Duration,
    ) -> Result<Option<(Vec<RunPlace>, Option<RunPlace>)>, sqlx::Error> {
        let is_quick = !self.is_filtered() && self.order == RunOrder::Started;
        if is_quick || size < SMALLEST_PIECE {
            return self.piece(conn, after, size).await.map(Some);
        }
        let mut attempt = briefly(conn, limit).await?;
        let piece = self.piece(&mut attempt, after, size).await;
        attempt.rollback().await?;
        match piece {
            Err(error) if took_too_long(&error) => Ok(None),
            piece => piece.map(Some),
        }
    }

    /// The runs that fit among the next `looked` ones behind a place: `piece AS (…), hit AS (…`, and
    /// open. A piece is a part of the list by start: its order has an index.
    pub(super) fn hits(&self, after: Option<&RunPlace>, looked: usize) -> SqlText {
        let conditions = self.conditions();
        let mut sql = SqlText::new("piece AS MATERIALIZED (\n  SELECT r.id, r.started_at, ");
        let (start, begin, behind) = match self.order == RunOrder::Started {
            true => {
                sql.push("r.started_at AS key");
                (self.order_by("r.started_at"), after, None)
            }
            false => {
                // A key may take long, so only runs that fit have one.
                sql.push("CASE WHEN true")
                    .append(&conditions)
                    .push(&format!(" THEN {} END AS key", self.key()));
                ("r.started_at DESC, r.id DESC".to_owned(), None, after)
            }
        };
        // The runs of the piece first: the planner would rather look for the condition in the whole table.
        sql.push(", (true")
            .append(&conditions)
            .push(") AS fits\n  FROM (SELECT r.* FROM agent_runs AS r WHERE true")
            .append(&self.narrow(begin))
            .push(&format!(
                " ORDER BY {start} LIMIT {looked}) AS r\n), hit AS MATERIALIZED (\n  (SELECT r.id, r.key FROM piece AS r WHERE r.fits"
            ));
        if let Some(place) = behind {
            self.behind(&mut sql, "r.key", place);
        }
        sql.push(&format!(
            " ORDER BY {} LIMIT {})",
            self.order_by("r.key"),
            self.limit + 1
        ));
        sql
    }

    /// The runs of one piece of the list that fit, and its last run if there may be more
    /// behind it.
    async fn piece(
        &self,
        conn: &mut PgConnection,
        after: Option<&RunPlace>,
        size: usize,
    ) -> Result<(Vec<RunPlace>, Option<RunPlace>), sqlx::Error> {
        let last = match self.order == RunOrder::Started && self.ascending {
            true => "r.started_at DESC, r.id DESC",
            false => "r.started_at, r.id",
        };
        let text = |key: &str| format!("to_json({key}) #>> '{{}}' AS key");
        let mut sql = SqlText::new("WITH ");
        sql.append(&self.hits(after, size)).push(&format!(
            "\n)\nSELECT r.id, {}, true AS hit, 0 AS size FROM hit AS r\nUNION ALL\n\
             SELECT r.id, {}, false, (SELECT count(*) FROM piece)::integer\n\
             FROM (SELECT r.id, r.started_at FROM piece AS r ORDER BY {last} LIMIT 1) AS r",
            text("r.key"),
            text("r.started_at")
        ));
        let (mut hits, mut last) = (Vec::new(), None);
        let found = match self.is_filtered() {
            true => sql.rows(conn).await?,
            false => sql.rows_by_plan(conn).await?,
        };
        for row in found {
            let place = RunPlace {
                key: row.try_get("key")?,
                id: row.try_get("id")?,
            };
            if row.try_get("hit")? {
                hits.push(place);
            } else if row.try_get::<i32, _>("size")? >= i32::try_from(size).unwrap_or(i32::MAX) {
                last = Some(place);
            }
        }
        Ok((hits, last))
    }
}

/// The size of the next piece, after how long one of this size took; `None`: too little time is left.
fn next_piece(size: usize, took: Duration, left: Duration) -> Option<usize> {
    let shares = left.as_secs_f64() * PIECE_SHARE / took.as_secs_f64().max(1e-6);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // at most four times the size
    let next = ((size as f64) * shares.min(4.0)) as usize;
    (next >= SMALLEST_PIECE).then(|| next.min(LARGEST_PIECE))
}

/// Whether a statement was ended because it took too long.
pub(super) fn took_too_long(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(CANCELED)
}

/// A part of a transaction whose statements may take only this long. Whatever becomes of it, the
/// rest of the transaction goes on.
///
/// # Errors
/// If the connection is broken.
pub async fn briefly(
    conn: &mut PgConnection,
    limit: Duration,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut part = conn.begin().await?;
    let limit = format!("SET LOCAL statement_timeout = {}", limit.as_millis());
    sqlx::raw_sql(AssertSqlSafe(limit))
        .execute(&mut *part)
        .await?;
    Ok(part)
}
