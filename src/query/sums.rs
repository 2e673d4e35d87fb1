//! Where sums over the runs of a filter come from: rows of `run_sums`, as functions of the database give them.

use super::costs::CostBy;
use super::counted_runs::CountedRuns;
use super::run_search::{RunOrder, RunSearch, push_time};
use super::sql_text::SqlText;

/// The width of the rows of `run_sums`, in seconds.
pub(super) const QUARTER_S: u64 = 900;
/// The part that has a row for each time, and no agents.
pub(super) const POINTS: &str = "points";
/// The part that does not tell which models the runs call.
pub(super) const ACCOUNTS: &str = "accounts";

/// The most rows of one part that a server of a store hands over to the first.
pub(super) const MOST_ROWS: i64 = 100_000;

/// Sums that one statement needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumsPart {
    pub(super) part: &'static str,
    pub(super) width_s: Option<u64>,
    /// What it sums them by; `None`: by all that there is.
    pub(super) by: Option<CostBy>,
}

/// The statement that gives the sums of one part on one server as JSON, and how many they are, at most one more than `most_rows`.
pub(super) fn handed_over_statement(part: SumsPart, runs: &CountedRuns, most_rows: i64) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT count(*) AS count, coalesce(json_agg(json_strip_nulls(row_to_json(q))), '[]')::text AS sums\nFROM (\n  ",
    );
    let sums = own_sums(part.part, runs, part.width_s);
    // There are as many accounts as sessions, so these are summed up here.
    match part.by.filter(|_| part.part == ACCOUNTS) {
        Some(by) => sql.append(&by.accounts(&sums)),
        None => sql.push("SELECT s.* FROM ").append(&sums).push(" AS s"),
    };
    sql.push(&format!("\n  LIMIT {}\n) AS q", most_rows + 1));
    sql
}

/// The rows of one part, also those that other servers have handed over.
pub(super) fn sums(part: &str, runs: &CountedRuns, width_s: Option<u64>) -> SqlText {
    let own = own_sums(part, runs, width_s);
    if runs.others.is_empty() {
        return own;
    }
    let mut sql = SqlText::new("(\n    SELECT s.* FROM ");
    sql.append(&own).push(" AS s");
    let is_asked = |one: &SumsPart| one.part == part && one.width_s == width_s;
    for (_, rows) in runs.others.iter().filter(|(one, _)| is_asked(one)) {
        sql.push(
            "\n    UNION ALL SELECT o.* FROM jsonb_populate_recordset(NULL::public.run_sums, ",
        )
        .bind(rows, "jsonb")
        .push(") AS o");
    }
    sql.push("\n  )");
    sql
}

/// The rows of one part, such as `runs`, by times of a width; without one, the time does not matter. Filters that
/// `run_sums` does not know need the runs themselves, and so do times that are narrower than those of the sums.
fn own_sums(part: &str, runs: &CountedRuns, width_s: Option<u64>) -> SqlText {
    let mut sql = SqlText::default();
    let width = width_s.unwrap_or(QUARTER_S);
    let filter = &runs.filter;
    if let Some(ids) = &runs.ids {
        sql.push("public.run_sums_of(");
        match &runs.ids_since {
            None => sql.bind(ids, "uuid[]"),
            Some(since) => sql
                .push("ARRAY(\n    SELECT r.id FROM agent_runs AS r WHERE r.started_at >= ")
                .bind(since, "timestamptz")
                .push(" AND r.id = ANY (")
                .bind(ids, "uuid[]")
                .push(")\n  )"),
        };
    } else if has_sums(part, filter) && width >= QUARTER_S {
        sql.push("public.run_sums_between(");
        match &filter.since {
            Some(since) => push_time(&mut sql, since),
            None => _ = sql.push("'-infinity'"),
        }
        sql.push(", ");
        match &filter.until {
            Some(until) => push_time(&mut sql, until),
            None => _ = sql.push("'infinity'"),
        }
        sql.push(&format!(", '{part}', {}", width_s.is_none()));
        named(&mut sql, ", agents => ARRAY[", &filter.agent, "]");
        named(&mut sql, ", model => ", &filter.model, "");
        named(&mut sql, ", statuses => ARRAY[", &filter.status, "]");
        sql.push(")");
        return sql;
    } else {
        sql.push("public.run_sums_of(ARRAY(\n    SELECT r.id FROM agent_runs AS r WHERE r.started_at IS NOT NULL")
            .append(&filter.narrow(None))
            .append(&filter.conditions())
            .push("\n  )");
    }
    sql.push(&format!(", '{part}', '{width} seconds', false)"));
    sql
}

fn named(sql: &mut SqlText, before: &str, values: &[String], after: &str) {
    for (index, value) in values.iter().enumerate() {
        sql.push(if index == 0 { before } else { ", " })
            .bind(value, "text");
    }
    if !values.is_empty() {
        sql.push(after);
    }
}

/// Whether `run_sums` has sums of one part over the runs of a filter.
pub(super) fn has_sums(part: &str, filter: &RunSearch) -> bool {
    // Runs that call two models are in the sums of both.
    let models = if part == ACCOUNTS { 0 } else { 1 };
    let with_agents = part != POINTS || filter.agent.is_empty();
    let known = RunSearch {
        since: filter.since.clone(),
        until: filter.until.clone(),
        agent: filter.agent.clone(),
        model: filter.model.clone(),
        status: filter.status.clone(),
        ..RunSearch::default()
    };
    let asked = RunSearch {
        order: RunOrder::default(),
        ascending: false,
        limit: 0,
        after: None,
        ..filter.clone()
    };
    with_agents && filter.model.len() <= models && known == asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_are_kept_are_looked_up_and_others_made() {
        let is_kept = |part, filter: &RunSearch, width| {
            let runs = CountedRuns::all(filter.clone());
            let sql = sums(part, &runs, width).for_psql();
            sql.contains("run_sums_between(")
        };
        let mut filter = RunSearch {
            limit: 50,
            ..RunSearch::default()
        };
        assert!(is_kept("runs", &filter, None) && is_kept(POINTS, &filter, Some(QUARTER_S)));
        assert!(!is_kept(POINTS, &filter, Some(60)));
        filter.agent = vec!["a".to_owned(), "b".to_owned()];
        filter.status = vec!["failed".to_owned()];
        filter.model = vec!["m".to_owned()];
        assert!(
            is_kept("runs", &filter, Some(QUARTER_S)) && !is_kept(POINTS, &filter, Some(QUARTER_S))
        );
        assert!(!is_kept(ACCOUNTS, &filter, None));
        let sql = sums("tools", &CountedRuns::all(filter.clone()), None).for_psql();
        let named = "'tools', true, agents => ARRAY['a'::text, 'b'::text], model => 'm'::text, statuses => ARRAY['failed'::text])";
        assert!(sql.ends_with(named), "{sql}");
        filter.model.push("n".to_owned());
        assert!(!is_kept("runs", &filter, None));
        filter.model.clear();
        filter.tool = vec!["t".to_owned()];
        assert!(!is_kept("runs", &filter, None));
    }
}
