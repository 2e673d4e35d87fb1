//! The wire form of durability and outcomes.

use tonic::Status;

use crate::event::RefusalCode;
use crate::pipeline::{BatchOutcome, Durability};
use crate::proto;

/// The status for a message that cannot be decoded.
pub(super) fn undecodable(error: prost::DecodeError) -> Status {
    Status::internal(error.to_string())
}

pub(super) fn durability(durability: Durability) -> proto::Durability {
    match durability {
        Durability::Spooled => proto::Durability::Spooled,
        Durability::Committed => proto::Durability::Committed,
    }
}

/// The durability that a client waits for. A value of a later version counts as the
/// safest one.
pub(super) fn min_durability(wire: i32) -> Durability {
    match proto::Durability::try_from(wire) {
        Ok(proto::Durability::Unspecified | proto::Durability::Spooled) => Durability::Spooled,
        Ok(proto::Durability::Committed) | Err(_) => Durability::Committed,
    }
}

/// Encodes an outcome. `sequence` is that of the batch.
pub(super) fn encode_outcome(outcome: BatchOutcome, sequence: u64) -> proto::Outcome {
    let refused = outcome
        .refused
        .into_iter()
        .map(|(index, refusal)| proto::Refusal {
            sequence,
            index,
            code: refusal_code(refusal.code).into(),
            reason: refusal.reason,
        });
    proto::Outcome {
        committed: outcome.committed,
        duplicate: outcome.duplicate,
        refused: refused.collect(),
        spooled: outcome.spooled,
    }
}

fn refusal_code(code: RefusalCode) -> proto::RefusalCode {
    match code {
        RefusalCode::MissingField => proto::RefusalCode::MissingField,
        RefusalCode::InvalidId => proto::RefusalCode::InvalidId,
        RefusalCode::UnknownEnumValue => proto::RefusalCode::UnknownEnumValue,
        RefusalCode::InvalidJson => proto::RefusalCode::InvalidJson,
        RefusalCode::JsonTooDeep => proto::RefusalCode::JsonTooDeep,
        RefusalCode::NumberOutOfRange => proto::RefusalCode::NumberOutOfRange,
        RefusalCode::TimeOutOfRange => proto::RefusalCode::TimeOutOfRange,
        RefusalCode::IdConflict => proto::RefusalCode::IdConflict,
        RefusalCode::DeadLettered => proto::RefusalCode::DeadLettered,
        RefusalCode::FieldTooLong => proto::RefusalCode::FieldTooLong,
        RefusalCode::PermissionDenied => proto::RefusalCode::PermissionDenied,
        RefusalCode::RunGone => proto::RefusalCode::RunGone,
    }
}
