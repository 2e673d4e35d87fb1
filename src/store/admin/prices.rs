//! Prices of models, in the table `model_prices`.

use sqlx::{Connection as _, PgConnection};

/// A search for names without a price, a part of a table at a time.
struct NameSearch {
    sql: &'static str,
    table: &'static str,
    /// Pages of 8 KiB that one search reads.
    pages: i64,
    /// The last pages, which are read again and again: they fill up, and writers commit in any
    /// order.
    last_pages: i64,
}

const MODELS: NameSearch = NameSearch {
    sql: include_str!("../sql/unpriced_models.sql"),
    table: "agent_token_counts",
    pages: 8_192,
    last_pages: 1_024,
};
/// Steps are larger than token counts.
const KEYS: NameSearch = NameSearch {
    sql: include_str!("../sql/unpriced_keys.sql"),
    table: "agent_steps",
    pages: 2_048,
    last_pages: 256,
};

impl NameSearch {
    /// Names in the part that begins with a page, and the page to go on from.
    async fn names(
        &self,
        conn: &mut PgConnection,
        page: i64,
        tables: usize,
    ) -> Result<(Vec<String>, i64), sqlx::Error> {
        let tables = i64::try_from(tables).unwrap_or(i64::MAX).max(1);
        let (at_once, last_pages) = (self.pages / tables, self.last_pages / tables);
        let pages: i64 = sqlx::query_scalar(
            "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::bigint",
        )
        .bind(self.table)
        .fetch_one(&mut *conn)
        .await?;
        // Somebody may have emptied the table.
        let page = if page > pages { 0 } else { page };
        let end = (page + at_once).min(pages);
        let names = sqlx::query_scalar(self.sql)
            .bind(page)
            .bind(end)
            .fetch_all(conn)
            .await?;
        let next = if end < pages {
            end
        } else {
            (pages - last_pages).max(0)
        };
        Ok((names, next))
    }
}

/// A price, in US dollars per million tokens, as text of numbers. `None`: unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of `model_prices`
pub struct PriceRow {
    /// Text of a time; `None`: always.
    pub valid_from: Option<String>,
    pub above_input_tokens: i64,
    pub input: Option<String>,
    pub output: Option<String>,
    pub cache_read: Option<String>,
    pub cache_write: Option<String>,
    pub reasoning: Option<String>,
    pub priced_as: Option<String>,
}

/// Models in token counts from a page of the table on, for which the catalog was not asked
/// yet, and the page to go on from. `tables`: so many are read in turn. Together they cost as much
/// as one would.
///
/// # Errors
/// If a statement fails.
pub async fn unpriced_models(
    conn: &mut PgConnection,
    page: i64,
    tables: usize,
) -> Result<(Vec<String>, i64), sqlx::Error> {
    MODELS.names(conn, page, tables).await
}

/// Names for calls by provider in steps, in the same way.
///
/// # Errors
/// If a statement fails.
pub async fn unpriced_keys(
    conn: &mut PgConnection,
    page: i64,
    tables: usize,
) -> Result<(Vec<String>, i64), sqlx::Error> {
    KEYS.names(conn, page, tables).await
}

/// Models for which the catalog was asked.
///
/// # Errors
/// If the statement fails.
pub async fn catalog_models(conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT DISTINCT model FROM model_prices WHERE source = 'catalog'")
        .fetch_all(conn)
        .await
}

/// Replaces the catalog's prices of a model. Without prices, a row says that the catalog was
/// asked.
///
/// # Errors
/// If a statement fails.
pub async fn write_catalog_prices(
    conn: &mut PgConnection,
    model: &str,
    prices: &[PriceRow],
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    let none = [PriceRow::default()];
    let prices = if prices.is_empty() { &none } else { prices };
    let starts: Vec<_> = prices.iter().map(|row| row.valid_from.clone()).collect();
    let sizes: Vec<i64> = prices.iter().map(|row| row.above_input_tokens).collect();
    // What stays as it is costs the sums of runs nothing.
    sqlx::query(
        "DELETE FROM model_prices WHERE model = $1 AND source = 'catalog'
         AND (valid_from, above_input_tokens) NOT IN (
             SELECT coalesce(k.valid_from::timestamptz, '-infinity'), k.above
             FROM unnest($2::text[], $3::bigint[]) AS k (valid_from, above))",
    )
    .bind(model)
    .bind(starts)
    .bind(sizes)
    .execute(&mut *tx)
    .await?;
    for price in prices {
        insert(&mut tx, model, "catalog", price).await?;
    }
    tx.commit().await
}

/// Sets a price of the operator's, in place of one with the same time and size.
///
/// # Errors
/// If the statement fails.
pub async fn set_price(
    conn: &mut PgConnection,
    model: &str,
    price: &PriceRow,
) -> Result<(), sqlx::Error> {
    insert(conn, model, "operator", price).await
}

async fn insert(
    conn: &mut PgConnection,
    model: &str,
    source: &str,
    price: &PriceRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO model_prices (model, source, valid_from, above_input_tokens,
             input, output, cache_read, cache_write, reasoning, priced_as)
         VALUES ($1, $2, coalesce($3::timestamptz, '-infinity'), $4,
             $5::numeric, $6::numeric, $7::numeric, $8::numeric, $9::numeric, $10)
         ON CONFLICT (model, source, valid_from, above_input_tokens) DO UPDATE
         SET input = excluded.input, output = excluded.output, cache_read = excluded.cache_read,
             cache_write = excluded.cache_write, reasoning = excluded.reasoning,
             priced_as = excluded.priced_as, updated_at = excluded.updated_at
         WHERE (model_prices.input, model_prices.output, model_prices.cache_read, model_prices.cache_write,
                model_prices.reasoning, model_prices.priced_as)
            IS DISTINCT FROM (excluded.input, excluded.output, excluded.cache_read, excluded.cache_write,
                excluded.reasoning, excluded.priced_as)",
    )
    .bind(model)
    .bind(source)
    .bind(&price.valid_from)
    .bind(price.above_input_tokens)
    .bind(&price.input)
    .bind(&price.output)
    .bind(&price.cache_read)
    .bind(&price.cache_write)
    .bind(&price.reasoning)
    .bind(&price.priced_as)
    .execute(conn)
    .await?;
    Ok(())
}
