//! Writes the contents that the values of a batch need and that are not stored yet.
//!
//! What holds contents, a run or a scope of runs, is locked by now, or this transaction has
//! created it. So nobody else writes there, and what is missing stays missing until it is
//! written here. A content is written in
//! one transaction with all that it names. So if one is stored, whatever it names is stored,
//! and need not be looked for.

use std::collections::{HashSet, VecDeque};

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::BatchError;
use super::merge::{self, Column};
use super::scopes::{ContentHolder, ContentScopes};
use super::state::BatchWriter;
use crate::event::Content;
use crate::store::encode::copy::CopyBuffer;
use crate::store::encode::rows::{CONTENTS, SHARED_CONTENTS, encode_content};
use crate::store::plan::{Plan, Rung, StepValue};

/// So many contents of a value are looked for at first: the last ones of a list that goes on
/// from a stored one. Each further look is that much wider.
const FIRST_LOOK: usize = 16;
const WIDER: usize = 8;

/// About what a row takes beside its body, with its entry in the index.
const CONTENT_ROW_BYTES: u64 = 150;

/// A content of one of the values.
#[derive(Clone, Copy, Debug)]
struct Place {
    value: usize,
    position: usize,
}

/// A content that is not stored.
#[derive(Debug)]
struct MissingContent<'a> {
    holder: ContentHolder,
    event: Option<usize>,
    content: Content<'a>,
}

/// A value, and what holds its contents.
type HeldValue<'a> = (ContentHolder, StepValue<'a>);

/// What names a content: its holder and hash.
type HeldContent = (ContentHolder, Uuid);

/// Finds what is missing of the values.
struct ContentSearch<'a> {
    values: Vec<HeldValue<'a>>,
    /// The contents that were looked at.
    seen: HashSet<HeldContent>,
    missing: Vec<Place>,
}

/// Contents to ask the database for.
#[derive(Default)]
struct ContentQuestion {
    asked: Vec<Place>,
    /// What is not asked for, but is missing if the asked one at this position is.
    rest: Vec<(usize, Place)>,
}

impl BatchWriter<'_> {
    /// Writes the contents that are missing. A run that `is_new` has none of its own. With
    /// [`Rung::Merge`] nothing is copied.
    pub async fn write_contents(
        &mut self,
        plan: &Plan<'_>,
        rung: Rung,
        is_new: impl Fn(Uuid) -> bool,
    ) -> Result<(), BatchError> {
        let values: Vec<StepValue<'_>> = plan.step_values().collect();
        let runs: HashSet<Uuid> = values.iter().map(|value| value.run_id).collect();
        let runs: Vec<Uuid> = runs.into_iter().collect();
        let scopes = ContentScopes::lock(self.conn, &runs).await?;
        let is_new = |holder: ContentHolder| match holder.is_shared {
            true => scopes.is_new(holder.id),
            false => is_new(holder.id),
        };
        let held = values
            .into_iter()
            .map(|value| (scopes.holder(value.run_id), value));
        let mut search = ContentSearch::new(held.collect());
        let mut heads = search.heads();
        let mut width = FIRST_LOOK;
        while !heads.is_empty() {
            let question = search.question(&heads, width, is_new);
            let stored = search.stored(self.conn, &question.asked).await?;
            heads = search.note(question, &stored);
            width = width.saturating_mul(WIDER);
        }
        self.contents.values += search.value_bytes();
        let missing = search.missing();
        let new = missing
            .iter()
            .map(|row| CONTENT_ROW_BYTES + row.content.body_bytes() as u64);
        self.contents.new += new.sum::<u64>();
        if rung == Rung::Merge {
            return insert(self.conn, &missing).await;
        }
        let (shared, own): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|row| row.holder.is_shared);
        for (table, rows) in [(CONTENTS, own), (SHARED_CONTENTS, shared)] {
            let encode = |row: &MissingContent<'_>, copy: &mut CopyBuffer| {
                encode_content(copy, row.holder.id, &row.content);
            };
            merge::copy(self.conn, table.copy, &rows, encode, |row| row.event).await?;
        }
        Ok(())
    }
}

impl<'a> ContentSearch<'a> {
    fn new(values: Vec<HeldValue<'a>>) -> Self {
        Self {
            values,
            seen: HashSet::new(),
            missing: Vec::new(),
        }
    }

    /// The contents that the references of the values name.
    fn heads(&self) -> Vec<Place> {
        let values = self.values.iter().enumerate();
        let last = |(value, (_, of)): (usize, &HeldValue<'_>)| {
            let position = of.value.len().checked_sub(1)?;
            Some(Place { value, position })
        };
        values.filter_map(last).collect()
    }

    /// What names a content.
    fn key(&self, place: Place) -> Option<HeldContent> {
        let (holder, value) = self.values.get(place.value)?;
        Some((*holder, value.value.get(place.position)?.hash()))
    }

    fn named_by(&self, place: Place) -> impl Iterator<Item = Place> + use<'a> {
        let value = self.values.get(place.value).map(|(_, of)| of.value);
        let positions = value.map(|value| value.named_by(place.position));
        positions
            .into_iter()
            .flatten()
            .map(move |position| Place { position, ..place })
    }

    /// What to ask for: these contents and, near them, what they name, each once. What is
    /// named by contents of a new holder is missing.
    fn question(
        &mut self,
        heads: &[Place],
        width: usize,
        is_new: impl Fn(ContentHolder) -> bool,
    ) -> ContentQuestion {
        let mut question = ContentQuestion::default();
        for head in heads {
            let end = question.asked.len() + width;
            let mut near = VecDeque::from([(None, *head)]);
            while let Some((by, place)) = near.pop_front() {
                let Some(key) = self.key(place).filter(|key| !self.seen.contains(key)) else {
                    continue;
                };
                let by = if is_new(key.0) {
                    self.missing.push(place);
                    by
                } else if let (Some(by), true) = (by, question.asked.len() >= end) {
                    question.rest.push((by, place));
                    continue;
                } else {
                    question.asked.push(place);
                    Some(question.asked.len() - 1)
                };
                self.seen.insert(key);
                near.extend(self.named_by(place).map(|named| (by, named)));
            }
        }
        question
    }

    /// Which of the contents are stored, by their positions.
    async fn stored(
        &self,
        conn: &mut PgConnection,
        asked: &[Place],
    ) -> Result<HashSet<usize>, sqlx::Error> {
        if asked.is_empty() {
            return Ok(HashSet::new());
        }
        let keys = asked.iter().filter_map(|place| self.key(*place));
        let (holders, hashes): (Vec<ContentHolder>, Vec<Uuid>) = keys.unzip();
        let (ids, shared): (Vec<Uuid>, Vec<bool>) =
            holders.iter().map(|of| (of.id, of.is_shared)).unzip();
        let found: Vec<i64> = sqlx::query_scalar(include_str!("../sql/find_contents.sql"))
            .bind(ids)
            .bind(hashes)
            .bind(shared)
            .fetch_all(conn)
            .await?;
        let counted_from_one = found
            .into_iter()
            .filter_map(|n| usize::try_from(n - 1).ok());
        Ok(counted_from_one.collect())
    }

    /// Notes the answer, and returns what to look for next.
    fn note(&mut self, question: ContentQuestion, stored: &HashSet<usize>) -> Vec<Place> {
        let asked = question.asked.into_iter().enumerate();
        let missing = asked.filter(|(position, _)| !stored.contains(position));
        self.missing.extend(missing.map(|(_, place)| place));
        let rest = question.rest.into_iter();
        rest.filter(|(by, _)| !stored.contains(by))
            .map(|(_, place)| place)
            .collect()
    }

    fn value_bytes(&self) -> u64 {
        let bytes = self.values.iter().map(|(_, of)| of.value.bytes() as u64);
        bytes.sum()
    }

    fn missing(self) -> Vec<MissingContent<'a>> {
        let row = |place: &Place| {
            let (holder, value) = self.values.get(place.value)?;
            Some(MissingContent {
                holder: *holder,
                event: value.event,
                content: value.value.get(place.position)?,
            })
        };
        self.missing.iter().filter_map(row).collect()
    }
}

/// Inserts contents that are not stored.
async fn insert(conn: &mut PgConnection, rows: &[MissingContent<'_>]) -> Result<(), BatchError> {
    for part in merge::parts(rows, |row| row.content.body_bytes()) {
        let column = Column(part);
        let inserted: i64 = sqlx::query_scalar(include_str!("../sql/insert_contents.sql"))
            .bind(column.of(|r| r.holder.id))
            .bind(column.of(|r| r.holder.is_shared))
            .bind(column.of(|r| r.content.hash()))
            .bind(column.of(|r| r.content.kind().number()))
            .bind(column.of(|r| r.content.prev()))
            .bind(column.of(|r| r.content.part()))
            .bind(column.of(|r| r.content.name()))
            .bind(column.of(|r| r.content.body().map(|body| body.into_owned())))
            .fetch_one(&mut *conn)
            .await?;
        if usize::try_from(inserted) != Ok(part.len()) {
            return Err(BatchError::MissingRow);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ContentRule, Json, Repairs};

    const RUN: Uuid = Uuid::from_u128(1);
    const HOLDER: ContentHolder = ContentHolder {
        id: RUN,
        is_shared: false,
    };

    /// A history of so many messages, as the input of a call.
    fn input(turns: usize) -> Json {
        let message = |n: usize| format!("{{\"text\": \"{}\"}}", format!("{n} ").repeat(200));
        let messages: Vec<String> = (0..turns).map(message).collect();
        let text = format!(
            "{{\"model\": \"m\", \"messages\": [{}]}}",
            messages.join(",")
        );
        let mut json = Json::new(text, &mut Repairs::default()).unwrap();
        json.cut_contents(ContentRule::Large);
        json
    }

    fn hashes(json: &Json) -> HashSet<Uuid> {
        let value = json.contents().unwrap();
        let contents = (0..value.len()).filter_map(|at| value.get(at));
        contents.map(|content| content.hash()).collect()
    }

    /// What is missing of the values, and how many contents each question asks for.
    fn search(
        jsons: &[Json],
        stored: &HashSet<Uuid>,
        is_new: impl Fn(ContentHolder) -> bool,
    ) -> (Vec<Uuid>, Vec<usize>) {
        let value = |json| {
            let value = StepValue {
                run_id: RUN,
                event: Some(0),
                value: Json::contents(json).unwrap(),
            };
            (HOLDER, value)
        };
        let mut search = ContentSearch::new(jsons.iter().map(value).collect());
        let (mut heads, mut width, mut sizes) = (search.heads(), FIRST_LOOK, Vec::new());
        while !heads.is_empty() {
            let question = search.question(&heads, width, &is_new);
            let keys = question.asked.iter().enumerate();
            let found = keys.filter(|(_, place)| stored.contains(&search.key(**place).unwrap().1));
            let found = found.map(|(position, _)| position).collect();
            sizes.push(question.asked.len());
            heads = search.note(question, &found);
            width *= WIDER;
        }
        let missing = search.missing();
        (
            missing.iter().map(|row| row.content.hash()).collect(),
            sizes,
        )
    }

    fn set(missing: &[Uuid]) -> HashSet<Uuid> {
        let set: HashSet<Uuid> = missing.iter().copied().collect();
        assert_eq!(set.len(), missing.len(), "a content is missing twice");
        set
    }

    #[test]
    fn a_value_that_goes_on_takes_one_question() {
        let (before, after) = (hashes(&input(300)), [input(302)]);
        let (missing, asked) = search(&after, &before, |_| false);
        assert_eq!(set(&missing), &hashes(&after[0]) - &before);
        assert_eq!(asked, [FIRST_LOOK]);
        let (missing, asked) = search(&[input(300)], &before, |_| false);
        assert_eq!((missing, asked), (Vec::new(), vec![FIRST_LOOK]));
    }

    #[test]
    fn what_is_far_back_takes_few_questions() {
        let all = [input(300), input(299), input(300)];
        let both = &hashes(&all[0]) | &hashes(&all[1]);
        for stored in [HashSet::new(), hashes(&input(20))] {
            let (missing, asked) = search(&all, &stored, |_| false);
            assert_eq!(set(&missing), &both - &stored);
            assert!(asked.len() <= 4, "{asked:?}");
            assert!(asked.iter().sum::<usize>() <= both.len(), "{asked:?}");
        }
    }

    #[test]
    fn a_new_run_takes_no_question() {
        let all = [input(100), input(90)];
        let (missing, asked) = search(&all, &HashSet::new(), |holder| holder == HOLDER);
        assert_eq!(set(&missing), &hashes(&all[0]) | &hashes(&all[1]));
        assert_eq!(asked, [0]);
    }
}
