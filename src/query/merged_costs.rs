//! The costs of several servers as one table. Postgres adds them up: its numbers are exact.

use sqlx::PgConnection;

use super::costs::{CostBy, CostTable};
use super::sql_text::SqlText;

/// The columns that are sums, in the order of the table.
const SUMS: [&str; 7] = [
    "runs",
    "calls",
    "tokens_input",
    "tokens_output",
    "tokens_cache_read",
    "cost_usd",
    "cost_reported_usd",
];

/// Adds up the costs of several servers, and sorts them as one server does. Any server may do it.
/// If one of them has more keys than are listed, the totals are exact, and the list is not.
///
/// # Errors
/// If the statement fails.
pub async fn merged_costs(
    conn: &mut PgConnection,
    by: CostBy,
    servers: &[CostTable],
) -> Result<CostTable, sqlx::Error> {
    let rows = servers.iter().flat_map(|server| &server.rows);
    let order = match by {
        CostBy::Day => "p.key DESC",
        _ => "sum(p.cost_usd) DESC NULLS LAST, p.key",
    };
    let listed = statement(
        rows,
        "p.key, max(p.name) AS name, ",
        "GROUP BY p.key",
        order,
    );
    let totals = servers.iter().map(|server| &server.totals);
    let totals = statement(totals, "", "", "1").json_row(conn).await?;
    Ok(CostTable {
        totals: totals.unwrap_or_default(),
        rows: listed.json_rows(conn).await?,
        more: servers.iter().any(|server| server.more),
    })
}

/// Adds up rows in JSON.
fn statement<'a>(
    rows: impl Iterator<Item = &'a String>,
    key: &str,
    group: &str,
    order: &str,
) -> SqlText {
    let rows: Vec<&str> = rows.map(String::as_str).collect();
    let columns = SUMS.map(|name| format!("{name} numeric"));
    let sums = SUMS.map(|name| format!("sum(p.{name}) AS {name}"));
    let mut sql = SqlText::new(&format!(
        "SELECT {key}{}, sum(p.unpriced_calls) AS unpriced_calls\nFROM jsonb_to_recordset(",
        sums.join(", ")
    ));
    sql.bind(&format!("[{}]", rows.join(",")), "jsonb")
        .push(&format!(
            ") AS p (key text, name text, {}, unpriced_calls numeric)\n{group}\nORDER BY {order}",
            columns.join(", ")
        ));
    sql
}
