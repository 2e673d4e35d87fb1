//! Prices of models, and models without one.

use serde::Serialize;
use sqlx::PgConnection;

use super::InspectError;

/// A row of `model_prices` that holds a price. The table describes each column.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct PriceListRow {
    pub model: String,
    pub source: String,
    pub priced_as: Option<String>,
    pub valid_from: Option<String>,
    pub above_input_tokens: i64,
    pub input: Option<String>,
    pub output: Option<String>,
    pub cache_read: Option<String>,
    pub cache_write: Option<String>,
    pub reasoning: Option<String>,
}

from_row!(PriceListRow {
    model,
    source,
    priced_as,
    valid_from,
    above_input_tokens,
    input,
    output,
    cache_read,
    cache_write,
    reasoning,
});

/// A model whose price is unknown.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct UnpricedModel {
    /// `None`: the agents do not say which model they call.
    pub model: Option<String>,
    pub calls: i64,
    pub last_at: Option<String>,
}

from_row!(UnpricedModel {
    model,
    calls,
    last_at,
});

/// All prices, by model.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn prices(conn: &mut PgConnection) -> Result<Vec<PriceListRow>, InspectError> {
    Ok(sqlx::query_as(
        "SELECT model, source, priced_as, nullif(valid_from, '-infinity')::text AS valid_from,
                above_input_tokens, input::text, output::text, cache_read::text, cache_write::text, reasoning::text
         FROM model_prices
         WHERE num_nonnulls(input, output, cache_read, cache_write, reasoning) > 0
         ORDER BY model, source DESC, valid_from, above_input_tokens",
    )
    .fetch_all(conn)
    .await?)
}

/// Models without a price, the most used first.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn unpriced_models(conn: &mut PgConnection) -> Result<Vec<UnpricedModel>, InspectError> {
    Ok(sqlx::query_as(
        "SELECT c.model, count(*) AS calls, max(c.created_at)::text AS last_at
         FROM agent_token_costs AS c
         WHERE c.cost_usd IS NULL
         GROUP BY c.model
         ORDER BY count(*) DESC, c.model",
    )
    .fetch_all(conn)
    .await?)
}
