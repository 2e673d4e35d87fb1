//! The answer to one client's batch, put together from its shards' parts.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::{BatchOutcome, Durability};
use crate::event::Refusal;
use crate::store::EventOutcome;

/// The batch was not settled: the daemon is going down. Send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is shutting down; the batch is not settled")]
pub struct DroppedUnsettled;

/// Waits for a batch to be settled.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<BatchOutcome>);

impl Ticket {
    /// What became of the batch, once all of it is durable or refused.
    ///
    /// # Errors
    /// When the daemon goes down before that.
    pub async fn settled(&mut self) -> Result<BatchOutcome, DroppedUnsettled> {
        (&mut self.0).await.map_err(|_| DroppedUnsettled)
    }

    /// The same without waiting; `None` while it is not settled.
    pub fn try_settled(&mut self) -> Option<Result<BatchOutcome, DroppedUnsettled>> {
        match self.0.try_recv() {
            Ok(outcome) => Some(Ok(outcome)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(DroppedUnsettled)),
        }
    }
}

/// Gathers the parts. When the last one is in, the ticket is answered and the
/// batch's share of the byte budget is free again.
#[derive(Debug)]
pub(super) struct Tracker(Mutex<State>);

/// What a batch holds of the budget; and of the part of it for those that wait
/// for Postgres.
#[derive(Debug)]
pub(super) struct BudgetShare {
    pub _budget: OwnedSemaphorePermit,
    pub _waiting: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct State {
    parts_left: usize,
    outcome: BatchOutcome,
    answer: Option<(oneshot::Sender<BatchOutcome>, BudgetShare)>,
}

impl Tracker {
    /// A tracker of so many parts; with none the ticket is answered at once.
    pub fn new(
        parts: usize,
        refused: Vec<(u32, Refusal)>,
        permit: BudgetShare,
    ) -> (Arc<Self>, Ticket) {
        let (sender, receiver) = oneshot::channel();
        let outcome = BatchOutcome {
            durability: Durability::Committed,
            committed: 0,
            duplicate: 0,
            spooled: 0,
            refused,
        };
        let mut state = State {
            parts_left: parts,
            outcome,
            answer: Some((sender, permit)),
        };
        if parts == 0 {
            state.reply();
        }
        (Arc::new(Self(Mutex::new(state))), Ticket(receiver))
    }

    /// One shard has settled its part: written, or spooled where there is no outcome yet.
    pub fn settle(&self, outcomes: impl Iterator<Item = (u32, Option<EventOutcome>)>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, outcome) in outcomes {
            match outcome {
                Some(EventOutcome::Committed) => state.outcome.committed += 1,
                Some(EventOutcome::Duplicate) => state.outcome.duplicate += 1,
                Some(EventOutcome::Refused(refusal) | EventOutcome::DeadLettered(refusal)) => {
                    state.outcome.refused.push((index, refusal));
                }
                None => {
                    state.outcome.spooled += 1;
                    state.outcome.durability = Durability::Spooled;
                }
            }
        }
        state.parts_left -= 1;
        if state.parts_left == 0 {
            state.reply();
        }
    }
}

impl State {
    fn reply(&mut self) {
        self.outcome
            .refused
            .sort_unstable_by_key(|(index, _)| *index);
        if let Some((answer, permit)) = self.answer.take() {
            // First, so that who is answered finds the room free.
            drop(permit);
            let refused = std::mem::take(&mut self.outcome.refused);
            // Nobody listens any more: the client has gone, its events have not.
            let _ = answer.send(BatchOutcome {
                refused,
                ..self.outcome.clone()
            });
        }
    }
}
