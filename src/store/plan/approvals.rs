//! Reduces the requests and decisions of each approval.

use std::collections::HashMap;

use uuid::Uuid;

use super::order::{Contest, DecisionKey, RequestKey, decision, request};
use super::types::{ApprovalPatch, PlannedEvent};
use crate::event::{ApprovalDecided, ApprovalRequested};

/// One patch per approval.
#[derive(Debug, Default)]
pub(super) struct ApprovalPatches<'a> {
    patches: Vec<ApprovalPatch<'a>>,
    slots: HashMap<Uuid, usize>,
    requests: Contest<RequestKey<'a>>,
    decisions: Contest<DecisionKey<'a>>,
}

impl<'a> ApprovalPatches<'a> {
    /// Adds a request. False if the approval belongs to another run or session.
    #[must_use]
    pub fn request(&mut self, new: PlannedEvent<'a, ApprovalRequested>) -> bool {
        let e = new.event;
        let Some(slot) = self.slot(e.approval_id, e.run_id, e.session_id) else {
            return false;
        };
        match &mut self.patches[slot].request {
            Some(winner) => self.requests.enter(slot, winner, new, request),
            none => *none = Some(new),
        }
        true
    }

    /// Adds a decision. False if the approval belongs to another run or session.
    #[must_use]
    pub fn decision(&mut self, new: PlannedEvent<'a, ApprovalDecided>) -> bool {
        let e = new.event;
        let Some(slot) = self.slot(e.approval_id, e.run_id, e.session_id) else {
            return false;
        };
        let patch = &mut self.patches[slot];
        if e.session_id > patch.session_id {
            patch.session_id = e.session_id;
            patch.session_from = Some(new.index);
        }
        match &mut patch.decision {
            Some(winner) => self.decisions.enter(slot, winner, new, decision),
            none => *none = Some(new),
        }
        true
    }

    /// The patch of an approval; `None` if it belongs to another run or session.
    fn slot(&mut self, id: Uuid, run_id: Option<Uuid>, session_id: Option<Uuid>) -> Option<usize> {
        let patches = &mut self.patches;
        let slot = *self.slots.entry(id).or_insert_with(|| {
            patches.push(ApprovalPatch {
                id,
                run_id,
                session_id: session_id.filter(|_| run_id.is_none()),
                request: None,
                decision: None,
                session_from: None,
            });
            patches.len() - 1
        });
        let patch = &patches[slot];
        let same = patch.run_id == run_id && (run_id.is_some() || patch.session_id == session_id);
        same.then_some(slot)
    }

    /// Returns the patches, and adds the events that do not show in them to `superseded`.
    pub fn finish(mut self, superseded: &mut Vec<(usize, usize)>) -> Vec<ApprovalPatch<'a>> {
        for patch in &mut self.patches {
            if let Some(request) = patch.request {
                patch.session_id = request.event.session_id;
                patch.session_from = None;
            }
        }
        for (loser, slot) in self.requests.into_losers() {
            let winner = self.patches[slot].request;
            superseded.extend(winner.map(|winner| (loser, winner.index)));
        }
        for (loser, slot) in self.decisions.into_losers() {
            let patch = &self.patches[slot];
            let winner = patch.decision.filter(|_| patch.session_from != Some(loser));
            superseded.extend(winner.map(|winner| (loser, winner.index)));
        }
        self.patches
    }
}
