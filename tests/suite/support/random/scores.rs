//! Scores, customers and tags that contradict each other.

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use runtraced::proto;
use runtraced::proto::event::Event as Body;
use uuid::Uuid;

use super::Random;
use crate::support::events::id;

impl Random {
    /// A customer that exists, one that does not, or a name.
    pub(super) fn customer_name(&mut self) -> Option<String> {
        let id = Uuid::from_slice(&self.customer()).map(|id| id.to_string());
        let names = ["acme".to_owned(), "-".repeat(36), id.unwrap_or_default()];
        self.maybe(0.4, |r| names.choose(&mut r.rng).cloned())
            .flatten()
    }

    pub(super) fn tags(&mut self) -> Option<String> {
        let tags = ["[]", "[\"a\"]", "[\"b\", \"\\u00e9\"]"];
        self.maybe(0.3, |r| (*tags.choose(&mut r.rng).unwrap()).to_owned())
    }

    /// One score, told up to three times.
    pub(super) fn score(&mut self, run: Uuid, score: Uuid, steps: &[Uuid]) {
        for _ in 0..self.upto(1, 3) {
            let step = self.maybe(0.5, |r| steps.choose(&mut r.rng).copied());
            let values = [0.0, -0.0, 1.0, -1.5, 1e300, f64::MIN_POSITIVE];
            let added = proto::ScoreAdded {
                score_id: id(score),
                run_id: id(run),
                step_id: step.flatten().map(id).unwrap_or_default(),
                name: ["a", "B", "é"][self.rng.random_range(0..3)].to_owned(),
                value: self.maybe(0.7, |r| *values.choose(&mut r.rng).unwrap()),
                label: self.text(),
                comment: self.text(),
                source: self.text(),
                metadata_json: self.object(),
            };
            self.push(Body::ScoreAdded(added));
        }
    }
}
