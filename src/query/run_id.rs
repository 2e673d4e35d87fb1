//! Runs by a prefix of their id.

use std::str::FromStr;

use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// Hexadecimal digits of a UUID.
const DIGITS: usize = 32;
/// Most runs that an ambiguous prefix lists: enough to pick one or type one more digit.
const MAX_CANDIDATES: i64 = 5;

/// The ids with a given prefix, as the first and the last of them, so that an index finds
/// them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdPrefix {
    first: Uuid,
    last: Uuid,
}

/// The runs that an [`IdPrefix`] matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunLookup {
    /// No run.
    None,
    /// This run.
    One(Uuid),
    /// Several; these are the first ones.
    Several(Vec<Uuid>),
}

impl IdPrefix {
    /// The id, if the prefix is a whole one.
    #[must_use]
    pub fn whole(self) -> Option<Uuid> {
        (self.first == self.last).then_some(self.first)
    }
}

impl RunLookup {
    /// What was found in several databases as one.
    #[must_use]
    pub fn of_all(mut found: Vec<Uuid>) -> Self {
        found.sort_unstable();
        found.truncate(usize::try_from(MAX_CANDIDATES).unwrap_or(usize::MAX));
        match found.as_slice() {
            [] => Self::None,
            [id] => Self::One(*id),
            _ => Self::Several(found),
        }
    }

    /// The runs that were found.
    #[must_use]
    pub fn runs(self) -> Vec<Uuid> {
        match self {
            Self::None => Vec::new(),
            Self::One(run) => vec![run],
            Self::Several(runs) => runs,
        }
    }
}

impl FromStr for IdPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_prefix = (1..=DIGITS).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let padded = |with: &str| {
            let padding = with.repeat(DIGITS.saturating_sub(digits.len()));
            Uuid::try_parse(&format!("{digits}{padding}"))
        };
        match (is_prefix, padded("0"), padded("f")) {
            (true, Ok(first), Ok(last)) => Ok(Self { first, last }),
            _ => Err("neither a UUID nor a prefix of one".to_owned()),
        }
    }
}

/// The run whose id has this prefix.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn find_run(
    connection: &mut PgConnection,
    prefix: IdPrefix,
) -> Result<RunLookup, InspectError> {
    let query = "SELECT id FROM agent_runs WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3";
    let ids: Vec<Uuid> = sqlx::query_scalar(query)
        .bind(prefix.first)
        .bind(prefix.last)
        .bind(MAX_CANDIDATES)
        .fetch_all(connection)
        .await?;
    Ok(RunLookup::of_all(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_range_of_ids() {
        let prefix: IdPrefix = "018f4e2A-7".parse().unwrap();
        let id = |text| Uuid::try_parse(text).unwrap();
        assert_eq!(prefix.first, id("018f4e2a-7000-0000-0000-000000000000"));
        assert_eq!(prefix.last, id("018f4e2a-7fff-ffff-ffff-ffffffffffff"));
        let whole: IdPrefix = prefix.first.to_string().parse().unwrap();
        assert_eq!(whole.whole(), Some(prefix.first));
        assert_eq!(prefix.whole(), None);
        for text in ["", "-", "xyz", "018f4e2a-7000-0000-0000-0000000000000", "ü"] {
            assert!(text.parse::<IdPrefix>().is_err(), "{text}");
        }
    }
}
