//! What a writer tells of its transactions, as parts of a write batch.

use std::borrow::Cow;
use std::time::Instant;

use super::Writer;
use crate::histograms::PhaseTimes;
use crate::own_spans::WorkPart;
use crate::store::batch::BatchError;
use crate::store::error::{FailureClass, classify_failure, sqlstate};
use crate::store::plan::Rung;

/// Transactions of one write batch that are told. While the database is away, a writer may
/// try for hours.
const MAX_TRANSACTIONS: usize = 16;

impl Writer {
    /// Takes the transactions since the last call.
    #[must_use]
    pub fn take_transactions(&mut self) -> Vec<WorkPart> {
        std::mem::take(&mut self.transactions)
    }

    pub(super) fn note(&mut self, transaction: impl FnOnce() -> WorkPart) {
        if self.config.own_spans.is_on() && self.transactions.len() < MAX_TRANSACTIONS {
            self.transactions.push(transaction());
        }
    }
}

/// A transaction whose last phase before its commit ended at `written`.
pub(super) fn committed(
    rung: Rung,
    begin: Instant,
    times: PhaseTimes,
    written: Instant,
) -> WorkPart {
    transaction(rung, begin).with_phases(times, written)
}

/// A transaction that failed. That rows exist already, or that COPY is forbidden, is no fault:
/// the writer merges instead.
pub(super) fn rolled_back(rung: Rung, begin: Instant, error: &BatchError) -> WorkPart {
    let mut part = transaction(rung, begin);
    match error {
        BatchError::Sql(source) | BatchError::RefusedRow { source, .. } => {
            match classify_failure(source) {
                FailureClass::RowExists if rung == Rung::Append => {
                    return part.with_fact("runtraced.merges_because", "rows exist");
                }
                FailureClass::CopyForbidden if rung == Rung::Append => {
                    return part.with_fact("runtraced.merges_because", "COPY is forbidden");
                }
                _ => {}
            }
            part.failure = Some(Cow::Owned(sqlstate(source)));
        }
        BatchError::MissingRow => part.failure = Some(Cow::Borrowed("missing_row")),
        BatchError::NeedsSplit => part.failure = Some(Cow::Borrowed("needs_split")),
        BatchError::Gone(_) => part.failure = Some(Cow::Borrowed("gone")),
    }
    part
}

fn transaction(rung: Rung, begin: Instant) -> WorkPart {
    let rung = match rung {
        Rung::Append => "append",
        Rung::Merge => "merge",
    };
    WorkPart::new("transaction", begin, Instant::now()).with_fact("runtraced.rung", rung)
}
