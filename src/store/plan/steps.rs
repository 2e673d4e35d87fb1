//! Reduces the starts and ends of each step.
//!
//! A step shows the details and the end that win, and parts of the greatest details and
//! the greatest end of a view below these. The other ends of a step are left out.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::order::{Contest, DetailsKey, StepEndKey, keep_earliest, step_details, step_end};
use super::types::{MORE_ENDS, PlannedEvent, StepRow};
use crate::event::{StepEnded, StepStarted, Timestamp};
use crate::store::encode::rows::StepPart;

/// One row per step, until a step has several ends.
#[derive(Debug, Default)]
pub(super) struct StepRows<'a> {
    rows: Vec<StepRow<'a>>,
    slots: HashMap<Uuid, usize>,
    starts: Contest<DetailsKey<'a>>,
    repeated: HashMap<usize, RepeatedEnds<'a>>,
    /// Per row with several starts or ends: the least start, and its event.
    started: HashMap<usize, Option<(Timestamp, usize)>>,
}

/// The ends of a step that has several.
#[derive(Debug, Default)]
struct RepeatedEnds<'a> {
    all: Vec<usize>,
    details: Best<'a, DetailsKey<'a>>,
    ends: Best<'a, StepEndKey<'a>>,
}

/// The greatest of several ends, and the greatest one of a lesser view.
#[derive(Debug)]
struct Best<'a, K> {
    first: Option<(PlannedEvent<'a, StepEnded>, K)>,
    lesser: Option<(PlannedEvent<'a, StepEnded>, K)>,
}

impl<K> Default for Best<'_, K> {
    fn default() -> Self {
        Self {
            first: None,
            lesser: None,
        }
    }
}

impl<'a, K: Ord> Best<'a, K> {
    fn add(&mut self, new: PlannedEvent<'a, StepEnded>, key: K) {
        match &mut self.first {
            None => self.first = Some((new, key)),
            Some(first) if key > first.1 => {
                let old = std::mem::replace(first, (new, key));
                if old.0.event.view < new.event.view {
                    self.lesser = Some(old);
                }
            }
            Some(first) if new.event.view < first.0.event.view => {
                if self.lesser.as_ref().is_none_or(|lesser| key > lesser.1) {
                    self.lesser = Some((new, key));
                }
            }
            Some(_) => {}
        }
    }

    fn both(&self) -> impl Iterator<Item = PlannedEvent<'a, StepEnded>> {
        [&self.first, &self.lesser]
            .into_iter()
            .flatten()
            .map(|(end, _)| *end)
    }
}

impl<'a> RepeatedEnds<'a> {
    fn add(&mut self, new: PlannedEvent<'a, StepEnded>) {
        self.all.push(new.index);
        self.ends.add(new, step_end(&new));
        if let Some(details) = &new.event.details {
            let key = step_details(new.event.view, new.time, details);
            self.details.add(new, key);
        }
    }

    /// The ends that the step needs. The first one is the end that wins.
    fn kept(&self) -> Vec<PlannedEvent<'a, StepEnded>> {
        let mut kept: Vec<PlannedEvent<'a, StepEnded>> = Vec::with_capacity(1 + MORE_ENDS);
        for end in self.ends.both().chain(self.details.both()) {
            if kept.iter().all(|other| other.index != end.index) {
                kept.push(end);
            }
        }
        kept
    }
}

/// A start's time, or the start that an end reports, with the event's position.
fn starts_of(row: &StepRow<'_>) -> [(Option<Timestamp>, Option<usize>); 2] {
    let reported = row.part.end.and_then(|(_, end)| end.started_at);
    let start = row.part.start.map(|(time, _)| time);
    [(start, row.events[0]), (reported, row.events[1])]
}

impl<'a> StepRows<'a> {
    /// Adds a start. False if the step belongs to another run.
    #[must_use]
    pub fn start(&mut self, new: PlannedEvent<'a, StepStarted>) -> bool {
        let Some(slot) = self.slot(new.event.step_id, new.event.run_id) else {
            return false;
        };
        let row = &mut self.rows[slot];
        let Some((time, event)) = row.part.start else {
            row.part.start = Some((new.time, new.event));
            row.events[0] = Some(new.index);
            return true;
        };
        self.note_start(slot, Some(new.time), new.index);
        let row = &mut self.rows[slot];
        let mut winner = PlannedEvent {
            index: row.events[0].unwrap_or(new.index),
            time,
            event,
        };
        self.starts.enter(slot, &mut winner, new, |start| {
            step_details(0, start.time, &start.event.details)
        });
        row.part.start = Some((winner.time, winner.event));
        row.events[0] = Some(winner.index);
        true
    }

    /// Adds an end. False if the step belongs to another run.
    #[must_use]
    pub fn end(&mut self, new: PlannedEvent<'a, StepEnded>) -> bool {
        let Some(slot) = self.slot(new.event.step_id, new.event.run_id) else {
            return false;
        };
        let row = &mut self.rows[slot];
        let (Some((time, event)), Some(index)) = (row.part.end, row.events[1]) else {
            row.part.end = Some((new.time, new.event));
            row.events[1] = Some(new.index);
            return true;
        };
        self.note_start(slot, new.event.started_at, new.index);
        let repeated = self.repeated.entry(slot).or_insert_with(|| {
            let mut ends = RepeatedEnds::default();
            ends.add(PlannedEvent { index, time, event });
            ends
        });
        repeated.add(new);
        true
    }

    /// Notes when the step began, before an event of the step may be left out.
    fn note_start(&mut self, slot: usize, time: Option<Timestamp>, index: usize) {
        let started = self.started.entry(slot).or_default();
        for (known, event) in starts_of(&self.rows[slot]) {
            keep_earliest(started, known, event.unwrap_or(index));
        }
        keep_earliest(started, time, index);
    }

    /// The step's row; `None` if it belongs to another run.
    fn slot(&mut self, id: Uuid, run_id: Uuid) -> Option<usize> {
        let rows = &mut self.rows;
        let slot = *self.slots.entry(id).or_insert_with(|| {
            rows.push(StepRow {
                run_id,
                id,
                part: StepPart::default(),
                events: [None; 3],
            });
            rows.len() - 1
        });
        (rows[slot].run_id == run_id).then_some(slot)
    }

    /// Returns the rows and the further ends, and adds the events that do not show in
    /// them to `superseded`.
    pub fn finish(
        mut self,
        superseded: &mut Vec<(usize, usize)>,
    ) -> (Vec<StepRow<'a>>, [Vec<StepRow<'a>>; MORE_ENDS]) {
        let mut more = [const { Vec::new() }; MORE_ENDS];
        let mut left_out = Vec::new();
        for (slot, ends) in &self.repeated {
            let row = &mut self.rows[*slot];
            let kept = ends.kept();
            let (Some(winner), rest) = kept.split_first().unzip() else {
                continue;
            };
            row.part.end = Some((winner.time, winner.event));
            row.events[1] = Some(winner.index);
            let lost = |index: &usize| kept.iter().all(|end| end.index != *index);
            let lost = ends.all.iter().copied().filter(lost);
            left_out.extend(lost.map(|index| (index, winner.index)));
            for (end, list) in rest.unwrap_or_default().iter().zip(&mut more) {
                list.push(StepRow {
                    part: StepPart {
                        end: Some((end.time, end.event)),
                        ..StepPart::default()
                    },
                    events: [None, Some(end.index), None],
                    ..*row
                });
            }
        }
        for (loser, slot) in self.starts.into_losers() {
            left_out.extend(self.rows[slot].events[0].map(|winner| (loser, winner)));
        }
        let mut shown = HashSet::new();
        for (slot, started) in self.started {
            let row = &mut self.rows[slot];
            row.part.earliest = started.map(|(time, _)| time);
            let index = started.map(|(_, index)| index);
            row.events[2] = index.filter(|_| !row.events.contains(&index));
            shown.extend(row.events[2]);
        }
        left_out.retain(|(index, _)| !shown.contains(index));
        superseded.extend(left_out);
        (self.rows, more)
    }
}
