//! Sums over a window of time, costs, and the values of filters.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, Row as _};

use super::Shared;
use super::error::{WebError, json_answer};
use super::params::{Params, age};
use crate::query::{
    CostBy, CostTable, CountedStore, Counting, FacetsStatement, OtherServers, RunSearch,
    STATS_PARTS, STATS_ROWS, SqlText, StatsStatements, TimeBound, UNPRICED_ROWS, briefly,
    cost_statement, customer_names_statement, plan_sums, stats_statements, stats_sums,
    unpriced_statement,
};

/// The window if the request names none.
const DEFAULT_WINDOW: Duration = Duration::from_secs(86_400);
/// The window of costs if the request names none.
const DEFAULT_COST_WINDOW: Duration = Duration::from_secs(30 * 86_400);
/// How long runs are counted that no sums have, unless the request says otherwise.
const DEFAULT_COUNTING: Duration = Duration::from_secs(1);
/// How long a request may have them counted.
const MAX_COUNTING: Duration = Duration::from_secs(10);
/// How long one statement may take. After that fewer runs are counted.
const COUNTING_TIMEOUT: Duration = Duration::from_secs(10);
/// Points of a series, at most about this many.
const POINTS: f64 = 100.0;
/// Widths of the points of a series, in seconds. From a quarter of an hour on, sums that are there already are used.
const BUCKETS: [u64; 11] = [
    1,
    10,
    60,
    900,
    3_600,
    7_200,
    21_600,
    43_200,
    86_400,
    7 * 86_400,
    28 * 86_400,
];

fn filter(params: &Params, window: Duration) -> Result<RunSearch, WebError> {
    let mut filter = params.run_search()?;
    filter.since.get_or_insert(TimeBound::Ago(window));
    Ok(filter)
}

/// `GET /api/stats`.
pub(super) async fn stats(State(state): Shared, request: Request) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let params = Params::of(head.uri.query())?;
    let mut filter = filter(&params, DEFAULT_WINDOW)?;
    let time = counting_time(&params)?;
    let (reader, mut tx) = state.begin(&head).await?;
    let servers = OtherServers::of(&state.pools, &reader.read_as);
    plan_sums(&mut tx).await?;
    let (since, until, seconds) = window(&mut tx, &filter).await?;
    if servers.has_some() {
        // Their clocks may differ.
        filter.since = Some(TimeBound::At(since.clone()));
        filter.until = filter.until.map(|_| TimeBound::At(until.clone()));
    }
    let wide_enough = |bucket: &&u64| seconds / POINTS <= **bucket as f64;
    let bucket = *BUCKETS.iter().find(wide_enough).unwrap_or(&BUCKETS[10]);
    let parts = Counting::InTime(&STATS_PARTS);
    let mut counted = CountedStore::count(&mut tx, servers, &filter, parts, time).await?;
    let sums = loop {
        let sums = stats_of(&mut tx, servers, &counted, bucket).await;
        match counted.fewer(&sums) {
            Some(time) => {
                let newest = Counting::Newest;
                counted = CountedStore::count(&mut tx, servers, &filter, newest, time).await?;
            }
            None => break sums?,
        }
    };
    let counted = counted.first;
    let statements = stats_statements(&counted.by_filter(), bucket);
    let sql = json!({
        "runs": statements.runs.for_psql(),
        "tools": statements.tools.for_psql(),
        "errors": statements.errors.for_psql(),
    });
    let body = format!(
        "{{\"since\":{},\"until\":{},\"bucket_s\":{bucket},\"counted_back_to\":{}{sums},\"sql\":{sql}}}",
        Value::from(since),
        Value::from(until),
        Value::from(counted.back_to)
    );
    Ok(json_answer(StatusCode::OK, body))
}

/// The sums of statistics over all servers, as members of a JSON object.
async fn stats_of(
    conn: &mut PgConnection,
    servers: OtherServers<'_>,
    counted: &CountedStore,
    bucket: u64,
) -> Result<String, sqlx::Error> {
    let parts = stats_sums(&counted.first, bucket);
    let all = counted.with_others(servers, &parts, COUNTING_TIMEOUT);
    let statements = stats_statements(&all.await?, bucket);
    let mut part = briefly(conn, COUNTING_TIMEOUT).await?;
    let sums = stats_members(&mut part, &statements).await;
    part.rollback().await?;
    sums
}

/// The sums of statistics, as members of a JSON object.
async fn stats_members(
    conn: &mut PgConnection,
    statements: &StatsStatements,
) -> Result<String, sqlx::Error> {
    let sums = statements.runs.json_row(conn).await?;
    let sums = sums.ok_or(sqlx::Error::RowNotFound)?;
    let RunSums {
        totals,
        series,
        agents,
        models,
        mut more,
    } = serde_json::from_str(&sums).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut members = String::with_capacity(sums.len() + 1024);
    for (name, list) in [
        ("totals", totals),
        ("series", series),
        ("agents", agents),
        ("models", models),
    ] {
        members.push_str(&format!(",\"{name}\":{list}"));
    }
    for (name, statement) in [("tools", &statements.tools), ("errors", &statements.errors)] {
        let (rows, cut) = first_rows(statement.json_rows(conn).await?, STATS_ROWS);
        members.push_str(&format!(",\"{name}\":[{rows}]"));
        more.insert(name.to_owned(), Value::from(cut));
    }
    members.push_str(&format!(",\"more\":{}", Value::from(more)));
    Ok(members)
}

/// How long runs may be counted that no sums have.
fn counting_time(params: &Params) -> Result<Duration, WebError> {
    let Some(text) = params.get("wait") else {
        return Ok(DEFAULT_COUNTING);
    };
    let time =
        age(text).ok_or_else(|| WebError::BadRequest("wait is not a time like 5s".to_owned()))?;
    Ok(time.clamp(DEFAULT_COUNTING, MAX_COUNTING))
}

/// What the statement of runs gives. Numbers stay as the database writes them.
#[derive(Deserialize)]
struct RunSums<'a> {
    #[serde(borrow)]
    totals: &'a RawValue,
    #[serde(borrow)]
    series: &'a RawValue,
    #[serde(borrow)]
    agents: &'a RawValue,
    #[serde(borrow)]
    models: &'a RawValue,
    more: Map<String, Value>,
}

/// The first rows of a list with commas between them, and whether there are more.
fn first_rows(mut rows: Vec<String>, most: usize) -> (String, bool) {
    let more = rows.len() > most;
    rows.truncate(most);
    (rows.join(","), more)
}

/// The ends of a window as times, and its length in seconds.
async fn window(
    conn: &mut PgConnection,
    filter: &RunSearch,
) -> Result<(String, String, f64), WebError> {
    let mut sql = SqlText::new(
        "SELECT to_json(w.since) #>> '{}' AS since, to_json(w.until) #>> '{}' AS until, \
         extract(epoch FROM w.until - w.since)::double precision AS seconds FROM (SELECT ",
    );
    for (bound, name) in [(&filter.since, " AS since, "), (&filter.until, " AS until")] {
        match bound {
            Some(TimeBound::At(time)) => sql.bind(time, "timestamptz"),
            Some(TimeBound::Ago(age)) => sql
                .push("now() - ")
                .bind(&format!("{} seconds", age.as_secs()), "interval"),
            None => sql.push("now()"),
        };
        sql.push(name);
    }
    sql.push(") AS w");
    let rows = sql.rows(conn).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok((
        row.try_get("since")?,
        row.try_get("until")?,
        row.try_get("seconds")?,
    ))
}

/// `GET /api/cost`.
pub(super) async fn cost(State(state): Shared, request: Request) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let params = Params::of(head.uri.query())?;
    let mut filter = filter(&params, DEFAULT_COST_WINDOW)?;
    let by = CostBy::named(params.get("by").unwrap_or("agent")).ok_or_else(|| {
        WebError::BadRequest(
            "by is not one of agent, model, session, customer, user, day".to_owned(),
        )
    })?;
    let time = counting_time(&params)?;
    let (reader, mut tx) = state.begin(&head).await?;
    let servers = OtherServers::of(&state.pools, &reader.read_as);
    plan_sums(&mut tx).await?;
    if servers.has_some() {
        let (since, until, _) = window(&mut tx, &filter).await?;
        filter.since = Some(TimeBound::At(since));
        filter.until = filter.until.map(|_| TimeBound::At(until));
    }
    let parts = by.parts();
    let parts = Counting::InTime(&parts);
    let mut counted = CountedStore::count(&mut tx, servers, &filter, parts, time).await?;
    let (costs, unpriced) = loop {
        let costs = costs_of(&mut tx, servers, by, &counted).await;
        match counted.fewer(&costs) {
            Some(time) => {
                let newest = Counting::Newest;
                counted = CountedStore::count(&mut tx, servers, &filter, newest, time).await?;
            }
            None => break costs?,
        }
    };
    let counted = counted.first;
    let (unpriced, more_unpriced) = first_rows(unpriced, UNPRICED_ROWS);
    let body = format!(
        "{{\"counted_back_to\":{},\"totals\":{},\"rows\":[{}],\"unpriced\":[{unpriced}],\"more\":{},\"sql\":{}}}",
        Value::from(counted.back_to.clone()),
        costs.totals,
        costs.rows.join(","),
        json!({ "rows": costs.more, "unpriced": more_unpriced }),
        Value::from(cost_statement(by, &counted.by_filter()).for_psql())
    );
    Ok(json_answer(StatusCode::OK, body))
}

/// Costs, and the models without a price.
async fn costs_of(
    conn: &mut PgConnection,
    servers: OtherServers<'_>,
    by: CostBy,
    counted: &CountedStore,
) -> Result<(CostTable, Vec<String>), sqlx::Error> {
    let parts = by.sums_parts();
    let all = counted.with_others(servers, &parts, COUNTING_TIMEOUT);
    let all = all.await?;
    let mut part = briefly(conn, COUNTING_TIMEOUT).await?;
    let found = async {
        let costs = CostTable::read(&mut part, &cost_statement(by, &all)).await?;
        let unpriced = unpriced_statement(&all).json_rows(&mut part).await?;
        Ok((costs, unpriced))
    }
    .await;
    part.rollback().await?;
    found
}

/// `GET /api/facets`.
pub(super) async fn facets(State(state): Shared, request: Request) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let reader = state.reader(&head)?;
    let statement = FacetsStatement::of(&state.pools);
    let mut facets = statement.read(&state.pools, &reader.read_as).await?;
    // A role that only writes traces may not read names.
    let (_, mut tx) = state.begin(&head).await?;
    let names = customer_names_statement().json_rows(&mut tx).await;
    let names: Vec<Value> = names
        .unwrap_or_default()
        .iter()
        .filter_map(|row| serde_json::from_str(row).ok())
        .collect();
    if let Some(customers) = facets["customers"].as_array_mut() {
        for customer in customers {
            let name = names.iter().find(|name| name["id"] == *customer);
            let name = name.map_or(Value::Null, |name| name["name"].clone());
            *customer = json!({ "id": customer.take(), "name": name });
        }
    }
    facets["sql"] = Value::from(statement.sql.for_psql());
    Ok(json_answer(StatusCode::OK, facets.to_string()))
}
