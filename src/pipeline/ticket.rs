//! The outcome of one client's batch, gathered from its shards.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::{BatchOutcome, Durability};
use crate::event::Refusal;
use crate::histograms::{AckedAs, BatchClock};
use crate::store::EventOutcome;

/// The position of an event that another server of the store has too, and counts. Batches have fewer
/// events.
pub(super) const COPY: u32 = u32::MAX;

/// The batch was dropped unsettled because the daemon is shutting down. The client must
/// send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is shutting down; the batch is not settled")]
pub struct DroppedUnsettled;

/// Waits until a batch is settled.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<BatchOutcome>);

impl Ticket {
    /// Waits until every event of the batch is durable or refused, and returns the
    /// outcome.
    ///
    /// # Errors
    /// When the daemon shuts down before that.
    pub async fn settled(&mut self) -> Result<BatchOutcome, DroppedUnsettled> {
        (&mut self.0).await.map_err(|_| DroppedUnsettled)
    }

    /// Like [`Self::settled`], but does not wait. `None`: the batch is not settled yet.
    pub fn try_settled(&mut self) -> Option<Result<BatchOutcome, DroppedUnsettled>> {
        match self.0.try_recv() {
            Ok(outcome) => Some(Ok(outcome)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(DroppedUnsettled)),
        }
    }
}

/// Gathers the outcomes of the units of a batch. After the last one, it frees the batch's
/// share of the memory budget and answers the ticket.
#[derive(Debug)]
pub(super) struct Tracker(Mutex<TrackerState>);

/// A batch's share of the memory budgets.
#[derive(Debug)]
pub(super) struct BudgetShare {
    pub _budget: OwnedSemaphorePermit,
    /// Only for batches that must be committed.
    pub _committed_budget: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct TrackerState {
    parts_left: usize,
    outcome: BatchOutcome,
    answer: Option<(oneshot::Sender<BatchOutcome>, BudgetShare, BatchClock)>,
}

impl Tracker {
    /// A tracker of `parts` units. Without units, the ticket is answered at once.
    pub fn new(
        parts: usize,
        refused: Vec<(u32, Refusal)>,
        share: BudgetShare,
        clock: BatchClock,
    ) -> (Arc<Self>, Ticket) {
        let (sender, receiver) = oneshot::channel();
        let outcome = BatchOutcome {
            durability: Durability::Committed,
            committed: 0,
            duplicate: 0,
            spooled: 0,
            refused,
        };
        let mut state = TrackerState {
            parts_left: parts,
            outcome,
            answer: Some((sender, share, clock)),
        };
        if parts == 0 {
            state.reply();
        }
        (Arc::new(Self(Mutex::new(state))), Ticket(receiver))
    }

    /// Records the outcomes of a unit, by position in the batch. `None`: the event is
    /// spooled.
    pub fn settle(&self, outcomes: impl Iterator<Item = (u32, Option<EventOutcome>)>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, outcome) in outcomes {
            if index == COPY {
                if outcome.is_none() {
                    state.outcome.durability = Durability::Spooled;
                }
                continue;
            }
            match outcome {
                Some(EventOutcome::Committed) => state.outcome.committed += 1,
                Some(EventOutcome::Duplicate) => state.outcome.duplicate += 1,
                Some(
                    EventOutcome::Refused(refusal)
                    | EventOutcome::DeadLettered(refusal)
                    | EventOutcome::Ignored(refusal),
                ) => state.outcome.refused.push((index, refusal)),
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

impl TrackerState {
    fn reply(&mut self) {
        self.outcome
            .refused
            .sort_unstable_by_key(|(index, _)| *index);
        if let Some((answer, share, clock)) = self.answer.take() {
            clock.settled(match self.outcome.durability {
                Durability::Committed => AckedAs::Committed,
                Durability::Spooled => AckedAs::Spooled,
            });
            // Before the answer, so that a client that sends again finds its share free.
            drop(share);
            let refused = std::mem::take(&mut self.outcome.refused);
            // This fails if the client is gone; its events are settled all the same.
            let _ = answer.send(BatchOutcome {
                refused,
                ..self.outcome.clone()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::histograms::{BatchSource, Histograms};

    #[test]
    fn a_copy_on_another_server_is_not_counted_and_must_be_durable() {
        let histograms = Arc::new(Histograms::default());
        let budget = Arc::new(Semaphore::new(1));
        let share = BudgetShare {
            _budget: budget.clone().try_acquire_owned().unwrap(),
            _committed_budget: None,
        };
        let clock = histograms.admitted(BatchSource::default(), None);
        let (tracker, mut ticket) = Tracker::new(2, Vec::new(), share, clock);
        tracker.settle([(0, Some(EventOutcome::Committed))].into_iter());
        assert!(ticket.try_settled().is_none(), "the copy is not settled");
        tracker.settle([(COPY, None)].into_iter());
        let outcome = ticket.try_settled().unwrap().unwrap();
        assert_eq!((outcome.committed, outcome.spooled), (1, 0));
        assert_eq!(
            outcome.durability,
            Durability::Spooled,
            "the copy is in the spool"
        );
        assert_eq!(budget.available_permits(), 1);
    }
}
