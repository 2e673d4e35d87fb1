//! A write batch that is written part by part, in one transaction.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::error::BatchError;
use super::gone::{GoneIds, write_unless_gone};
use super::run_totals::RunTotalsCache;
use super::write::WrittenBatch;
use crate::event::Event;
use crate::store::outcome::EventOutcome;
use crate::store::plan::Rung;

/// Some events of a write batch.
#[derive(Default)]
pub(super) struct BatchPart<'e> {
    /// Their positions in the write batch.
    positions: Vec<usize>,
    events: Vec<&'e Event>,
}

impl<'e> BatchPart<'e> {
    pub fn push(&mut self, position: usize, event: &'e Event) {
        self.positions.push(position);
        self.events.push(event);
    }

    fn position(&self, index: usize) -> usize {
        self.positions.get(index).copied().unwrap_or(index)
    }
}

/// What the parts have in common.
pub(super) struct PartWriter<'a> {
    pub gone: &'a GoneIds,
    pub rung: Rung,
    pub run_timeout_ms: i64,
    pub cache: &'a mut RunTotalsCache,
    whole: WrittenBatch,
}

impl<'a> PartWriter<'a> {
    /// For a write batch of so many events.
    pub fn new(
        events: usize,
        gone: &'a GoneIds,
        rung: Rung,
        run_timeout_ms: i64,
        cache: &'a mut RunTotalsCache,
    ) -> Self {
        let whole = WrittenBatch {
            outcomes: vec![EventOutcome::Committed; events],
            run_totals: HashMap::new(),
            contents: Default::default(),
            times: Default::default(),
        };
        Self {
            gone,
            rung,
            run_timeout_ms,
            cache,
            whole,
        }
    }

    /// Writes a part where the search path leads.
    ///
    /// # Errors
    /// As [`write_unless_gone`]; positions are those in the write batch.
    pub async fn write(
        &mut self,
        conn: &mut PgConnection,
        part: &BatchPart<'_>,
    ) -> Result<(), BatchError> {
        let (gone, rung, timeout) = (self.gone, self.rung, self.run_timeout_ms);
        let written = write_unless_gone(conn, &part.events, gone, rung, timeout, self.cache).await;
        let written = written.map_err(|error| error.in_batch(|index| part.position(index)))?;
        for (index, outcome) in written.outcomes.into_iter().enumerate() {
            self.whole.outcomes[part.position(index)] = outcome;
        }
        self.whole.run_totals.extend(written.run_totals);
        self.whole.contents += written.contents;
        self.whole.times += written.times;
        Ok(())
    }

    /// What all parts wrote.
    pub fn end(self) -> WrittenBatch {
        self.whole
    }
}
