//! A run as events in JSON, one a line, as `runtraced send` reads them.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::sql_text::SqlText;

/// Which event of an export: what kind of row it comes from, and the row's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportKey {
    kind: i32,
    id: Uuid,
}

/// Some events of an export, one a line.
#[derive(Debug)]
pub struct ExportPage {
    /// The events.
    pub lines: String,
    /// How many of the keys are done.
    pub done: usize,
}

/// The statement whose rows are the events of a run in order, in the column `event`.
#[must_use]
pub fn export_statement(run: Uuid) -> SqlText {
    SqlText::with_values(include_str!("sql/export.sql"), vec![run.to_string()])
}

/// What a run's export consists of, in order, without reading the contents.
///
/// # Errors
/// If the statement fails.
pub async fn export_keys(
    conn: &mut PgConnection,
    events: &SqlText,
) -> Result<Vec<ExportKey>, sqlx::Error> {
    let mut sql = SqlText::new("SELECT k.kind, k.id FROM (");
    sql.append(events)
        .push("\n) AS k\nORDER BY k.part, k.at, k.id");
    let rows = sql.rows(conn).await?;
    rows.iter().map(key).collect()
}

fn key(row: &sqlx::postgres::PgRow) -> Result<ExportKey, sqlx::Error> {
    Ok(ExportKey {
        kind: row.try_get("kind")?,
        id: row.try_get("id")?,
    })
}

/// The events of these keys, in order, until they have `bytes`.
///
/// # Errors
/// If the statement fails.
pub async fn export_page(
    conn: &mut PgConnection,
    events: &SqlText,
    keys: &[ExportKey],
    bytes: usize,
) -> Result<ExportPage, sqlx::Error> {
    let statement = page_statement(events, keys);
    let query = statement.query();
    let mut rows = query.fetch(conn);
    let mut page = ExportPage {
        lines: String::new(),
        done: keys.len(),
    };
    while let Some(row) = rows.next().await {
        let row = row?;
        page.lines.push_str(row.try_get("event")?);
        page.lines.push('\n');
        if page.lines.len() >= bytes {
            let last = key(&row)?;
            let place = keys.iter().position(|one| *one == last);
            page.done = place.map_or(keys.len(), |place| place + 1);
            break;
        }
    }
    Ok(page)
}

/// Postgres reads only the rows that the conditions name: each kind is one table.
fn page_statement(events: &SqlText, keys: &[ExportKey]) -> SqlText {
    let mut ids: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for key in keys {
        ids.entry(key.kind).or_default().push(key.id.to_string());
    }
    let mut sql = SqlText::new("SELECT k.kind, k.id, k.event FROM (");
    sql.append(events).push("\n) AS k\nWHERE false");
    for (kind, ids) in ids {
        sql.push(&format!(" OR (k.kind = {kind} AND k.id = ANY ("))
            .bind(&format!("{{{}}}", ids.join(",")), "uuid[]")
            .push("))");
    }
    sql.push("\nORDER BY k.part, k.at, k.id");
    sql
}
