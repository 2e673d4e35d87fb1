//! Lists of the servers of a store as one list.

use std::cmp::Reverse;

use jiff::Timestamp;

/// A time as a database writes it, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    /// Before all years that can be compared.
    Early,
    At(Timestamp),
    /// After them.
    Late,
}

impl Moment {
    pub fn read(text: &str) -> Self {
        match text.parse() {
            Ok(time) => Self::At(time),
            Err(_) if text.starts_with('-') || text.ends_with(" BC") => Self::Early,
            Err(_) => Self::Late,
        }
    }
}

/// The first rows of sorted lists, in the order of a key. A single list stays as it is.
pub(super) fn merge<T, K: Ord>(
    mut lists: Vec<Vec<T>>,
    limit: usize,
    key: impl FnMut(&T) -> K,
) -> Vec<T> {
    match lists.len() {
        1 => lists.remove(0),
        _ => {
            let mut rows: Vec<T> = lists.into_iter().flatten().collect();
            rows.sort_by_cached_key(key);
            rows.truncate(limit);
            rows
        }
    }
}

/// The same, from the greatest key.
pub(super) fn merge_down<T, K: Ord>(
    lists: Vec<Vec<T>>,
    limit: usize,
    mut key: impl FnMut(&T) -> K,
) -> Vec<T> {
    merge(lists, limit, |row| Reverse(key(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_as_the_database_does() {
        let texts = [
            "-infinity",
            "2026-01-31 11:59:59.9+00",
            "2026-01-31T14:00:00+02:00",
            "2026-01-31T12:00:00.000001+00:00",
            "infinity",
        ];
        let moments: Vec<Moment> = texts.iter().map(|text| Moment::read(text)).collect();
        assert!(moments.is_sorted(), "{moments:?}");
        assert!(matches!(moments[1], Moment::At(_)), "{moments:?}");
        assert_eq!(Moment::read("0044-03-15T12:00:00+00:00 BC"), Moment::Early);
        assert_eq!(Moment::read("20000-01-01T00:00:00+00:00"), Moment::Late);
    }

    #[test]
    fn lists_become_one() {
        let lists = || vec![vec![1, 4, 6], vec![2, 3], vec![]];
        assert_eq!(merge(lists(), 4, |n| *n), [1, 2, 3, 4]);
        assert_eq!(merge_down(lists(), 3, |n| *n), [6, 4, 3]);
        assert_eq!(merge(vec![vec![3, 1]], 1, |n| *n), [3, 1]);
    }
}
