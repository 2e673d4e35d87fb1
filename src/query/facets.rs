//! Values of filters, from the latest runs of each server.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::read_pool::ReadAs;
use super::read_pools::ReadPools;
use super::run_list::TAGS;
use super::sql_text::SqlText;
use super::stats::STATS_ROWS;

/// Runs from which the values come.
const FACET_RUNS: usize = 2_000;

/// The statement that each server is asked.
#[derive(Clone, Debug)]
pub struct FacetsStatement {
    /// One row: a list for each filter, with the most frequent values first.
    pub sql: SqlText,
}

/// Values of one server, each with the number of runs, steps or tags that have it.
type Counts = Vec<(String, u64)>;

impl FacetsStatement {
    /// That of a store. Several servers say also how often each value is there.
    #[must_use]
    pub fn of(pools: &ReadPools) -> Self {
        let value = match pools.all().len() {
            1 => "v.value",
            _ => "json_build_array(v.value, v.n)",
        };
        Self {
            sql: facets_statement(value),
        }
    }

    /// The values as a JSON object.
    ///
    /// # Errors
    /// If a server cannot be read.
    pub async fn read(&self, pools: &ReadPools, reader: &ReadAs) -> Result<Value, sqlx::Error> {
        let found = pools.each(|pool| async move {
            let mut tx = pool.begin_shared(reader).await?;
            let row = self.sql.json_row(&mut tx).await?;
            Ok::<_, sqlx::Error>(row.unwrap_or_default())
        });
        let rows = found.await?;
        if let [row] = rows.as_slice() {
            return Ok(serde_json::from_str(row).unwrap_or_default());
        }
        let servers = rows.iter().map(|row| serde_json::from_str(row));
        let servers: Result<Vec<_>, serde_json::Error> = servers.collect();
        Ok(merged(
            servers.map_err(|error| sqlx::Error::Decode(error.into()))?,
        ))
    }
}

/// The most frequent values of all servers.
fn merged(servers: Vec<HashMap<String, Counts>>) -> Value {
    let mut lists: HashMap<String, HashMap<String, u64>> = HashMap::new();
    for (name, counts) in servers.into_iter().flatten() {
        let list = lists.entry(name).or_default();
        for (value, count) in counts {
            *list.entry(value).or_default() += count;
        }
    }
    let ranked = lists.into_iter().map(|(name, counts)| {
        let mut values: Counts = counts.into_iter().collect();
        values.sort_by(|(one, count), (other, of_other)| {
            of_other.cmp(count).then_with(|| one.cmp(other))
        });
        let first = values.into_iter().take(STATS_ROWS);
        (name, first.map(|(value, _)| Value::from(value)).collect())
    });
    Value::Object(ranked.collect::<Map<_, _>>())
}

/// `value`: what a list has of each of its values `AS v`.
fn facets_statement(value: &str) -> SqlText {
    let most = |select: &str, from: &str| {
        format!(
            "(SELECT coalesce(json_agg({value} ORDER BY v.n DESC, v.value), '[]') FROM (\
             SELECT {select} AS value, count(*) AS n FROM latest AS r{from} \
             GROUP BY 1 HAVING {select} IS NOT NULL ORDER BY 2 DESC, 1 LIMIT {STATS_ROWS}) AS v)"
        )
    };
    let agents = most("r.agent_id", "");
    let models = most(
        "t.model",
        " JOIN agent_steps AS t ON t.run_id = r.id AND t.model IS NOT NULL",
    );
    let tools = most(
        "t.name",
        " JOIN agent_steps AS t ON t.run_id = r.id AND t.step_type = 'tool_call'",
    );
    let customers = most("r.customer_id", "");
    let tags = most(
        "t.tag",
        " CROSS JOIN LATERAL jsonb_array_elements_text(r.tags) AS t (tag)",
    );
    SqlText::new(&format!(
        "WITH latest AS MATERIALIZED (\n  SELECT r.id, r.agent_id, r.customer_id, {} AS tags\n  FROM agent_runs AS r\n  \
         WHERE r.started_at IS NOT NULL ORDER BY r.started_at DESC LIMIT {FACET_RUNS}\n)\n\
         SELECT {agents} AS agents,\n  {models} AS models,\n  {tools} AS tools,\n  {customers} AS customers,\n  {tags} AS tags",
        TAGS
    ))
}

/// Names of customers.
#[must_use]
pub fn customer_names_statement() -> SqlText {
    SqlText::new("SELECT c.id, c.name FROM customer_names() AS c ORDER BY c.name LIMIT 1000")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_all_servers_are_ranked_by_how_often_they_are_there() {
        let server = |counts: &[(&str, u64)]| {
            let counts = counts.iter().map(|(value, n)| ((*value).to_owned(), *n));
            HashMap::from([("agents".to_owned(), counts.collect())])
        };
        let both = vec![
            server(&[("a", 5), ("b", 2), ("d", 1)]),
            server(&[("c", 6), ("b", 4)]),
        ];
        assert_eq!(merged(both), json!({ "agents": ["b", "c", "a", "d"] }));
    }
}
