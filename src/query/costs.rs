//! What the runs of a window cost, summed by a key, and in all.

use sqlx::{PgConnection, Row as _};

use super::counted_runs::CountedRuns;
use super::sql_text::SqlText;
use super::sums::{ACCOUNTS, SumsPart, sums};

/// The most rows of the list of models without a price.
pub const UNPRICED_ROWS: usize = 50;
/// The most rows of costs.
pub const COST_ROWS: usize = 400;

/// What a cost is summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CostBy {
    Agent,
    Model,
    Session,
    Customer,
    User,
    Day,
}

impl CostBy {
    /// The key of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "agent" => Self::Agent,
            "model" => Self::Model,
            "session" => Self::Session,
            "customer" => Self::Customer,
            "user" => Self::User,
            "day" => Self::Day,
            _ => return None,
        })
    }

    /// The key of a row of `run_sums AS s`.
    fn key(self) -> &'static str {
        match self {
            Self::Agent => "s.agent_id",
            Self::Model => "s.name",
            Self::Session => "s.session_id",
            Self::Customer => "s.customer_id",
            Self::User => "coalesce(o.user_id::text, s.name)",
            Self::Day => "((s.at AT TIME ZONE 'UTC')::date)::text",
        }
    }

    /// The parts of `run_sums` that its costs need.
    #[must_use]
    pub fn parts(self) -> [&'static str; 3] {
        [self.part(), "runs", "calls"]
    }

    /// The part of `run_sums` that has calls by this key.
    fn part(self) -> &'static str {
        match self {
            Self::Agent | Self::Model | Self::Day => "calls",
            Self::Session | Self::Customer | Self::User => ACCOUNTS,
        }
    }

    /// The column of `run_sums` that holds its key where the rest of an account is not needed.
    fn column(self) -> &'static str {
        match self {
            Self::Session => "session_id",
            Self::Customer => "customer_id",
            Self::Agent | Self::Model | Self::User | Self::Day => "name",
        }
    }

    /// Accounts, summed up by its key: rows with some columns of `run_sums`.
    pub(super) fn accounts(self, sums: &SqlText) -> SqlText {
        let mut sql = SqlText::new(&format!(
            "SELECT {} AS {}, sum(s.runs) AS runs, sum(s.calls) AS calls, sum(s.tokens_input) AS tokens_input,\n    \
             sum(s.tokens_output) AS tokens_output, sum(s.tokens_cache_read) AS tokens_cache_read, sum(s.cost_usd) AS cost_usd,\n    \
             sum(s.cost_reported_usd) AS cost_reported_usd, sum(s.unpriced_calls) AS unpriced_calls\n  FROM ",
            self.key(),
            self.column()
        ));
        sql.append(sums).push(" AS s");
        self.push_join(&mut sql);
        sql.push("\n  GROUP BY 1");
        sql
    }

    /// Appends the table that its key needs beside `run_sums AS s`.
    fn push_join(self, sql: &mut SqlText) {
        if self == Self::User {
            sql.push("\n  LEFT JOIN agent_sessions AS o ON o.id = s.session_id");
        }
    }

    /// The sums that [`cost_statement`] and [`unpriced_statement`] need of other servers.
    #[must_use]
    pub fn sums_parts(self) -> Vec<SumsPart> {
        let second = if self.part() == ACCOUNTS {
            "calls"
        } else {
            "runs"
        };
        let of = |part| SumsPart {
            part,
            width_s: None,
            by: Some(self),
        };
        [self.part(), second].map(of).to_vec()
    }
}

/// Costs by a key.
#[derive(Clone, Debug)]
pub struct CostTable {
    /// The sums of all runs of the window, a JSON object.
    pub totals: String,
    /// The sums of each key, at most [`COST_ROWS`].
    pub rows: Vec<String>,
    /// Whether there are more keys.
    pub more: bool,
}

impl CostTable {
    /// Sums up runs. `statement` is [`cost_statement`].
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn read(conn: &mut PgConnection, statement: &SqlText) -> Result<Self, sqlx::Error> {
        let columns = "to_jsonb(q) - '{is_total,key,name}'::text[]";
        let mut each = SqlText::new(&format!(
            "SELECT q.is_total, (CASE WHEN q.is_total THEN {columns} ELSE to_jsonb(q) - 'is_total' END)::text AS row FROM (\n"
        ));
        each.append(statement).push("\n) AS q");
        let mut table = Self {
            totals: String::new(),
            rows: Vec::new(),
            more: false,
        };
        for row in each.rows(conn).await? {
            match row.try_get("is_total")? {
                true => table.totals = row.try_get("row")?,
                false => table.rows.push(row.try_get("row")?),
            }
        }
        table.more = table.rows.len() > COST_ROWS;
        table.rows.truncate(COST_ROWS);
        Ok(table)
    }
}

/// Costs of runs, summed by a key: a row for all, then those of the keys, and one more
/// than [`COST_ROWS`] if there are so many.
#[must_use]
pub fn cost_statement(by: CostBy, counted: &CountedRuns) -> SqlText {
    let key = by.key();
    let name = match by {
        CostBy::Session => "(SELECT o.title FROM agent_sessions AS o WHERE o.id = p.key)",
        _ => "NULL::text",
    };
    let order = match by {
        CostBy::Day => "p.key DESC",
        _ => "sum(p.cost_usd) DESC NULLS LAST, p.key",
    };
    // Calls tell neither the runs without any, nor how many runs there are: one may call several models.
    let (runs, all_runs) = match (by, by.part()) {
        (CostBy::Model, _) => ("s.runs", "0"),
        (_, "calls") => ("0", "0"),
        _ => ("s.runs", "s.runs"),
    };
    let mut sql = SqlText::new(&format!(
        "WITH part AS MATERIALIZED (\n  SELECT {key} AS key, {runs} AS runs, {all_runs} AS all_runs, s.calls, s.tokens_input, s.tokens_output,\n    \
         s.tokens_cache_read, s.cost_usd, s.cost_reported_usd, s.unpriced_calls\n  FROM "
    ));
    sql.append(&sums(by.part(), counted, None)).push(" AS s");
    by.push_join(&mut sql);
    if by.part() == "calls" {
        let (key, runs) = match by {
            CostBy::Model => ("NULL", "0"),
            _ => (key, "s.runs"),
        };
        sql.push(&format!(
            "\n  UNION ALL\n  SELECT {key}, {runs}, s.runs, 0, 0, 0, 0, NULL, NULL, 0\n  FROM "
        ))
        .append(&sums("runs", counted, None))
        .push(" AS s");
    }
    sql.push(&format!(
        "\n)\nSELECT grouping(p.key) = 1 AS is_total, p.key::text AS key, {name} AS name,\n  \
         coalesce(CASE WHEN grouping(p.key) = 1 THEN sum(p.all_runs) ELSE sum(p.runs) END, 0) AS runs,\n  \
         coalesce(sum(p.calls), 0) AS calls, coalesce(sum(p.tokens_input), 0) AS tokens_input,\n  \
         coalesce(sum(p.tokens_output), 0) AS tokens_output, coalesce(sum(p.tokens_cache_read), 0) AS tokens_cache_read,\n  \
         sum(p.cost_usd) AS cost_usd, sum(p.cost_reported_usd) AS cost_reported_usd,\n  \
         coalesce(sum(p.unpriced_calls), 0) AS unpriced_calls\n\
         FROM part AS p\nGROUP BY GROUPING SETS ((), (p.key))\nHAVING grouping(p.key) = 1 OR sum(p.calls) > 0\n\
         ORDER BY grouping(p.key) DESC, {order}\nLIMIT {}",
        COST_ROWS + 2
    ));
    sql
}

/// Models without a price in runs: one more than [`UNPRICED_ROWS`] if there are so many.
#[must_use]
pub fn unpriced_statement(counted: &CountedRuns) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT s.name AS model, sum(s.unpriced_calls) AS calls, max(s.last_at) AS last_at\nFROM ",
    );
    sql.append(&sums("calls", counted, None)).push(&format!(
        " AS s\nWHERE s.unpriced_calls > 0\nGROUP BY s.name\nORDER BY sum(s.unpriced_calls) DESC, s.name\nLIMIT {}",
        UNPRICED_ROWS + 1
    ));
    sql
}

/// Settings of a transaction that adds up many rows. The planner takes all runs of a window for a
/// few, or for all there are; then merging reads a whole index in an order that the disk does not have.
///
/// # Errors
/// If the connection is broken.
pub async fn plan_sums(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let settings = "SET LOCAL enable_mergejoin = off; SET LOCAL random_page_cost = 1.1";
    sqlx::raw_sql(settings).execute(conn).await?;
    Ok(())
}
