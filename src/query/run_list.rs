//! The list of runs for the web: a page at a time, from the newest.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::InspectError;
use super::run_search::{RunOrder, RunPlace, RunSearch, holders};
use super::sql_text::SqlText;

/// How long a search goes on for one page. After that it says how far it has come.
const BUDGET: Duration = Duration::from_millis(250);
/// Runs of the first piece of a list.
const FIRST_PIECE: usize = 500;
/// Runs of the first piece of a search in texts, which may be large.
const FIRST_SEARCHED: usize = 50;
/// Runs of the largest piece.
const LARGEST_PIECE: usize = 16_000;
/// How long the next piece is to take, as the one before went.
const PIECE_TIME: Duration = Duration::from_millis(100);
/// How long a piece may take. After that a smaller one is tried.
const PIECE_TIMEOUT: Duration = Duration::from_secs(2);
/// Runs that are looked at for a list whose order no index has: the newest ones.
const SORTED_RUNS: usize = 20_000;
/// How long a search by index may take.
const INDEX_TIMEOUT: Duration = Duration::from_secs(2);
/// The SQLSTATE of a statement that took too long.
const CANCELED: &str = "57014";
/// The index knows no shorter texts.
const INDEXED_CHARS: usize = 3;

/// Tags of a run, over `agent_runs AS r`.
pub(super) const TAGS: &str = "CASE WHEN jsonb_typeof(r.metadata -> 'tags') = 'array' \
     THEN r.metadata -> 'tags' ELSE '[]'::jsonb END";

/// The columns of a run in a list, over `run_summary AS s` and `agent_runs AS r`. Texts are cut.
pub(super) const COLUMNS: &str = "s.run_id, s.session_id, s.parent_run_id, s.agent_id, s.agent_type, s.name, s.customer_id,
  (SELECT o.user_id FROM agent_sessions AS o WHERE o.id = s.session_id) AS user_id, s.user_name,
  s.status, s.finalized_by, s.started_at, s.ended_at, s.first_event_at, s.last_event_at,
  s.duration_ms, s.running_ms, s.waiting_ms,
  s.tokens_input, s.tokens_output, s.tokens_cache_read, s.tokens_cache_write, s.tokens_reasoning,
  cost.cost_usd, cost.cost_reported_usd, cost.unpriced_calls,
  s.steps, s.open_steps, s.failed_steps, s.llm_calls, s.tool_calls, s.messages, s.approvals, s.pending_approvals,
  left(s.error, 300) AS error, left(s.input, 120) AS input, left(s.output, 120) AS output,
  cost.models, ";

/// The tables of [`COLUMNS`].
pub(super) const TABLES: &str = "
FROM run_summary AS s
JOIN agent_runs AS r ON r.id = s.run_id
CROSS JOIN LATERAL (
  SELECT sum(c.cost_usd) AS cost_usd,
         (SELECT k.cost_reported_usd FROM run_costs AS k WHERE k.run_id = s.run_id) AS cost_reported_usd,
         count(*) FILTER (WHERE c.cost_usd IS NULL) AS unpriced_calls,
         coalesce(array_agg(DISTINCT c.model) FILTER (WHERE c.model IS NOT NULL), '{}') AS models
  FROM agent_token_costs AS c
  WHERE c.run_id = s.run_id
) AS cost";

/// A page of the list.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    /// Ids and rows in JSON.
    pub rows: Vec<(Uuid, String)>,
    /// Where the next page begins.
    pub next: Option<RunPlace>,
    /// How far the search has come, if it did not fill the page.
    pub searched_back_to: Option<String>,
    /// One query that gives the same rows.
    pub statement: SqlText,
}

/// What a search has found.
struct Found {
    places: Vec<RunPlace>,
    /// How far it has come, if there may be more behind that.
    searched: Option<RunPlace>,
    /// Runs that it has looked at.
    looked: usize,
}

/// All columns of a run in a list, and its tables.
pub(super) fn select_rows() -> String {
    format!("SELECT {COLUMNS}{TAGS} AS tags, s.flags{TABLES}")
}

impl RunSearch {
    /// The page behind `after`.
    ///
    /// # Errors
    /// If a statement fails.
    pub async fn page(&self, conn: &mut PgConnection) -> Result<RunPage, sqlx::Error> {
        let by_start = self.order == RunOrder::Started;
        let mut found = self.search(conn).await?;
        let rest = match &found.searched {
            Some(place) if by_start => self.rest_by_index(conn, place, found.places.len()).await?,
            _ => None,
        };
        let mut hits = self.hits(self.after.as_ref(), found.looked);
        if let Some((statement, places)) = rest {
            hits.push("\nUNION ALL (").append(&statement).push(")");
            found.places.extend(places);
            found.searched = None;
        }
        let Found {
            mut places,
            searched,
            ..
        } = found;
        let more = places.len() > self.limit;
        places.truncate(self.limit);
        let next = match (more, &searched) {
            (true, _) => places.last().cloned(),
            (false, place) if by_start => place.clone(),
            (false, _) => None,
        };
        let ids: Vec<Uuid> = places.iter().map(|place| place.id).collect();
        Ok(RunPage {
            rows: rows_of(conn, &ids).await?,
            next,
            searched_back_to: searched.and_then(|place| place.key),
            statement: self.statement(&hits),
        })
    }

    /// Looks piece by piece until the page is full or the time is over.
    async fn search(&self, conn: &mut PgConnection) -> Result<Found, sqlx::Error> {
        let begun = Instant::now();
        let by_start = self.order == RunOrder::Started;
        let mut piece = match (by_start, &self.text) {
            (false, _) => SORTED_RUNS,
            (true, None) => FIRST_PIECE.max(self.limit + 1),
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
            let Some((hits, last)) = self.piece_in_time(conn, place.as_ref(), piece).await? else {
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
            if !by_start || begun.elapsed() >= BUDGET {
                found.searched = Some(last);
                break;
            }
            place = Some(last);
            piece = next_piece(piece, piece_begun.elapsed());
        }
        Ok(found)
    }

    /// A piece that may take long; `None`: it did.
    async fn piece_in_time(
        &self,
        conn: &mut PgConnection,
        after: Option<&RunPlace>,
        size: usize,
    ) -> Result<Option<(Vec<RunPlace>, Option<RunPlace>)>, sqlx::Error> {
        let is_quick = self.text.is_none() && self.order == RunOrder::Started;
        if is_quick || size < 10 {
            return self.piece(conn, after, size).await.map(Some);
        }
        let mut attempt = briefly(conn, PIECE_TIMEOUT).await?;
        let piece = self.piece(&mut attempt, after, size).await;
        attempt.rollback().await?;
        match piece {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(CANCELED) => {
                Ok(None)
            }
            piece => piece.map(Some),
        }
    }

    /// The query that gives the page: its rows, from the hits among so many runs.
    fn statement(&self, hits: &SqlText) -> SqlText {
        let key = self.key();
        let mut sql = SqlText::new("WITH ");
        sql.append(hits)
            .push("\n)\n")
            .push(&select_rows())
            .push("\nWHERE s.run_id IN (SELECT h.id FROM hit AS h)")
            .push(&format!(
                "\nORDER BY {}\nLIMIT {}",
                self.order_by(&key),
                self.limit
            ));
        sql
    }

    /// The runs that fit among the next `looked` ones behind a place: `piece AS (…), hit AS (…`, and
    /// open. A piece is a part of the list by start: its order has an index.
    fn hits(&self, after: Option<&RunPlace>, looked: usize) -> SqlText {
        let key = self.key();
        let order = self.order_by(&key);
        let (start, begin, behind) = match self.order == RunOrder::Started {
            true => (order.as_str(), after, None),
            false => ("r.started_at DESC, r.id DESC", None, after),
        };
        let mut sql = SqlText::new(
            "piece AS MATERIALIZED (\n  SELECT r.id, r.started_at FROM agent_runs AS r WHERE true",
        );
        sql.append(&self.narrow(begin))
            .push(&format!("\n  ORDER BY {start} LIMIT {looked}\n), hit AS MATERIALIZED (\n  "))
            .push(&format!(
                "(SELECT r.id, {key} AS key FROM piece AS p JOIN agent_runs AS r ON r.id = p.id WHERE true"
            ));
        if let Some(place) = behind {
            self.behind(&mut sql, place);
        }
        sql.append(&self.conditions())
            .push(&format!("\n  ORDER BY {order} LIMIT {})", self.limit + 1));
        sql
    }

    /// What comes behind a place, by the index of texts. It serves texts that are rare: common
    /// ones fill a page before it is asked. `None`: there is no index, or it takes too long.
    async fn rest_by_index(
        &self,
        conn: &mut PgConnection,
        behind: &RunPlace,
        found: usize,
    ) -> Result<Option<(SqlText, Vec<RunPlace>)>, sqlx::Error> {
        let Some(text) = &self.text else {
            return Ok(None);
        };
        if text.chars().count() < INDEXED_CHARS || !has_search_index(conn).await? {
            return Ok(None);
        }
        let key = self.key();
        let mut others = self.clone();
        others.text = None;
        let mut rest =
            SqlText::new("SELECT r.id, r.started_at AS key FROM agent_runs AS r WHERE r.id IN (\n");
        rest.append(&holders(text))
            .push("\n)")
            .append(&self.narrow(Some(behind)))
            .append(&others.conditions())
            .push(&format!(
                " ORDER BY {} LIMIT {}",
                self.order_by(&key),
                self.limit + 1 - found
            ));
        let mut sql = SqlText::new("SELECT q.id, to_json(q.key) #>> '{}' AS key FROM (");
        sql.append(&rest).push(") AS q");
        // If it takes too long, the rest of the transaction goes on.
        let mut attempt = briefly(conn, INDEX_TIMEOUT).await?;
        let rows = sql.rows(&mut attempt).await;
        attempt.rollback().await?;
        let Ok(rows) = rows else {
            return Ok(None);
        };
        let place = |row: &PgRow| {
            Ok(RunPlace {
                key: row.try_get("key")?,
                id: row.try_get("id")?,
            })
        };
        let places: Result<Vec<_>, sqlx::Error> = rows.iter().map(place).collect();
        Ok(Some((rest, places?)))
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
             (SELECT r.id, {}, false, (SELECT count(*) FROM piece)::integer FROM piece AS r ORDER BY {last} LIMIT 1)",
            text("r.key"),
            text("r.started_at")
        ));
        let (mut hits, mut last) = (Vec::new(), None);
        for row in sql.rows(conn).await? {
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

/// The size of the next piece, after how long one of this size took.
fn next_piece(size: usize, took: Duration) -> usize {
    let grown = match took {
        took if took < PIECE_TIME / 2 => size * 4,
        took if took < PIECE_TIME => size * 2,
        took if took < PIECE_TIME * 2 => size,
        _ => size / 2,
    };
    grown.clamp(FIRST_SEARCHED, LARGEST_PIECE)
}

/// A part of a transaction whose statements may take only this long. Whatever becomes of it, the
/// rest of the transaction goes on.
async fn briefly(
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

/// Whether `migrate --search-index` has built its indexes.
async fn has_search_index(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query = "SELECT count(*) = 3 FROM pg_index WHERE indisvalid AND indexrelid IN (
       to_regclass('public.runtraced_search_runs'), to_regclass('public.runtraced_search_steps'),
       to_regclass('public.runtraced_search_messages'))";
    sqlx::query_scalar(query).fetch_one(conn).await
}

/// All runs that `search` finds, up to its limit, each as a row in JSON.
///
/// # Errors
/// [`InspectError`] if a query fails.
pub async fn found_runs(
    conn: &mut PgConnection,
    search: &RunSearch,
) -> Result<Vec<Box<RawValue>>, InspectError> {
    let (mut search, mut rows) = (search.clone(), Vec::new());
    loop {
        let page = search.page(conn).await?;
        search.limit -= page.rows.len();
        for (_, row) in page.rows {
            rows.push(RawValue::from_string(row)?);
        }
        // The budget of a page may end before the page is full.
        match page.next {
            Some(next) if search.limit > 0 => search.after = Some(next),
            _ => return Ok(rows),
        }
    }
}

/// The rows of these runs, in this order.
///
/// # Errors
/// If the statement fails.
async fn rows_of(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    let mut sql = SqlText::new("SELECT q.run_id AS id, row_to_json(q)::text AS row FROM (");
    sql.push(&select_rows())
        .push(" WHERE s.run_id = ANY (")
        .bind(&format!("{{{}}}", list.join(",")), "uuid[]")
        .push(")) AS q");
    let mut rows = Vec::with_capacity(ids.len());
    for row in sql.rows(conn).await? {
        rows.push((row.try_get::<Uuid, _>("id")?, row.try_get("row")?));
    }
    let place = |id: &Uuid| ids.iter().position(|one| one == id);
    rows.sort_by_key(|(id, _)| place(id));
    Ok(rows)
}
