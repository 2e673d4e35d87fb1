//! Passes the decisions of people from the web to the native protocol.

use std::sync::Arc;

use prost_types::Timestamp;

use crate::ingest::native::{DecisionSource, MadeDecisions, TooManyWatched, WatchedApprovals};
use crate::proto::{ApprovalDecision, ApprovalStatus};
use crate::query::ApprovalsOf;
use crate::web::{AgentDecision, ApprovalWatch};

const MICROS: i64 = 1_000_000;

/// Decisions as the native protocol tells them.
pub(super) fn decision_source(watch: ApprovalWatch) -> DecisionSource {
    DecisionSource(Arc::new(move |watched, tenant, known| {
        let watch = watch.clone();
        Box::pin(async move {
            let of = match watched {
                WatchedApprovals::One(id) => ApprovalsOf::One(id),
                WatchedApprovals::Run(id) => ApprovalsOf::Run(id),
            };
            let (count, made) = watch
                .decisions(of, tenant, known)
                .await
                .map_err(|_| TooManyWatched)?;
            let seen = made.into_iter().map(decision).collect();
            Ok(MadeDecisions { count, seen })
        })
    }))
}

fn decision(made: AgentDecision) -> ApprovalDecision {
    let status = match made.status.as_str() {
        "approved" => ApprovalStatus::Approved,
        "rejected" => ApprovalStatus::Rejected,
        _ => ApprovalStatus::Expired,
    };
    ApprovalDecision {
        approval_id: made.approval.as_bytes().to_vec().into(),
        status: status.into(),
        decided_at: made.decided_us.map(|us| Timestamp {
            seconds: us.div_euclid(MICROS),
            // Below a second, so it fits.
            nanos: i32::try_from(us.rem_euclid(MICROS) * 1_000).unwrap_or_default(),
        }),
        notes: made.notes,
    }
}
