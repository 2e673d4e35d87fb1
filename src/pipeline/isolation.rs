//! Isolates the events that Postgres refuses, a slice of time at a time.
//!
//! A refused transaction may hold the units of many clients. They are tried again without
//! the client that is to blame or, if that is not known, in halves. A unit that is refused
//! alone is torn: it is written in parts, down to single events, and each refused event
//! becomes a dead letter. Between two slices the shard writes fresh units, so those hardly
//! wait.

use std::collections::VecDeque;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::part_size::PartSize;
use super::shard::Shard;
use super::suspects::Suspects;
use super::unit::{EventState, Unit, update};
use crate::event::Event;
use crate::store::{RefusedPart, Unwritten};

/// A slice ends after this time.
const SLICE: Duration = Duration::from_millis(250);
/// A slice ends after this time if fresh units wait.
const SHORT_SLICE: Duration = Duration::from_millis(50);

/// The units of a shard that are being isolated.
#[derive(Debug)]
pub(super) struct Isolation {
    suspects: Arc<Suspects>,
    /// Units to be tried together. The next group is the last.
    groups: Vec<Vec<Unit>>,
    /// Units that share no transaction with those of other clients.
    apart: VecDeque<Unit>,
    /// The size of the next part of a torn unit.
    size: PartSize,
}

impl Isolation {
    pub fn new(suspects: Arc<Suspects>) -> Self {
        Self {
            suspects,
            groups: Vec::new(),
            apart: VecDeque::new(),
            size: PartSize::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.apart.is_empty()
    }

    /// The number of events.
    pub fn events(&self) -> usize {
        let units = self.groups.iter().flatten().chain(&self.apart);
        units.map(Unit::len).sum()
    }

    /// Puts the units of suspects apart, and returns the others.
    pub fn divert(&mut self, units: Vec<Unit>) -> Vec<Unit> {
        if self.suspects.is_empty() {
            return units;
        }
        let is_suspect = |unit: &Unit| self.suspects.contains(unit.client());
        let (suspect, others): (Vec<_>, Vec<_>) = units.into_iter().partition(is_suspect);
        suspect.into_iter().for_each(|unit| self.put_apart(unit));
        others
    }

    /// Adds units that were refused together.
    pub fn refuse(&mut self, mut units: Vec<Unit>, part: &RefusedPart) {
        if let Some(unit) = culprit(&mut units, part) {
            unit.tear();
            if part.is_bad_data {
                self.suspects.add(unit.client());
            }
        }
        let (torn, mut units): (Vec<_>, Vec<_>) = units.into_iter().partition(Unit::is_torn);
        torn.into_iter().for_each(|unit| self.put_apart(unit));
        // Halves, although the rest may be good: each further refusal costs half as much.
        let second = units.split_off(units.len().div_ceil(2));
        let halves = [second, units].into_iter();
        self.groups.extend(halves.filter(|group| !group.is_empty()));
    }

    fn put_apart(&mut self, mut unit: Unit) {
        unit.isolate(&self.suspects);
        self.apart.push_back(unit);
    }

    fn next_group(&mut self) -> Option<Vec<Unit>> {
        while let Some(group) = self.groups.pop() {
            let group = self.divert(group);
            if !group.is_empty() {
                return Some(group);
            }
        }
        None
    }

    /// Takes all units.
    pub fn drain(&mut self) -> Vec<Unit> {
        let groups = self.groups.drain(..).flatten();
        let mut units: Vec<Unit> = groups.chain(self.apart.drain(..)).collect();
        units.iter_mut().for_each(Unit::release);
        units
    }
}

/// The unit that is refused, if that is known.
fn culprit<'u>(units: &'u mut [Unit], part: &RefusedPart) -> Option<&'u mut Unit> {
    if let [unit] = units {
        return Some(unit);
    }
    let mut before = part.event?;
    units.iter_mut().find(|unit| {
        let open = unit.open().count();
        let found = before < open;
        before = before.saturating_sub(open);
        found
    })
}

impl Shard {
    /// Isolates refused events for one slice of time.
    pub(super) fn isolate(&mut self, runtime: &Runtime) {
        let begin = Instant::now();
        if self.gate_is_closed() {
            // The replayer isolates them.
            let units = self.isolation.drain();
            let rest = self.spool(units);
            self.parked.extend(rest);
            return;
        }
        self.set_fresh_deadline();
        while !slice_is_over(self, begin)
            && let Some(group) = self.isolation.next_group()
        {
            let unwritten = self.write(runtime, group);
            if !unwritten.is_empty() {
                self.parked.extend(unwritten);
                return;
            }
        }
        while let Some(unit) = self.isolation.apart.pop_front() {
            self.write_apart(runtime, unit, begin);
            if slice_is_over(self, begin) || self.gate_is_closed() {
                return;
            }
        }
    }

    /// Writes a unit whole or, if that was refused, in parts, until the slice is over.
    fn write_apart(&mut self, runtime: &Runtime, mut unit: Unit, begin: Instant) {
        let events: Vec<&Event> = unit.open().collect();
        let mut outcomes = vec![None; events.len()];
        let (mut letters, mut result) = (Vec::new(), Ok(()));
        let (mut start, mut torn) = (0, unit.is_torn());
        while start < events.len() {
            let rest = &events[start..];
            let part = if torn {
                self.isolation.size.first(rest)
            } else {
                rest
            };
            match self.write_told(runtime, slice::from_ref(&unit), part) {
                Ok(written) => {
                    for outcome in written {
                        outcomes[start] = Some(outcome);
                        start += 1;
                    }
                    self.isolation.size.written(part.len());
                }
                Err(Unwritten::Refused(refused)) => {
                    if refused.is_bad_data {
                        self.isolation.suspects.add(unit.client());
                    }
                    self.isolation.size.refused(part.len(), refused.event);
                    if let [event] = part {
                        letters.push(self.writer.dead_letter(start, event, &refused));
                        start += 1;
                    } else {
                        torn = true;
                    }
                }
                Err(Unwritten::Away(error)) => {
                    result = Err(error);
                    break;
                }
            }
            if slice_is_over(self, begin) {
                break;
            }
        }
        if result.is_ok() && !letters.is_empty() {
            let written = self.writer.write_dead_letters(&letters, &mut outcomes);
            result = runtime.block_on(written);
        }
        if torn {
            unit.tear();
        }
        let state = |outcome| Option::map_or(outcome, EventState::Open, EventState::Written);
        for unit in update(vec![unit], outcomes.into_iter().map(state)) {
            self.isolation.put_apart(unit);
        }
        if let (Err(Some(error)), Some(spooler)) = (result, &self.spooler) {
            spooler.gate.close(&error);
        }
    }
}

fn slice_is_over(shard: &Shard, begin: Instant) -> bool {
    let spent = begin.elapsed();
    spent > SLICE || (spent > SHORT_SLICE && !shard.queue.is_empty()) || shard.writer.gave_up()
}
