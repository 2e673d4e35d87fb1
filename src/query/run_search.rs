//! Which runs a list shows: filters, order and place, as SQL.

use std::time::Duration;

use uuid::Uuid;

use super::sql_text::{SqlText, contains_pattern};

/// A limit of time: a point, or an age.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TimeBound {
    /// A time as text that Postgres reads.
    At(String),
    /// So long before now.
    Ago(Duration),
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RunOrder {
    /// When the run started.
    #[default]
    Started,
    /// How long it took.
    Duration,
    /// Input and output tokens.
    Tokens,
    /// What it cost.
    Cost,
}

/// Selects runs. An empty list of a filter selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the fields are the parameters of the API
pub struct RunSearch {
    pub status: Vec<String>,
    pub agent: Vec<String>,
    pub model: Vec<String>,
    pub tool: Vec<String>,
    pub customer: Vec<Uuid>,
    /// Ids of users, or users as the source names them.
    pub user: Vec<String>,
    pub session: Vec<Uuid>,
    pub parent: Vec<Uuid>,
    pub tag: Vec<String>,
    /// Key and value of metadata.
    pub meta: Vec<(String, String)>,
    pub since: Option<TimeBound>,
    pub until: Option<TimeBound>,
    pub min_ms: Option<i64>,
    pub max_ms: Option<i64>,
    pub min_tokens: Option<i64>,
    pub max_tokens: Option<i64>,
    /// US dollars as text of a number.
    pub min_cost: Option<String>,
    pub max_cost: Option<String>,
    pub error: Option<String>,
    /// A text in inputs, outputs, messages, errors or names.
    pub text: Option<String>,
    pub order: RunOrder,
    pub ascending: bool,
    pub limit: usize,
    pub after: Option<RunPlace>,
}

/// The place of a run in a list: its sort key as text (`None`: no start is known) and id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct RunPlace {
    pub key: Option<String>,
    pub id: Uuid,
}

/// The tokens of a run: its totals, which it has when it has ended; until then, what is counted.
const TOKENS: &str = "CASE WHEN r.status = 'running' THEN coalesce((\
     SELECT sum(coalesce(c.input, 0)::bigint + coalesce(c.output, 0)) FROM agent_token_counts AS c \
     WHERE c.run_id = r.id AND NOT c.rollup), 0)::bigint \
     ELSE coalesce(r.total_tokens_input, 0)::bigint + coalesce(r.total_tokens_output, 0) END";
/// Selects what a run used, from its token counts.
const COST: &str = "(SELECT sum(c.cost_usd) FROM agent_token_costs AS c WHERE c.run_id = r.id)";

impl RunSearch {
    /// The expression that the list is sorted by, over `agent_runs AS r`.
    pub(super) fn key(&self) -> String {
        match self.order {
            RunOrder::Started => "r.started_at".to_owned(),
            RunOrder::Duration => "coalesce(r.duration_ms, -1)".to_owned(),
            RunOrder::Tokens => TOKENS.to_owned(),
            RunOrder::Cost => format!("coalesce({COST}, -1)"),
        }
    }

    /// `ORDER BY` of the list. Runs without a known start are the newest.
    pub(super) fn order_by(&self, key: &str) -> String {
        match self.ascending {
            false => format!("{key} DESC, r.id DESC"),
            true => format!("{key}, r.id"),
        }
    }

    /// Conditions that an index or the place in it decides, each with `AND` before it.
    pub(super) fn narrow(&self, after: Option<&RunPlace>) -> SqlText {
        let mut sql = SqlText::default();
        ids(&mut sql, " AND r.session_id IN ", &self.session);
        ids(&mut sql, " AND r.parent_run_id IN ", &self.parent);
        for (bound, operator) in [(&self.since, ">="), (&self.until, "<")] {
            if let Some(bound) = bound {
                sql.push(&format!(" AND r.started_at {operator} "));
                push_time(&mut sql, bound);
            }
        }
        if let Some(place) = after {
            self.behind(&mut sql, &self.key(), place);
        }
        sql
    }

    /// What comes behind a place, by the key of the order.
    pub(super) fn behind(&self, sql: &mut SqlText, key: &str, place: &RunPlace) {
        let beyond = if self.ascending { ">" } else { "<" };
        let kind = match self.order {
            RunOrder::Started => "timestamptz",
            RunOrder::Cost => "numeric",
            RunOrder::Duration | RunOrder::Tokens => "bigint",
        };
        let id = place.id.to_string();
        match (&place.key, self.ascending) {
            (Some(value), _) => {
                // The first condition is a range of the index.
                sql.push(&format!(" AND ({key} {beyond}= "))
                    .bind(value, kind)
                    .push(&format!(" AND ({key} {beyond} "))
                    .bind(value, kind)
                    .push(&format!(" OR r.id {beyond} "))
                    .bind(&id, "uuid")
                    .push(")");
                if self.ascending && self.order == RunOrder::Started {
                    sql.push(&format!(" OR {key} IS NULL"));
                }
                sql.push(")");
            }
            (None, false) => {
                sql.push(&format!(" AND ({key} IS NOT NULL OR r.id < "))
                    .bind(&id, "uuid")
                    .push(")");
            }
            (None, true) => {
                sql.push(&format!(" AND {key} IS NULL AND r.id > "))
                    .bind(&id, "uuid");
            }
        }
    }

    /// Whether there are conditions that no index decides.
    pub(super) fn is_filtered(&self) -> bool {
        let by_place = Self {
            session: self.session.clone(),
            parent: self.parent.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
            order: self.order,
            ascending: self.ascending,
            limit: self.limit,
            after: self.after.clone(),
            ..Self::default()
        };
        *self != by_place
    }

    /// All other conditions, each with `AND` before it. What is below a run is looked up run by run: with `EXISTS`, the planner
    /// would rather read whole tables once.
    pub(super) fn conditions(&self) -> SqlText {
        let mut sql = SqlText::default();
        // A run that ended without a start that anybody knows has no place in time.
        sql.push(" AND (r.started_at IS NOT NULL OR r.status = 'running')");
        texts(&mut sql, " AND r.status IN ", &self.status, "");
        texts(&mut sql, " AND r.agent_id IN ", &self.agent, "");
        ids(&mut sql, " AND r.customer_id IN ", &self.customer);
        self.users(&mut sql);
        // A call may name its model with its tokens only.
        let model =
            " AND ((SELECT true FROM agent_steps AS t WHERE t.run_id = r.id AND t.model IN ";
        texts(&mut sql, model, &self.model, " LIMIT 1)");
        let counted =
            " OR (SELECT true FROM agent_token_counts AS t WHERE t.run_id = r.id AND t.model IN ";
        texts(&mut sql, counted, &self.model, " LIMIT 1))");
        let tool = " AND (SELECT true FROM agent_steps AS t WHERE t.run_id = r.id \
                    AND t.step_type = 'tool_call' AND t.name IN ";
        texts(&mut sql, tool, &self.tool, " LIMIT 1)");
        if !self.tag.is_empty() {
            sql.push(" AND EXISTS (SELECT FROM jsonb_array_elements_text(")
                .push(super::run_list::TAGS)
                .push(") AS t (tag) WHERE t.tag IN ")
                .bind_all(&self.tag, "text")
                .push(")");
        }
        for (key, value) in &self.meta {
            sql.push(" AND coalesce(r.metadata ->> ")
                .bind(key, "text")
                .push(", r.end_metadata ->> ")
                .bind(key, "text")
                .push(") = ")
                .bind(value, "text");
        }
        self.measures(&mut sql);
        if let Some(part) = &self.error {
            sql.push(" AND r.error ILIKE ")
                .bind(&contains_pattern(part), "text");
        }
        if let Some(part) = &self.text {
            search(&mut sql, &contains_pattern(part));
        }
        sql
    }

    fn users(&self, sql: &mut SqlText) {
        if self.user.is_empty() {
            return;
        }
        texts(sql, " AND (r.metadata ->> 'user' IN ", &self.user, "");
        let known: Vec<Uuid> = self
            .user
            .iter()
            .filter_map(|user| user.parse().ok())
            .collect();
        let of_user =
            " OR r.session_id IN (SELECT s.id FROM agent_sessions AS s WHERE s.user_id IN ";
        if !known.is_empty() {
            ids(sql, of_user, &known);
            sql.push(")");
        }
        sql.push(")");
    }

    fn measures(&self, sql: &mut SqlText) {
        let text = |number: &Option<i64>| number.map(|number| number.to_string());
        for (expression, operator, value, kind) in [
            ("r.duration_ms", ">=", text(&self.min_ms), "bigint"),
            ("r.duration_ms", "<=", text(&self.max_ms), "bigint"),
            (TOKENS, ">=", text(&self.min_tokens), "bigint"),
            (TOKENS, "<=", text(&self.max_tokens), "bigint"),
            (COST, ">=", self.min_cost.clone(), "numeric"),
            (COST, "<=", self.max_cost.clone(), "numeric"),
        ] {
            if let Some(value) = value {
                sql.push(&format!(" AND {expression} {operator} "))
                    .bind(&value, kind);
            }
        }
    }
}

/// Appends a time.
pub(super) fn push_time(sql: &mut SqlText, bound: &TimeBound) {
    match bound {
        TimeBound::At(time) => sql.bind(time, "timestamptz"),
        TimeBound::Ago(age) => sql
            .push("now() - ")
            .bind(&format!("{} seconds", age.as_secs_f64()), "interval"),
    };
}

fn texts(sql: &mut SqlText, before: &str, values: &[String], after: &str) {
    if !values.is_empty() {
        sql.push(before).bind_all(values, "text").push(after);
    }
}

fn ids(sql: &mut SqlText, before: &str, ids: &[Uuid]) {
    if !ids.is_empty() {
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        sql.push(before).bind_all(&ids, "uuid");
    }
}

/// Texts of a run, of its steps `AS t`, of what these refer to, and of its messages `AS t`. The
/// indexes that `migrate --search-index` builds are on the same expressions.
const RUN_TEXTS: &[&str] = &["r.name", "r.error", "r.input", "r.output"];
const TEXTS: [(&str, &[&str]); 3] = [
    (
        "agent_steps",
        &["t.name", "t.error", "t.input::text", "t.output::text"],
    ),
    ("agent_contents", &["t.name", "t.body::text"]),
    (
        "agent_messages",
        &["t.content", "t.thinking", "t.tool_calls::text"],
    ),
];
/// Those of them that may be references, whose hashes are no text of anybody.
const REFERRING: [&str; 2] = ["t.input::text", "t.output::text"];
/// What a reference looks like. The SQL of this program holds a dollar sign only before a number.
const REFERENCE: &str = r#"'^\{"\u0024content": "[0-9a-f-]{36}"\}\Z'"#;

/// Whether one of the columns holds a pattern.
fn any_like(sql: &mut SqlText, columns: &[&str], pattern: &str) {
    for (index, column) in columns.iter().enumerate() {
        sql.push(if index > 0 { " OR " } else { "" })
            .push(column)
            .push(" ILIKE ")
            .bind(pattern, "text");
        if REFERRING.contains(column) {
            sql.push(&format!(" AND {column} !~ {REFERENCE}"));
        }
    }
}

/// Whether a pattern is in anything that the run holds.
fn search(sql: &mut SqlText, pattern: &str) {
    sql.push(" AND (");
    any_like(sql, RUN_TEXTS, pattern);
    for (table, columns) in TEXTS {
        sql.push(&format!(
            " OR (SELECT true FROM {table} AS t WHERE t.run_id = r.id AND ("
        ));
        any_like(sql, columns, pattern);
        sql.push(") LIMIT 1)");
    }
    sql.push(" OR public.run_shares_text(r.id, ")
        .bind(pattern, "text")
        .push("))");
}

/// All runs that hold a text, table by table, so that an index on texts serves it.
pub(super) fn holders(text: &str) -> SqlText {
    let pattern = contains_pattern(text);
    let mut sql = SqlText::new("SELECT r.id FROM agent_runs AS r WHERE ");
    any_like(&mut sql, RUN_TEXTS, &pattern);
    for (table, columns) in TEXTS {
        sql.push(&format!(
            "\nUNION\nSELECT t.run_id FROM {table} AS t WHERE "
        ));
        any_like(&mut sql, columns, &pattern);
    }
    sql.push("\nUNION\nSELECT public.runs_sharing_text(")
        .bind(&pattern, "text")
        .push(")");
    sql
}
