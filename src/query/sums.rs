//! Where sums over the runs of a window come from: rows of `run_sums`, as functions of the database give them.

use super::run_search::{RunSearch, push_time};
use super::sql_text::SqlText;

/// The width of the rows of `run_sums`, in seconds.
pub(super) const QUARTER_S: u64 = 900;
/// The part that has a row for each time.
pub(super) const POINTS: &str = "points";

/// The rows of one part, such as `runs`, over the runs of `filter`. Points are by times of a width; in the
/// others the time does not matter. Filters other than by time need the runs themselves, and so do points
/// that are narrower than those of the sums.
pub(super) fn sums(part: &str, filter: &RunSearch, width_s: u64) -> SqlText {
    let mut sql = SqlText::default();
    if is_window(filter) && (part != POINTS || width_s >= QUARTER_S) {
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
        sql.push(&format!(", '{part}', {})", part != POINTS));
        return sql;
    }
    sql.push(
        "public.run_sums_of(ARRAY(\n    SELECT r.id FROM agent_runs AS r WHERE r.started_at IS NOT NULL",
    )
    .append(&filter.narrow(None))
    .append(&filter.conditions())
    .push(&format!("\n  ), '{part}', '{width_s} seconds', false)"));
    sql
}

/// Whether runs are selected by their start alone.
pub(super) fn is_window(filter: &RunSearch) -> bool {
    let window = RunSearch {
        since: filter.since.clone(),
        until: filter.until.clone(),
        order: filter.order,
        ascending: filter.ascending,
        limit: filter.limit,
        after: filter.after.clone(),
        ..RunSearch::default()
    };
    *filter == window
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_a_window_are_looked_up_and_those_of_a_filter_made() {
        let mut filter = RunSearch::default();
        let is_kept = |part, filter: &RunSearch, width| {
            let sql = sums(part, filter, width).for_psql();
            sql.contains("run_sums_between(")
        };
        assert!(is_kept("runs", &filter, 60) && is_kept(POINTS, &filter, QUARTER_S));
        assert!(!is_kept(POINTS, &filter, 60));
        filter.agent = vec!["a".to_owned()];
        assert!(!is_kept("runs", &filter, 60) && !is_kept(POINTS, &filter, QUARTER_S));
    }
}
