//! The list of runs for the web: a page at a time, from the newest.

use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::InspectError;
use super::run_pieces::{Found, briefly};
use super::run_search::{RunOrder, RunPlace, RunSearch, holders};
use super::sql_text::SqlText;

/// How long a search goes on for one page. After that it says how far it has come. The whole answer has a
/// quarter of a second: its rows take the rest.
const BUDGET: Duration = Duration::from_millis(180);
/// The same if an index goes on.
const BUDGET_BEFORE_INDEX: Duration = Duration::from_millis(80);
/// How long a search by index may take.
const INDEX_TIMEOUT: Duration = Duration::from_millis(150);
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
         (SELECT sum(public.reported_cost(t.metadata)) FROM agent_steps AS t
          WHERE t.run_id = s.run_id AND t.metadata ?| ARRAY[
              'gen_ai.usage.cost', 'gen_ai.usage.total_cost', 'llm.cost.total', 'langfuse.observation.cost_details']
            AND EXISTS (
              SELECT FROM agent_token_counts AS k WHERE k.run_id = t.run_id AND k.step_id = t.id AND NOT k.rollup
            )) AS cost_reported_usd,
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
    /// The place of each row.
    pub places: Vec<RunPlace>,
    /// Where the next page begins.
    pub next: Option<RunPlace>,
    /// How far the search has come, if it did not fill the page.
    pub searched_back_to: Option<String>,
    /// One query that gives the same rows.
    pub statement: SqlText,
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
        let has_index = by_start && self.has_index(conn).await?;
        let budget = if has_index {
            BUDGET_BEFORE_INDEX
        } else {
            BUDGET
        };
        let mut found = self.search(conn, budget).await?;
        let rest = match &found.searched {
            Some(place) if has_index => self.rest_by_index(conn, place, found.places.len()).await?,
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
            places,
        })
    }

    /// Whether an index finds what the text of the search is in.
    async fn has_index(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let chars = self.text.as_ref().map_or(0, |text| text.chars().count());
        if chars < INDEXED_CHARS {
            return Ok(false);
        }
        has_search_index(conn).await
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

    /// What comes behind a place, by the index of texts. It serves texts that are rare: common
    /// ones fill a page before it is asked. `None`: it takes too long.
    async fn rest_by_index(
        &self,
        conn: &mut PgConnection,
        behind: &RunPlace,
        found: usize,
    ) -> Result<Option<(SqlText, Vec<RunPlace>)>, sqlx::Error> {
        let Some(text) = &self.text else {
            return Ok(None);
        };
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
}

/// Whether `migrate --search-index` has built its indexes.
async fn has_search_index(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(include_str!("sql/has_search_index.sql"))
        .fetch_one(conn)
        .await
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
    for row in sql.rows_by_plan(conn).await? {
        rows.push((row.try_get::<Uuid, _>("id")?, row.try_get("row")?));
    }
    let place = |id: &Uuid| ids.iter().position(|one| one == id);
    rows.sort_by_key(|(id, _)| place(id));
    Ok(rows)
}
