//! The runs of a filter as far back as they can be counted in time.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use sqlx::PgConnection;
use uuid::Uuid;

use super::counted_store::TooManySums;
use super::run_pieces::{Found, took_too_long};
use super::run_search::{RunOrder, RunPlace, RunSearch, TimeBound};
use super::sums::{POINTS, SumsPart, has_sums};

/// Of the time that an answer may take, a search for runs has this part. The rest is for their sums.
const SEARCH_SHARE: f64 = 0.4;
/// Runs that can be summed up in a millisecond of the whole time.
const RUNS_PER_MS: u128 = 4;
/// How long the first attempt has to count runs whose sums took too long.
const FIRST_ATTEMPT: Duration = Duration::from_secs(1);
/// Nobody counts in less time.
const LAST_ATTEMPT: Duration = Duration::from_millis(50);

/// The runs that sums are made of.
#[derive(Clone, Debug)]
pub struct CountedRuns {
    /// Selects them. If not all could be counted, `since` is how far back they were.
    pub filter: RunSearch,
    /// Their ids as an array; `None`: the database finds them by the filter, or has sums of them.
    pub(super) ids: Option<String>,
    /// How far back they are counted; `None`: all are.
    pub back_to: Option<String>,
    /// The time in which they were to be counted; `None`: any.
    time: Option<Duration>,
    /// Of `ids`, only runs since this time count.
    pub(super) ids_since: Option<String>,
    /// Another server of the store has no sums by time alone.
    without_points: bool,
    /// What the other servers of the store have of each part: rows of `run_sums` as JSON.
    pub(super) others: Vec<(SumsPart, String)>,
}

impl CountedRuns {
    /// All runs of a filter, however long that takes.
    #[must_use]
    pub fn all(filter: RunSearch) -> Self {
        Self {
            filter,
            ids: None,
            back_to: None,
            time: None,
            ids_since: None,
            without_points: false,
            others: Vec::new(),
        }
    }

    /// Adds what another server has handed over of these parts.
    pub fn add(&mut self, parts: &[SumsPart], sums: Vec<String>) {
        self.others.extend(parts.iter().copied().zip(sums));
    }

    /// Whether the database finds the runs by the filter.
    pub(super) fn has_no_ids(&self) -> bool {
        self.ids.is_none()
    }

    /// Whether there are sums by time alone, of all agents.
    pub(super) fn has_points(&self) -> bool {
        self.has_no_ids() && !self.without_points && has_sums(POINTS, &self.filter)
    }

    /// Whether they are to be counted in less time than others.
    pub(super) fn has_less_time_than(&self, other: &Self) -> bool {
        let time = |counted: &Self| counted.time.unwrap_or(Duration::MAX);
        time(self) < time(other)
    }

    /// Lets the runs go back no further than those of other servers, and take sums by time alone only if all do.
    pub(super) fn align(&mut self, back_to: Option<&str>, by_sums: bool) {
        self.without_points = !by_sums;
        if let Some(back_to) = back_to.filter(|time| self.back_to.as_deref() != Some(*time)) {
            self.filter.since = Some(TimeBound::At(back_to.to_owned()));
            self.back_to = Some(back_to.to_owned());
            self.ids_since = self.back_to.clone();
        }
    }

    /// The same runs by their filter, for people who read the statements.
    #[must_use]
    pub fn by_filter(&self) -> Self {
        Self::all(self.filter.clone())
    }

    /// How much time the next attempt to count has, if this one took too long. `None`: it did not, or less cannot be
    /// counted.
    pub fn fewer<T>(&self, attempt: &Result<T, sqlx::Error>) -> Option<Duration> {
        let error = attempt.as_ref().err()?;
        let is_too_much = match error {
            sqlx::Error::Decode(cause) => cause.is::<TooManySums>(),
            error => took_too_long(error),
        };
        is_too_much.then_some(())?;
        match self.time {
            None => Some(FIRST_ATTEMPT),
            Some(time) => (time > LAST_ATTEMPT).then(|| time / 4),
        }
    }

    /// Runs of a filter: all if the database has sums of `parts` that this reader may use, and otherwise those that can
    /// be counted in time.
    ///
    /// # Errors
    /// If a statement fails.
    pub async fn in_time(
        conn: &mut PgConnection,
        filter: &RunSearch,
        parts: &[&str],
        time: Duration,
    ) -> Result<Self, sqlx::Error> {
        let known = parts.iter().all(|part| has_sums(part, filter));
        if known {
            // Who sees some of the runs of several customers has no sums, and those of a customer are not by model.
            let owner: Option<Uuid> = sqlx::query_scalar("SELECT public.run_sums_owner()")
                .fetch_one(&mut *conn)
                .await?;
            if owner.is_some_and(|owner| owner.is_nil() || filter.model.is_empty()) {
                return Ok(Self::all(filter.clone()));
            }
        }
        Self::newest(conn, filter, time).await
    }

    /// The newest runs of a filter, as many as can be counted in time.
    ///
    /// # Errors
    /// If a statement fails.
    pub async fn newest(
        conn: &mut PgConnection,
        filter: &RunSearch,
        time: Duration,
    ) -> Result<Self, sqlx::Error> {
        let most = usize::try_from(time.as_millis() * RUNS_PER_MS).unwrap_or(usize::MAX);
        let search = RunSearch {
            order: RunOrder::Started,
            ascending: false,
            after: None,
            limit: most,
            ..filter.clone()
        };
        let found = search.search(conn, time.mul_f64(SEARCH_SHARE)).await?;
        let counted = Self::found(filter, found, most);
        Ok(Self {
            time: Some(time),
            ..counted
        })
    }

    fn found(filter: &RunSearch, found: Found, most: usize) -> Self {
        let Found {
            places, searched, ..
        } = found;
        // Behind this place nothing is counted, and nothing of the very same time.
        let end = places.get(most).cloned().or(searched);
        let back_to = end.as_ref().and_then(after);
        let is_counted = |place: &&RunPlace| {
            let not_later = match (&place.key, end.as_ref().and_then(|end| end.key.as_ref())) {
                (Some(key), Some(end)) => key == end,
                (key, _) => key.is_none(),
            };
            !not_later
        };
        let counted = places.iter().take(most).filter(is_counted);
        let ids: Vec<String> = counted.map(|place| place.id.to_string()).collect();
        let mut filter = filter.clone();
        if let Some(back_to) = &back_to {
            filter.since = Some(TimeBound::At(back_to.clone()));
        }
        Self {
            ids: Some(format!("{{{}}}", ids.join(","))),
            back_to,
            ..Self::all(filter)
        }
    }
}

/// The earliest time that is later than a place.
fn after(place: &RunPlace) -> Option<String> {
    let key = place.key.as_ref()?;
    let time: Option<Timestamp> = key.parse().ok();
    let later = time.and_then(|time| time.checked_add(1.microsecond()).ok());
    Some(later.map_or_else(|| key.clone(), |time| time.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(second: u32, id: u128) -> RunPlace {
        RunPlace {
            key: Some(format!("2026-01-01T00:00:{second:02}+00:00")),
            id: Uuid::from_u128(id),
        }
    }

    fn counted(
        places: Vec<RunPlace>,
        searched: Option<RunPlace>,
        most: usize,
    ) -> (usize, Option<String>) {
        let found = Found {
            places,
            searched,
            looked: 0,
        };
        let counted = CountedRuns::found(&RunSearch::default(), found, most);
        let ids = counted.ids.unwrap();
        let ids = ids
            .trim_matches(['{', '}'])
            .split(',')
            .filter(|id| !id.is_empty());
        (ids.count(), counted.back_to)
    }

    #[test]
    fn what_is_counted_ends_at_a_time_before_which_nothing_is() {
        let runs = || vec![place(9, 1), place(8, 2), place(7, 3), place(7, 4)];
        assert_eq!(counted(runs(), None, 10), (4, None));
        // The search has come to second 5.
        let back_to = Some("2026-01-01T00:00:05.000001Z".to_owned());
        assert_eq!(counted(runs(), Some(place(5, 9)), 10), (4, back_to));
        // Two runs have the same time, and only one could be counted.
        let back_to = Some("2026-01-01T00:00:07.000001Z".to_owned());
        assert_eq!(counted(runs(), None, 3), (2, back_to));
        // A live run whose start nobody knows is in no sum.
        let unknown = RunPlace {
            key: None,
            id: Uuid::from_u128(5),
        };
        assert_eq!(counted(vec![unknown, place(9, 1)], None, 10), (1, None));
    }
}
