//! Names in the table `model_prices` that calls have by their provider.

use sqlx::PgConnection;

/// Pages of the table of steps that one search reads: 16 MiB.
const PAGES: i64 = 2_048;
/// The last pages, which are read again and again: they fill up, and writers commit in any order.
const LAST_PAGES: i64 = 256;

/// Names for calls by provider in steps from a page of the table on, for which the catalog was
/// not asked yet, and the page to go on from.
///
/// # Errors
/// If a statement fails.
pub async fn unpriced_keys(
    conn: &mut PgConnection,
    page: i64,
) -> Result<(Vec<String>, i64), sqlx::Error> {
    let pages: i64 = sqlx::query_scalar(
        "SELECT pg_relation_size('agent_steps') / current_setting('block_size')::bigint",
    )
    .fetch_one(&mut *conn)
    .await?;
    // Somebody may have emptied the table.
    let page = if page > pages { 0 } else { page };
    let end = (page + PAGES).min(pages);
    let keys = sqlx::query_scalar(include_str!("../sql/unpriced_keys.sql"))
        .bind(page)
        .bind(end)
        .fetch_all(conn)
        .await?;
    let next = if end < pages {
        end
    } else {
        (pages - LAST_PAGES).max(0)
    };
    Ok((keys, next))
}
