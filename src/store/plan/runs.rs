//! Reduces the starts, ends, heartbeats and observations of each run.

use std::collections::HashMap;

use uuid::Uuid;

use super::order::{Contest, RunEndKey, RunStartKey, keep_earliest, run_end, run_start};
use super::types::{PlannedEvent, RunPatch};
use crate::event::{RunEnded, RunObserved, RunStarted, Timestamp};

/// One patch per run.
#[derive(Debug, Default)]
pub struct RunPatches<'a> {
    patches: Vec<RunPatch<'a>>,
    slots: HashMap<Uuid, usize>,
    starts: Contest<RunStartKey<'a>>,
    ends: Contest<RunEndKey<'a>>,
}

impl<'a> RunPatches<'a> {
    /// Adds a start.
    pub fn start(&mut self, new: PlannedEvent<'a, RunStarted>) {
        let slot = self.slot(new.event.run_id);
        let patch = &mut self.patches[slot];
        patch.alive_at = patch.alive_at.max(Some(new.time));
        keep_earliest(&mut patch.started, Some(new.time), new.index);
        match &mut patch.start {
            Some(winner) => self.starts.enter(slot, winner, new, run_start),
            none => *none = Some(new),
        }
    }

    /// Adds an end.
    pub fn end(&mut self, new: PlannedEvent<'a, RunEnded>) {
        let slot = self.slot(new.event.run_id);
        let patch = &mut self.patches[slot];
        patch.alive_at = patch.alive_at.max(Some(new.time));
        keep_earliest(&mut patch.root_started, new.event.started_at, new.index);
        match &mut patch.end {
            Some(winner) => self.ends.enter(slot, winner, new, run_end),
            none => *none = Some(new),
        }
    }

    /// Adds a heartbeat.
    pub fn heartbeat(&mut self, index: usize, time: Timestamp, run: Uuid) {
        let slot = self.slot(run);
        let patch = &mut self.patches[slot];
        patch.alive_at = patch.alive_at.max(Some(time));
        patch.heartbeats.push(index);
    }

    /// Adds an observation. It is no sign of life; otherwise each one would update the
    /// run's row.
    pub fn observation(&mut self, index: usize, time: Timestamp, event: &'a RunObserved) {
        let slot = self.slot(event.run_id);
        self.patches[slot].observed.add(index, time, event);
    }

    fn slot(&mut self, id: Uuid) -> usize {
        let patches = &mut self.patches;
        *self.slots.entry(id).or_insert_with(|| {
            patches.push(RunPatch {
                id,
                ..RunPatch::default()
            });
            patches.len() - 1
        })
    }

    /// Returns the patches, and adds the events that do not show in them to `superseded`.
    pub fn finish(self, superseded: &mut Vec<(usize, usize)>) -> Vec<RunPatch<'a>> {
        let patches = self.patches;
        for (loser, slot) in self.starts.into_losers() {
            let RunPatch { start, started, .. } = &patches[slot];
            let shows = started.is_some_and(|(_, index)| index == loser);
            superseded.extend(start.filter(|_| !shows).map(|start| (loser, start.index)));
        }
        for (loser, slot) in self.ends.into_losers() {
            let RunPatch {
                end, root_started, ..
            } = &patches[slot];
            let shows = root_started.is_some_and(|(_, index)| index == loser);
            superseded.extend(end.filter(|_| !shows).map(|end| (loser, end.index)));
        }
        patches
    }
}
