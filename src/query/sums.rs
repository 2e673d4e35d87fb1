//! Where sums over the runs of a filter come from: rows of `run_sums`, as functions of the database give them.

use super::counted_runs::CountedRuns;
use super::run_search::{RunOrder, RunSearch, push_time};
use super::sql_text::SqlText;

/// The width of the rows of `run_sums`, in seconds.
pub(super) const QUARTER_S: u64 = 900;
/// The part that has a row for each time, and no agents.
pub(super) const POINTS: &str = "points";
/// The part that does not tell which models the runs call.
const ACCOUNTS: &str = "accounts";

/// The rows of one part, such as `runs`, by times of a width; without one, the time does not matter. Filters that
/// `run_sums` does not know need the runs themselves, and so do times that are narrower than those of the sums.
pub(super) fn sums(part: &str, runs: &CountedRuns, width_s: Option<u64>) -> SqlText {
    let mut sql = SqlText::default();
    let width = width_s.unwrap_or(QUARTER_S);
    let filter = &runs.filter;
    if let Some(ids) = &runs.ids {
        sql.push("public.run_sums_of(").bind(ids, "uuid[]");
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
