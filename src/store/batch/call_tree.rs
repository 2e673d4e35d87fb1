//! The calls of a run as its writer knows them, to tell without a query whether several
//! steps may describe one call.
//!
//! `false` is certain. `true` costs a look at the rows when the run ends.

use std::collections::HashMap;

use uuid::Uuid;

use crate::event::{StepAliased, StepType};
use crate::store::encode::Aliases;
use crate::store::plan::StepRow;

/// A run with more parts is looked at in the database.
const MAX_PARTS: usize = 512;
/// How far a call is followed upwards.
const MAX_DEPTH: usize = 64;

/// What a part of the tree is, as far as calls are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartKind {
    Model,
    Tool,
    /// A chain or other work.
    Between,
    /// An alias. What it stands for may be unknown here.
    Alias,
    /// An agent, or another step that separates calls.
    Barrier,
}

/// A step or an alias below which calls may be. Ids are cut to their random half: two that
/// are equal by chance cost a look at the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TreePart {
    id: u64,
    parent: Option<u64>,
    kind: PartKind,
    /// Start and end, in microseconds.
    times: (i64, i64),
}

/// The parts of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTree {
    parts: Vec<TreePart>,
    overflowed: bool,
    /// The run has steps that no bridge sent. They are no parts.
    has_others: bool,
}

fn short(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

impl CallTree {
    /// Adds a step, if a bridge sent it.
    pub fn add_step(&mut self, row: &StepRow<'_>, aliases: &Aliases) {
        let (Some(details), ..) = row.part.details() else {
            return;
        };
        if !details.parent_may_be_alias {
            self.has_others = true;
            return;
        }
        let kind = match details.step_type {
            StepType::LlmCall => PartKind::Model,
            StepType::ToolCall => PartKind::Tool,
            StepType::Other => PartKind::Between,
            _ => PartKind::Barrier,
        };
        let (parent, _) = aliases.parents((row.run_id, row.id), details);
        let (started, ended) = row.part.times();
        let micros = |time: Option<crate::event::Timestamp>| {
            time.map(crate::event::Timestamp::postgres_micros)
        };
        let started = micros(started).or(micros(ended)).unwrap_or_default();
        self.push(TreePart {
            id: short(row.id),
            parent: parent.map(short),
            kind,
            times: (started, micros(ended).unwrap_or(i64::MAX)),
        });
    }

    /// Adds an alias.
    pub fn add_alias(&mut self, alias: &StepAliased) {
        self.push(TreePart {
            id: short(alias.alias_id),
            parent: alias.step_id.or(alias.parent_step_id).map(short),
            kind: PartKind::Alias,
            times: (0, 0),
        });
    }

    fn push(&mut self, part: TreePart) {
        if self.parts.len() < MAX_PARTS {
            self.parts.push(part);
        } else {
            self.overflowed = true;
        }
    }

    /// Adds the parts of another tree of the same run.
    pub fn extend(&mut self, other: Self) {
        self.overflowed |= other.overflowed;
        self.has_others |= other.has_others;
        if self.parts.is_empty() {
            self.parts = other.parts;
            return;
        }
        for part in other.parts {
            self.push(part);
        }
    }

    /// Whether a call is below a call of its kind, or two calls of one kind overlap.
    pub fn may_show_views(&self) -> bool {
        let is_mixed = self.has_others && !self.parts.is_empty();
        self.overflowed || is_mixed || self.has_overlap() || self.has_nested()
    }

    fn has_overlap(&self) -> bool {
        [PartKind::Model, PartKind::Tool].into_iter().any(|kind| {
            let calls = self.parts.iter().filter(|part| part.kind == kind);
            let mut times: Vec<(i64, i64)> = calls.map(|part| part.times).collect();
            times.sort_unstable();
            let mut latest = i64::MIN;
            times.iter().any(|&(started, ended)| {
                let overlaps = started < latest;
                latest = latest.max(ended);
                overlaps
            })
        })
    }

    fn has_nested(&self) -> bool {
        let is_call = |part: &&TreePart| matches!(part.kind, PartKind::Model | PartKind::Tool);
        if self.parts.iter().filter(is_call).count() < 2 {
            return false;
        }
        let mut by_id = HashMap::with_capacity(self.parts.len());
        for part in &self.parts {
            // A part that was sent twice may have changed.
            if by_id.insert(part.id, part).is_some() {
                return true;
            }
        }
        self.parts.iter().filter(is_call).any(|call| {
            let mut part = call;
            for _ in 0..MAX_DEPTH {
                let Some(parent) = part.parent else {
                    return false;
                };
                part = match by_id.get(&parent) {
                    Some(part) => part,
                    None => return part.kind == PartKind::Alias,
                };
                match part.kind {
                    PartKind::Between | PartKind::Alias => {}
                    kind => return kind == call.kind,
                }
            }
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u64, parent: Option<u64>, kind: PartKind, times: (i64, i64)) -> TreePart {
        TreePart {
            id,
            parent,
            kind,
            times,
        }
    }

    fn tree(parts: &[TreePart]) -> CallTree {
        let mut tree = CallTree::default();
        for part in parts {
            tree.push(*part);
        }
        tree
    }

    #[test]
    fn only_nested_and_overlapping_calls_of_one_kind_are_looked_at() {
        use PartKind::{Between, Model, Tool};
        let model = part(1, Some(9), Model, (0, 10));
        assert!(!tree(&[model]).may_show_views());
        // A tool that calls a model, and calls one after the other.
        let within_tool = [
            part(2, Some(9), Tool, (0, 20)),
            part(3, Some(2), Model, (10, 20)),
        ];
        assert!(!tree(&[[model].as_slice(), &within_tool].concat()).may_show_views());
        // Through other work and through an alias, in any order.
        let nested = [
            part(4, Some(5), Model, (10, 20)),
            part(5, Some(6), PartKind::Alias, (0, 0)),
            part(6, Some(1), Between, (0, 0)),
            model,
        ];
        assert!(tree(&nested).may_show_views());
        let other = part(8, Some(9), Model, (30, 40));
        assert!(!tree(&[nested[0], nested[2], other]).may_show_views());
        // What the alias stands for is not known.
        assert!(tree(&[nested[0], nested[1], other]).may_show_views());
        let mut mixed = tree(&[model]);
        mixed.has_others = true;
        assert!(mixed.may_show_views());
        let reversed: Vec<TreePart> = nested.into_iter().rev().collect();
        assert!(tree(&reversed).may_show_views());
        let beside = part(7, Some(9), Model, (9, 12));
        assert!(tree(&[model, beside]).may_show_views());
        let mut halves = tree(&[model]);
        halves.extend(tree(&[beside]));
        assert!(halves.may_show_views());
    }

    #[test]
    fn what_cannot_be_told_is_looked_at() {
        let circle = [
            part(1, Some(2), PartKind::Between, (0, 0)),
            part(2, Some(1), PartKind::Between, (0, 0)),
            part(3, Some(1), PartKind::Model, (0, 1)),
            part(4, Some(1), PartKind::Model, (2, 3)),
        ];
        assert!(tree(&circle).may_show_views());
        let twice = [circle[2], circle[3], part(5, None, PartKind::Alias, (0, 0))];
        assert!(!tree(&twice).may_show_views());
        assert!(tree(&[twice.as_slice(), &twice[2..]].concat()).may_show_views());
        let many = vec![part(1, None, PartKind::Between, (0, 0)); MAX_PARTS];
        assert!(!tree(&many).may_show_views());
        let more = vec![part(1, None, PartKind::Between, (0, 0)); MAX_PARTS + 1];
        assert!(tree(&more).may_show_views());
    }
}
