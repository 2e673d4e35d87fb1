//! Decides which of several steps shows the call that they describe.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::tool_name;

/// What a step tells about its call.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct CallView {
    pub id: Uuid,
    pub run: Uuid,
    pub is_tool: bool,
    pub name: Option<String>,
    pub view: i16,
    pub started_at: i64,
    pub failed: bool,
    pub completed: bool,
    pub has_input: bool,
    pub has_output: bool,
    pub has_model: bool,
    pub count: Option<ViewedCount>,
}

/// The token count of a step.
#[derive(Clone, Copy, Debug)]
pub struct ViewedCount {
    /// Its id.
    pub id: Uuid,
    /// How many of its numbers are known.
    pub parts: i32,
    /// Input and output together.
    pub tokens: i64,
}

/// Two steps that may describe one call.
#[derive(Clone, Copy, Debug)]
pub struct CallTie {
    /// One of them.
    pub call: Uuid,
    /// The other.
    pub other: Uuid,
    /// What ties them.
    pub kind: TieKind,
}

/// What ties two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieKind {
    /// The other is the nearest call above the first.
    Nested,
    /// Both have one id, and overlap.
    Same,
    /// The first is a server's view, and within the time of the other.
    Within,
}

/// A step that shows a call, and the steps that fill what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FilledCall {
    pub id: Uuid,
    pub model_of: Option<Uuid>,
    pub input_of: Option<Uuid>,
    pub output_of: Option<Uuid>,
    pub failure_of: Option<Uuid>,
}

/// How the rows of several views change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownViews {
    /// Steps that show as views of another step.
    pub hidden: Vec<Uuid>,
    /// Steps that show a call and are filled from its views.
    pub filled: Vec<FilledCall>,
    /// Token counts of which another step has the same.
    pub counted_twice: Vec<Uuid>,
}

impl ShownViews {
    /// The steps that change.
    pub fn steps(&self) -> impl Iterator<Item = Uuid> {
        let filled = self.filled.iter().map(|call| call.id);
        self.hidden.iter().copied().chain(filled)
    }
}

/// Decides which step shows each call.
///
/// Nested calls are one call. The exception is a call with several calls below it that did
/// not fail: it is a wrapper around these, and not a call itself. Failed calls beside one
/// that did not fail are attempts of one call.
pub fn decide(calls: &[CallView], ties: &[CallTie]) -> ShownViews {
    let mut calls: Vec<&CallView> = calls.iter().collect();
    calls.sort_unstable_by_key(|call| call.id);
    let slots: HashMap<Uuid, usize> = calls
        .iter()
        .enumerate()
        .map(|(slot, call)| (call.id, slot))
        .collect();
    let tied: Vec<(usize, usize, TieKind)> = ties
        .iter()
        .filter_map(|tie| Some((*slots.get(&tie.call)?, *slots.get(&tie.other)?, tie.kind)))
        .filter(|(a, b, _)| may_be_one(calls[*a], calls[*b]))
        .collect();
    let of_kind = |kind: TieKind| tied.iter().filter(move |tie| tie.2 == kind);
    let mut groups = Groups((0..calls.len()).collect());
    for (a, b, _) in of_kind(TieKind::Same) {
        groups.join(*a, *b);
    }
    let mut above: Vec<Option<usize>> = vec![None; calls.len()];
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); calls.len()];
    for &(call, other, _) in of_kind(TieKind::Nested) {
        above[call] = Some(other);
        below[other].push(call);
    }
    // A server's view has one caller: the one that called last.
    let mut callers: HashMap<usize, usize> = HashMap::new();
    for &(call, other, _) in of_kind(TieKind::Within) {
        let caller = callers.entry(call).or_insert(other);
        let order = |slot: usize| (calls[slot].started_at, calls[slot].id);
        if order(other) > order(*caller) {
            *caller = other;
        }
    }
    let is_wrapper: Vec<bool> = below
        .iter()
        .map(|below| {
            let done = below.iter().filter(|call| !calls[**call].failed);
            done.map(|call| groups.of(*call))
                .collect::<HashSet<_>>()
                .len()
                > 1
        })
        .collect();
    for (call, other) in above.iter().enumerate() {
        if let Some(other) = other.filter(|other| !is_wrapper[*other]) {
            groups.join(call, other);
        }
    }
    for (call, caller) in callers {
        if above[call].is_none() && !is_wrapper[call] && !is_wrapper[caller] {
            above[call] = Some(caller);
            groups.join(call, caller);
        }
    }
    let group_of: Vec<usize> = (0..calls.len()).map(|slot| groups.of(slot)).collect();
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut counted: HashSet<usize> = HashSet::new();
    for (slot, &group) in group_of.iter().enumerate() {
        members.entry(group).or_default().push(slot);
        if calls[slot].count.is_some() {
            counted.insert(group);
        }
    }
    let decided = Decided {
        calls: &calls,
        depths: depths(&above),
        above: &above,
        group_of: &group_of,
    };
    let mut shown = ShownViews::default();
    for (own, group) in &members {
        let mut wrappers = group.iter().filter(|slot| is_wrapper[**slot]).peekable();
        if wrappers.peek().is_some() {
            let mut inner = wrappers.flat_map(|wrapper| &below[*wrapper]);
            let counted =
                inner.any(|call| group_of[*call] != *own && counted.contains(&group_of[*call]));
            decided.hide(group, !counted, &mut shown);
        } else if group.len() > 1 {
            decided.show_one(group, &mut shown);
        }
    }
    shown.hidden.sort_unstable();
    shown.filled.sort_unstable_by_key(|call| call.id);
    shown.counted_twice.sort_unstable();
    shown
}

/// How many views are above each call. A call in a circle, which a broken trace may have, or
/// below one has as many as there are calls.
fn depths(above: &[Option<usize>]) -> Vec<usize> {
    let mut depths: Vec<Option<usize>> = vec![None; above.len()];
    let mut seen_from: Vec<Option<usize>> = vec![None; above.len()];
    for start in 0..above.len() {
        // Up to a call whose depth is known, to the top, or round a circle, and then down again.
        let (mut path, mut slot) = (Vec::new(), Some(start));
        while let Some(at) =
            slot.filter(|at| depths[*at].is_none() && seen_from[*at] != Some(start))
        {
            seen_from[at] = Some(start);
            path.push(at);
            slot = above[at];
        }
        let mut depth = match slot {
            None => 0,
            Some(known) => depths[known].map_or(above.len(), |depth| depth.saturating_add(1)),
        };
        for at in path.into_iter().rev() {
            let capped = depth.min(above.len());
            depths[at] = Some(capped);
            depth = capped + 1;
        }
    }
    depths.into_iter().map(Option::unwrap_or_default).collect()
}

/// The calls, and for each the nearest call above that is a view of the same call.
struct Decided<'a> {
    calls: &'a [&'a CallView],
    above: &'a [Option<usize>],
    depths: Vec<usize>,
    group_of: &'a [usize],
}

impl Decided<'_> {
    /// The calls of its group above a call.
    fn group_above(&self, slot: usize) -> HashSet<usize> {
        let in_group = |above: &usize| self.group_of[*above] == self.group_of[slot];
        let mut found = HashSet::new();
        let mut next = self.above[slot].filter(in_group);
        while let Some(above) = next.filter(|above| found.insert(*above)) {
            next = self.above[above].filter(in_group);
        }
        found
    }

    /// Hides every call of a group. The counts stay if nothing below has any.
    fn hide(&self, group: &[usize], keep_count: bool, shown: &mut ShownViews) {
        shown
            .hidden
            .extend(group.iter().map(|slot| self.calls[*slot].id));
        let best = self.best_count(group).filter(|_| keep_count);
        self.drop_counts(group, best, shown);
    }

    /// The count with the most parts, then the most tokens.
    fn best_count(&self, group: &[usize]) -> Option<Uuid> {
        let counts = group.iter().filter_map(|slot| self.calls[*slot].count);
        let best = counts.max_by_key(|count| (count.parts, count.tokens, Reverse(count.id)));
        best.map(|count| count.id)
    }

    fn drop_counts(&self, group: &[usize], kept: Option<Uuid>, shown: &mut ShownViews) {
        let counts = group.iter().filter_map(|slot| self.calls[*slot].count);
        let dropped = counts.map(|count| count.id).filter(|id| Some(*id) != kept);
        shown.counted_twice.extend(dropped);
    }

    /// The fullest view shows the call; of equal ones the outermost.
    fn show_one(&self, group: &[usize], shown: &mut ShownViews) {
        let mut ordered = group.to_vec();
        ordered.sort_unstable_by_key(|slot| {
            let call = self.calls[*slot];
            let facts = [call.has_output, call.has_input, call.has_model];
            Reverse((
                call.view,
                facts,
                Reverse(self.depths[*slot]),
                Reverse(call.id),
            ))
        });
        let Some((&winner, others)) = ordered.split_first() else {
            return;
        };
        let filled_by = |lacks: bool, has: fn(&CallView) -> bool| {
            let mut others = others.iter().map(|slot| self.calls[*slot]);
            others
                .find(|other| lacks && has(other))
                .map(|other| other.id)
        };
        let call = self.calls[winner];
        let filled = FilledCall {
            id: call.id,
            model_of: filled_by(!call.has_model, |other| other.has_model),
            input_of: filled_by(!call.has_input, |other| other.has_input),
            output_of: filled_by(!call.has_output, |other| other.has_output),
            failure_of: self.failure(winner, others),
        };
        let sources = [
            filled.model_of,
            filled.input_of,
            filled.output_of,
            filled.failure_of,
        ];
        if sources.iter().any(Option::is_some) {
            shown.filled.push(filled);
        }
        shown
            .hidden
            .extend(others.iter().map(|slot| self.calls[*slot].id));
        self.drop_counts(group, self.best_count(group), shown);
    }

    /// The view whose failure is that of the call, although the view that shows it
    /// completed: one above it, or one of a tool that was not tried again. Frameworks turn
    /// the error of a tool into a text for the model.
    fn failure(&self, winner: usize, others: &[usize]) -> Option<Uuid> {
        if !self.calls[winner].completed {
            return None;
        }
        let above_winner = self.group_above(winner);
        // Below which calls something did not fail.
        let beside = others.iter().chain([&winner]);
        let done = beside.filter(|other| !self.calls[**other].failed);
        let done_below: HashSet<Option<usize>> = done.map(|other| self.above[*other]).collect();
        let fails = |slot: &&usize| {
            let call = self.calls[**slot];
            let tried_again = || done_below.contains(&self.above[**slot]);
            call.failed && (above_winner.contains(*slot) || call.is_tool && !tried_again())
        };
        let failed = others.iter().filter(fails);
        let deepest =
            failed.max_by_key(|slot| (self.depths[**slot], Reverse(self.calls[**slot].id)));
        deepest.map(|slot| self.calls[*slot].id)
    }
}

/// Disjoint sets of calls, by the slot of one of them.
struct Groups(Vec<usize>);

impl Groups {
    fn of(&mut self, slot: usize) -> usize {
        let mut slot = slot;
        while self.0[slot] != slot {
            // Halves the way of the next search.
            self.0[slot] = self.0[self.0[slot]];
            slot = self.0[slot];
        }
        slot
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        // The lesser slot stays the root.
        self.0[a.max(b)] = a.min(b);
    }
}

/// Whether two nested calls may be one: a tool that calls another tool is not.
fn may_be_one(a: &CallView, b: &CallView) -> bool {
    if a.is_tool != b.is_tool || a.run != b.run {
        return false;
    }
    if !a.is_tool {
        return true;
    }
    let [a, b] = [a, b].map(|call| call.name.as_deref().unwrap_or_default());
    tool_name::is_same(a, b)
}

#[cfg(test)]
mod tests;
