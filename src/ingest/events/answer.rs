//! The answer to a settled request: what became of its events.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;

use super::error::json_response;
use crate::event::{Refusal, RefusalCode, Repairs};
use crate::pipeline::{BatchOutcome, Durability};

/// The code of a line that is no event.
const NOT_AN_EVENT: &str = "NOT_AN_EVENT";
/// The code of an answer to a body of which nothing was taken.
const ALL_REFUSED: (&str, &str) = ("every event of the body was refused", "refused");

/// What became of the events of a body. Each counts once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventsAnswer {
    /// Events that are stored, in Postgres or in the spool.
    pub accepted: u64,
    /// Events that were stored before.
    pub duplicate: u64,
    /// Events that were not stored, by line.
    pub refused: Vec<RefusedEvent>,
    /// How safe the stored events are.
    pub durability: &'static str,
    /// Events that are in the spool.
    pub spooled: u64,
    /// Characters that were replaced.
    pub repaired: RepairedText,
    /// Why the request failed as a whole.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub failure: Option<AllRefused>,
}

/// One refused event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedEvent {
    /// Its line in the body, or its place in the array, from 1.
    pub line: u32,
    /// The reason, for programs.
    pub code: String,
    /// The reason, for people.
    pub reason: String,
}

/// Characters that U+FFFD replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct RepairedText {
    pub nuls: u64,
    pub surrogates: u64,
}

/// What the answer says besides if no event was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct AllRefused {
    pub error: &'static str,
    pub code: &'static str,
}

impl RefusedEvent {
    /// A line that is no event.
    pub(super) fn malformed(line: u32, reason: String) -> Self {
        Self {
            line,
            code: NOT_AN_EVENT.to_owned(),
            reason,
        }
    }

    fn of((line, refusal): (u32, Refusal)) -> Self {
        Self {
            line,
            code: code(refusal.code),
            reason: refusal.reason,
        }
    }
}

/// The name of a code in the protocol.
fn code(code: RefusalCode) -> String {
    code.as_str().to_ascii_uppercase()
}

impl EventsAnswer {
    /// Combines the lines that are no events with the outcome of the others.
    pub(super) fn new(
        malformed: Vec<RefusedEvent>,
        outcome: BatchOutcome,
        repairs: Repairs,
    ) -> Self {
        let mut refused = malformed;
        refused.extend(outcome.refused.into_iter().map(RefusedEvent::of));
        refused.sort_by_key(|refused| refused.line);
        let accepted = outcome.committed + outcome.spooled;
        let none_taken = accepted == 0 && outcome.duplicate == 0 && !refused.is_empty();
        let (error, code) = ALL_REFUSED;
        Self {
            accepted,
            duplicate: outcome.duplicate,
            refused,
            durability: match outcome.durability {
                Durability::Spooled => "SPOOLED",
                Durability::Committed => "COMMITTED",
            },
            spooled: outcome.spooled,
            repaired: RepairedText {
                nuls: repairs.nuls,
                surrogates: repairs.surrogates,
            },
            failure: none_taken.then_some(AllRefused { error, code }),
        }
    }

    pub(super) fn response(&self) -> Response<Body> {
        let status = match self.failure {
            None => StatusCode::OK,
            Some(_) => StatusCode::BAD_REQUEST,
        };
        match serde_json::to_string(self) {
            Ok(body) => json_response(status, body),
            Err(_) => super::EventsError::Internal.response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(committed: u64, duplicate: u64, refused: &[u32]) -> BatchOutcome {
        BatchOutcome {
            durability: Durability::Committed,
            committed,
            duplicate,
            spooled: 0,
            refused: refused
                .iter()
                .map(|line| {
                    (
                        *line,
                        Refusal::new(RefusalCode::MissingField, "time is required"),
                    )
                })
                .collect(),
        }
    }

    #[test]
    fn refusals_are_in_the_order_of_lines() {
        let malformed = vec![RefusedEvent::malformed(4, "column 1: no".into())];
        let answer = EventsAnswer::new(malformed, outcome(2, 1, &[9, 2]), Repairs::default());
        let said: Vec<(u32, &str)> = answer
            .refused
            .iter()
            .map(|refused| (refused.line, refused.code.as_str()))
            .collect();
        let missing = "MISSING_FIELD";
        assert_eq!(said, [(2, missing), (4, NOT_AN_EVENT), (9, missing)]);
        assert_eq!(answer.response().status(), StatusCode::OK);
    }

    #[test]
    fn only_a_body_of_which_nothing_is_taken_is_an_error() {
        for (committed, duplicate, refused, status) in [
            (0, 0, &[1][..], 400),
            (1, 0, &[2], 200),
            (0, 1, &[2], 200),
            (0, 0, &[], 200),
        ] {
            let outcome = outcome(committed, duplicate, refused);
            let answer = EventsAnswer::new(Vec::new(), outcome, Repairs::default());
            assert_eq!(answer.response().status(), status, "{answer:?}");
            let body = serde_json::to_value(&answer).unwrap();
            assert_eq!(body.get("error").is_some(), status == 400, "{body}");
        }
    }
}
