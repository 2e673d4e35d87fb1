//! One page of the list of runs from the pages of all servers.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::key_order::TimeKey;
use super::read_pool::ReadAs;
use super::read_pools::ReadPools;
use super::run_list::RunPage;
use super::run_search::{RunOrder, RunPlace, RunSearch};

impl RunSearch {
    /// The page behind `after`, of the runs of all servers.
    ///
    /// # Errors
    /// If a server cannot be read.
    pub async fn page_of_all(
        &self,
        pools: &ReadPools,
        reader: &ReadAs,
    ) -> Result<RunPage, sqlx::Error> {
        let pages = pools
            .each(|pool| async move {
                let mut tx = pool.begin_shared(reader).await?;
                self.page(&mut tx).await
            })
            .await?;
        Ok(self.merged(pages))
    }

    /// The pages of all servers behind one place as one page.
    fn merged(&self, mut pages: Vec<RunPage>) -> RunPage {
        if pages.len() == 1 {
            return pages.pop().unwrap_or_default();
        }
        // Behind where the first page ends, its server may have runs that nobody has looked at.
        let ends = pages.iter().filter_map(|page| page.next.as_ref());
        let end = ends.min_by(|one, other| self.compare(one, other)).cloned();
        let searched_back_to = self.searched(&pages, end.as_ref());
        let mut statement = None;
        let mut found: Vec<(RunPlace, String)> = Vec::new();
        for page in pages {
            statement.get_or_insert(page.statement);
            // A run may have gone since it was found.
            let mut rows: HashMap<_, _> = page.rows.into_iter().collect();
            let places = page.places.into_iter();
            found.extend(
                places
                    .filter_map(|place| Some((rows.remove(&place.id)?, place)))
                    .map(|(row, place)| (place, row)),
            );
        }
        found.sort_by(|(one, _), (other, _)| self.compare(one, other));
        if let Some(end) = &end {
            found.retain(|(place, _)| self.compare(place, end) != Ordering::Greater);
        }
        let is_cut = found.len() > self.limit;
        found.truncate(self.limit);
        let (places, rows): (Vec<_>, Vec<_>) = found
            .into_iter()
            .map(|(place, row)| (place.clone(), (place.id, row)))
            .unzip();
        RunPage {
            next: if is_cut { places.last().cloned() } else { end },
            // A page that is full by start says nothing of what is behind it.
            searched_back_to: match self.order {
                RunOrder::Started if is_cut => None,
                _ => searched_back_to,
            },
            places,
            rows,
            statement: statement.unwrap_or_default(),
        }
    }

    /// The time back to which all servers have searched; `None`: each has searched everything, or up to the end of
    /// its page.
    fn searched(&self, pages: &[RunPage], end: Option<&RunPlace>) -> Option<String> {
        let searched = pages
            .iter()
            .filter_map(|page| Some((page.next.as_ref(), page.searched_back_to.as_deref()?)));
        match self.order {
            RunOrder::Started => searched
                .filter(|(next, _)| *next == end)
                .map(|(_, time)| time)
                .next(),
            // Each has looked at its newest runs.
            _ => searched
                .map(|(_, time)| time)
                .max_by_key(|time| TimeKey::of(Some(time))),
        }
        .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn place(second: u32) -> RunPlace {
        RunPlace {
            key: Some(format!("2026-01-01T00:00:{second:02}+00:00")),
            id: Uuid::from_u128(u128::from(second)),
        }
    }

    /// A page with the runs of these seconds. `next`: a second, and whether the search has ended there.
    fn page(seconds: &[u32], next: Option<(u32, bool)>) -> RunPage {
        let places: Vec<_> = seconds.iter().map(|second| place(*second)).collect();
        RunPage {
            rows: places
                .iter()
                .map(|place| (place.id, place.id.as_u128().to_string()))
                .collect(),
            places,
            next: next.map(|(second, _)| place(second)),
            searched_back_to: next
                .filter(|(_, searched)| *searched)
                .and_then(|(second, _)| place(second).key),
            ..RunPage::default()
        }
    }

    fn merged(search: &RunSearch, pages: Vec<RunPage>) -> (String, Option<u128>, Option<String>) {
        let page = search.merged(pages);
        assert!(
            page.places
                .iter()
                .zip(&page.rows)
                .all(|(place, row)| place.id == row.0)
        );
        let rows: Vec<_> = page.rows.into_iter().map(|(_, row)| row).collect();
        let next = page.next.map(|place| place.id.as_u128());
        (rows.join(" "), next, page.searched_back_to)
    }

    #[test]
    fn a_page_ends_where_a_server_may_have_more() {
        let search = RunSearch {
            limit: 3,
            ..RunSearch::default()
        };
        let of = |pages| merged(&search, pages);
        let none = || page(&[], None);
        assert_eq!(of(vec![none(), none()]), (String::new(), None, None));
        // All is known.
        assert_eq!(
            of(vec![page(&[9, 5], None), page(&[7], None)]),
            ("9 7 5".into(), None, None)
        );
        assert_eq!(
            of(vec![page(&[9, 5], None), page(&[7, 6], None)]),
            ("9 7 6".into(), Some(6), None)
        );
        // The first server has more behind 5, and 4 may not be the next.
        assert_eq!(
            of(vec![page(&[9, 8, 5], Some((5, false))), page(&[4], None)]),
            ("9 8 5".into(), Some(5), None)
        );
        // One server has only searched back to 6.
        let back_to = place(6).key;
        assert_eq!(
            of(vec![page(&[9], Some((6, true))), page(&[7, 5], None)]),
            ("9 7".into(), Some(6), back_to)
        );
        // The page is full before that.
        assert_eq!(
            of(vec![
                page(&[9], Some((2, true))),
                page(&[8, 7, 6], Some((6, false)))
            ]),
            ("9 8 7".into(), Some(7), None)
        );
        // Both have searched: the later end counts.
        let back_to = place(6).key;
        assert_eq!(
            of(vec![page(&[], Some((3, true))), page(&[], Some((6, true)))]),
            (String::new(), Some(6), back_to)
        );
    }

    #[test]
    fn a_list_by_another_order_says_since_when_all_are_in_it() {
        let search = RunSearch {
            order: RunOrder::Duration,
            limit: 2,
            ..RunSearch::default()
        };
        let with = |key: &str, id: u128, back_to: Option<u32>| RunPage {
            places: vec![RunPlace {
                key: Some(key.to_owned()),
                id: Uuid::from_u128(id),
            }],
            rows: vec![(Uuid::from_u128(id), id.to_string())],
            searched_back_to: back_to.and_then(|second| place(second).key),
            ..RunPage::default()
        };
        let pages = vec![
            with("9", 1, Some(3)),
            with("10", 2, Some(6)),
            with("8", 3, None),
        ];
        assert_eq!(
            merged(&search, pages),
            ("2 1".into(), Some(1), place(6).key)
        );
    }
}
