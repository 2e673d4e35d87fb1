//! Scores, and the numbers that they hold.

use uuid::Uuid;

use super::json::Json;

/// A run or a step was assessed.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // `event.proto` documents the fields
pub struct Score {
    pub score_id: Uuid,
    pub run_id: Uuid,
    pub step_id: Option<Uuid>,
    pub name: String,
    pub value: Option<FiniteNumber>,
    pub label: Option<String>,
    pub comment: Option<String>,
    pub source: Option<String>,
    pub metadata: Option<Json>,
}

/// A double that is neither NaN nor infinite. It has a total order, which is that of
/// Postgres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FiniteNumber(f64);

impl FiniteNumber {
    /// `None` for NaN and infinity.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        // Postgres stores -0 and 0 differently but takes them for equal. Adding 0
        // leaves one of them.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Eq for FiniteNumber {}

impl Ord for FiniteNumber {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for FiniteNumber {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_pass_and_zero_has_no_sign() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(FiniteNumber::new(number), None);
        }
        let zero = FiniteNumber::new(-0.0).unwrap();
        assert!(zero.get().is_sign_positive());
        assert_eq!(
            zero.cmp(&FiniteNumber::new(0.0).unwrap()),
            std::cmp::Ordering::Equal
        );
        assert!(FiniteNumber::new(-1.0) < FiniteNumber::new(f64::MIN_POSITIVE));
    }
}
