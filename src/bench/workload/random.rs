//! Everything random in a workload, from one seed: ids, texts, choices.

use bytes::Bytes;
use uuid::Uuid;

/// Words of which texts are made; about as compressible as what agents say.
const WORDS: &[&str] = &[
    "account",
    "agreement",
    "answer",
    "billing",
    "budget",
    "churn",
    "clause",
    "contract",
    "customer",
    "deadline",
    "decision",
    "discount",
    "document",
    "email",
    "enterprise",
    "escalation",
    "evidence",
    "forecast",
    "invoice",
    "meeting",
    "metric",
    "milestone",
    "notice",
    "owner",
    "pipeline",
    "plan",
    "pricing",
    "product",
    "proposal",
    "quarter",
    "question",
    "renewal",
    "report",
    "request",
    "review",
    "risk",
    "schedule",
    "seat",
    "signal",
    "stakeholder",
    "summary",
    "support",
    "team",
    "ticket",
    "timeline",
    "upgrade",
    "usage",
    "value",
    "vendor",
    "workflow",
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "for",
    "with",
    "that",
    "on",
];

/// Which UUIDs the client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ids {
    /// Begin with the time: new rows are neighbours in the index.
    V7,
    /// All random: each row touches another page of the index.
    V4,
}

/// splitmix64 (Steele, Lea, Flood 2014): the same numbers on every machine and
/// with every version of every crate.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    ids: Ids,
}

impl Random {
    /// All that follows is decided by these two.
    #[must_use]
    pub fn new(seed: u64, ids: Ids) -> Self {
        Self { state: seed, ids }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Biased by less than one in 2^40 for the bounds used here.
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// A UUID as if made at `unix_ms`.
    pub fn id(&mut self, unix_ms: u64) -> Bytes {
        let random = u128::from(self.number()) << 64 | u128::from(self.number());
        let id = match self.ids {
            Ids::V4 => uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid(),
            Ids::V7 => {
                let [_, _, _, _, _, _, tail @ ..] = random.to_be_bytes();
                uuid::Builder::from_unix_timestamp_millis(unix_ms, &tail).into_uuid()
            }
        };
        bytes(id)
    }

    /// Words of about so many bytes.
    pub fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let word = self.below(WORDS.len() as u64) as usize;
            text.push_str(WORDS[word]);
            // A number here and there, as ids and amounts are.
            if word.is_multiple_of(7) {
                text.push_str(&format!(" {}", self.below(100_000)));
            }
            text.push(' ');
        }
        text.truncate(bytes);
        text
    }

    /// A JSON object of about so many bytes.
    pub fn json(&mut self, key: &str, bytes: usize) -> String {
        let rank = self.below(1_000);
        let rest = format!("{{\"{key}\":\"\",\"rank\":{rank},\"ok\":true}}").len();
        let text = self.text(bytes.saturating_sub(rest));
        format!("{{\"{key}\":\"{text}\",\"rank\":{rank},\"ok\":true}}")
    }
}

/// An id as the protocol carries it.
fn bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let made = |seed, ids| {
            let mut random = Random::new(seed, ids);
            (
                random.id(1_700_000_000_000),
                random.json("k", 200),
                random.below(10),
            )
        };
        assert_eq!(made(7, Ids::V7), made(7, Ids::V7));
        assert_ne!(made(7, Ids::V7), made(8, Ids::V7));
        assert_ne!(made(7, Ids::V7).0, made(7, Ids::V4).0);
    }

    #[test]
    fn ids_are_of_their_version_and_texts_of_their_size() {
        let mut random = Random::new(1, Ids::V7);
        let id = Uuid::from_slice(&random.id(1_700_000_000_000)).unwrap();
        assert_eq!(id.get_version_num(), 7);
        let mut random = Random::new(1, Ids::V4);
        let id = Uuid::from_slice(&random.id(0)).unwrap();
        assert_eq!(id.get_version_num(), 4);
        let json = random.json("query", 300);
        assert_eq!(json.len(), 300);
        assert!(
            serde_json::from_str::<serde_json::Value>(&json)
                .unwrap()
                .is_object()
        );
    }
}
