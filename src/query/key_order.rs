//! The order of sort keys that Postgres gave as text: the same in which it sorts their values.

use std::cmp::{Ordering, Reverse};

use super::run_search::{RunOrder, RunPlace, RunSearch};

/// A time, in the order of Postgres. NULL comes last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimeKey<'a> {
    Earliest,
    /// The year, and the rest as text: all texts are in UTC, so their characters compare as the times do.
    At(i64, &'a str),
    Latest,
    Unknown,
}

impl<'a> TimeKey<'a> {
    /// The key of a time as JSON has it.
    pub(super) fn of(text: Option<&'a str>) -> Self {
        let Some(text) = text else {
            return Self::Unknown;
        };
        match text {
            "-infinity" => return Self::Earliest,
            "infinity" => return Self::Latest,
            _ => {}
        }
        let before_christ = text.strip_suffix(" BC");
        let (year, rest) = before_christ
            .unwrap_or(text)
            .split_once('-')
            .unwrap_or((text, ""));
        let year: i64 = year.parse().unwrap_or(0);
        let year = if before_christ.is_some() {
            1 - year
        } else {
            year
        };
        Self::At(year, rest)
    }
}

/// Digits before the point, their number first, and those behind it.
type Digits<'a> = (usize, &'a str, &'a str);

/// A number, in the order of Postgres. NULL comes last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NumberKey<'a> {
    Lowest,
    Negative(Reverse<Digits<'a>>),
    Positive(Digits<'a>),
    Highest,
    NoNumber,
    Unknown,
}

impl<'a> NumberKey<'a> {
    fn of(text: Option<&'a str>) -> Self {
        let digits = |text: &'a str| {
            let (whole, part) = text.split_once('.').unwrap_or((text, ""));
            let whole = whole.trim_start_matches('0');
            (whole.len(), whole, part.trim_end_matches('0'))
        };
        match text {
            None => Self::Unknown,
            Some("-Infinity") => Self::Lowest,
            Some("Infinity") => Self::Highest,
            Some("NaN") => Self::NoNumber,
            Some(text) => match text.strip_prefix('-') {
                Some(text) => Self::Negative(Reverse(digits(text))),
                None => Self::Positive(digits(text)),
            },
        }
    }
}

impl RunSearch {
    /// Which of two places comes first in the list.
    pub(super) fn compare(&self, one: &RunPlace, other: &RunPlace) -> Ordering {
        let (key, of_other) = (one.key.as_deref(), other.key.as_deref());
        let order = match self.order {
            RunOrder::Started => TimeKey::of(key).cmp(&TimeKey::of(of_other)),
            RunOrder::Duration | RunOrder::Tokens | RunOrder::Cost => {
                NumberKey::of(key).cmp(&NumberKey::of(of_other))
            }
        };
        let order = order.then(one.id.cmp(&other.id));
        match self.ascending {
            true => order,
            false => order.reverse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn times_have_the_order_that_postgres_gives_them() {
        let in_order = [
            Some("-infinity"),
            Some("0044-03-15T00:00:00+00:00 BC"),
            Some("0001-12-31T00:00:00+00:00 BC"),
            Some("0001-01-01T00:00:00+00:00"),
            Some("2026-01-01T00:00:09+00:00"),
            Some("2026-01-01T00:00:09.000001+00:00"),
            Some("2026-01-01T00:00:09.5+00:00"),
            Some("2026-01-01T00:00:09.51+00:00"),
            Some("2026-01-01T00:00:10+00:00"),
            Some("2026-10-01T00:00:00+00:00"),
            Some("12026-01-01T00:00:00+00:00"),
            Some("infinity"),
            None,
        ];
        assert!(in_order.is_sorted_by(|a, b| TimeKey::of(*a) < TimeKey::of(*b)));
    }

    #[test]
    fn numbers_have_the_order_that_postgres_gives_them() {
        let in_order = [
            Some("-Infinity"),
            Some("-10"),
            Some("-9.5"),
            Some("-1"),
            Some("-0.01"),
            Some("0"),
            Some("0.0035"),
            Some("0.02"),
            Some("9"),
            Some("10.1"),
            Some("1000000000000000000000000000000"),
            Some("Infinity"),
            Some("NaN"),
            None,
        ];
        assert!(in_order.is_sorted_by(|a, b| NumberKey::of(*a) < NumberKey::of(*b)));
        assert_eq!(NumberKey::of(Some("0.10")), NumberKey::of(Some("00.1")));
        assert_eq!(NumberKey::of(Some("0.00")), NumberKey::of(Some("0")));
    }

    #[test]
    fn equal_keys_are_in_the_order_of_their_ids() {
        let place = |key: &str, id| RunPlace {
            key: Some(key.to_owned()),
            id: Uuid::from_u128(id),
        };
        let mut search = RunSearch {
            order: RunOrder::Cost,
            ..RunSearch::default()
        };
        let (one, two) = (place("1.0", 1), place("1", 2));
        assert_eq!(search.compare(&one, &two), Ordering::Greater);
        search.ascending = true;
        assert_eq!(search.compare(&one, &two), Ordering::Less);
        assert_eq!(search.compare(&two, &place("2", 1)), Ordering::Less);
    }
}
