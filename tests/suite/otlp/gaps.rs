//! What is known not to be as it should. The test of the corpus fails when
//! there is another gap, and when one of these is no longer there.

use super::fact::Fact;

/// Facts that are lost in some scenarios of an SDK.
pub struct Gap {
    /// The SDK.
    pub sdk: &'static str,
    /// Its scenarios, separated by spaces.
    pub scenarios: &'static str,
    /// What is lost in each of them.
    pub facts: &'static [Fact],
    /// Why.
    pub reason: &'static str,
}

impl Gap {
    /// Whether it is about this.
    pub fn covers(&self, sdk: &str, scenario: &str, fact: Fact) -> bool {
        let mut scenarios = self.scenarios.split(' ');
        self.sdk == sdk && self.facts.contains(&fact) && scenarios.any(|name| name == scenario)
    }
}

/// All of them.
pub const GAPS: &[Gap] = &[];
