//! Lists of several servers, sorted by time, as one list.

use std::cmp::Ordering;

use serde::Deserialize;
use uuid::Uuid;

use super::key_order::TimeKey;

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsByTime {
    /// Runs by their start. Those without a known one come last.
    Runs,
    /// Messages by their time, their number, and their id.
    Messages,
    /// Approvals, the oldest request first. Those without a time come first.
    OldestApprovals,
    /// The other way round.
    NewestApprovals,
}

/// What a row is sorted by, whatever it is a row of.
#[derive(Debug, Deserialize)]
struct RowKey {
    at: Option<String>,
    started_at: Option<String>,
    created_at: Option<String>,
    seq: Option<i64>,
    id: Option<Uuid>,
    run_id: Option<Uuid>,
}

impl RowKey {
    fn compare(&self, other: &Self, order: RowsByTime) -> Ordering {
        let key = |row: &'_ Self| (row.seq.unwrap_or(-1), row.id.or(row.run_id));
        self.time(order)
            .cmp(&other.time(order))
            .then_with(|| key(self).cmp(&key(other)))
    }

    fn time(&self, order: RowsByTime) -> TimeKey<'_> {
        let at = match order {
            RowsByTime::Runs => &self.started_at,
            RowsByTime::Messages => &self.at,
            RowsByTime::OldestApprovals | RowsByTime::NewestApprovals => &self.created_at,
        };
        match (at, order) {
            (None, RowsByTime::OldestApprovals | RowsByTime::NewestApprovals) => TimeKey::Earliest,
            (at, _) => TimeKey::of(at.as_deref()),
        }
    }
}

impl RowsByTime {
    /// The first rows of all these lists, each of which has this order.
    ///
    /// # Errors
    /// If a row is no row of such a list.
    pub fn merged(
        self,
        mut lists: Vec<Vec<String>>,
        limit: usize,
    ) -> Result<Vec<String>, sqlx::Error> {
        if lists.len() == 1 {
            return Ok(lists.pop().unwrap_or_default());
        }
        let rows = lists.into_iter().flatten();
        let keyed = rows.map(|row| Ok((serde_json::from_str::<RowKey>(&row)?, row)));
        let mut keyed = keyed
            .collect::<Result<Vec<_>, serde_json::Error>>()
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        keyed.sort_by(|(one, _), (other, _)| {
            let order = one.compare(other, self);
            match self {
                Self::NewestApprovals => order.reverse(),
                _ => order,
            }
        });
        keyed.truncate(limit);
        Ok(keyed.into_iter().map(|(_, row)| row).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(
        order: RowsByTime,
        column: &str,
        lists: &[&[(Option<&str>, i64, u128)]],
    ) -> Vec<u128> {
        let row = |(at, seq, id): &(Option<&str>, i64, u128)| {
            json!({ column: at, "seq": seq, "id": Uuid::from_u128(*id) }).to_string()
        };
        let lists = lists
            .iter()
            .map(|list| list.iter().map(row).collect())
            .collect();
        let rows = order.merged(lists, 4).unwrap();
        rows.iter()
            .map(|row| {
                serde_json::from_str::<RowKey>(row)
                    .unwrap()
                    .id
                    .unwrap()
                    .as_u128()
            })
            .collect()
    }

    #[test]
    fn rows_of_all_servers_have_one_order() {
        let (one, two) = (
            Some("2026-01-01T00:00:01+00:00"),
            Some("2026-01-01T00:00:01.5+00:00"),
        );
        let lists: [&[_]; 2] = [&[(one, 1, 1), (one, 3, 2)], &[(one, 2, 4), (two, 0, 3)]];
        assert_eq!(merged(RowsByTime::Messages, "at", &lists), [1, 4, 2, 3]);
        let lists: [&[_]; 2] = [
            &[(one, 0, 1), (None, 0, 2)],
            &[(two, 0, 3), (None, 0, 4), (None, 0, 5)],
        ];
        assert_eq!(merged(RowsByTime::Runs, "started_at", &lists), [1, 3, 2, 4]);
        let lists: [&[_]; 2] = [&[(None, 0, 2), (one, 0, 1)], &[(two, 0, 3)]];
        let oldest = merged(RowsByTime::OldestApprovals, "created_at", &lists);
        assert_eq!(oldest, [2, 1, 3]);
        let newest = merged(RowsByTime::NewestApprovals, "created_at", &lists);
        assert_eq!(newest, [3, 1, 2]);
    }
}
