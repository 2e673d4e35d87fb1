//! Pseudo-random ids, texts and choices from one seed.

use bytes::Bytes;
use uuid::Uuid;

/// Words of generated texts. The texts compress about as well as those of real agents.
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

/// Every word with an index divisible by this is followed by a number.
const NUMBER_AFTER_WORD: usize = 7;

/// UUID version of the ids that the client generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IdVersion {
    /// Ids that begin with the time: new rows are neighbours in an index.
    V7,
    /// Random ids: each row touches a different page of an index.
    V4,
}

/// A splitmix64 generator (Steele, Lea and Flood, 2014). Written out here, so that its numbers
/// do not depend on the version of a crate.
#[derive(Clone, Debug)]
pub struct SeededRandom {
    state: u64,
    ids: IdVersion,
}

impl SeededRandom {
    /// A generator whose output depends only on its arguments.
    #[must_use]
    pub fn new(seed: u64, ids: IdVersion) -> Self {
        Self { state: seed, ids }
    }

    /// The next number of the sequence.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias is less than 2^-40 for the bounds used here.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A UUID in the protocol's form, with the time `unix_ms` if its version has a time.
    pub fn id(&mut self, unix_ms: u64) -> Bytes {
        let random = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
        let id = match self.ids {
            IdVersion::V4 => uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid(),
            IdVersion::V7 => {
                let [_, _, _, _, _, _, tail @ ..] = random.to_be_bytes();
                uuid::Builder::from_unix_timestamp_millis(unix_ms, &tail).into_uuid()
            }
        };
        id_bytes(id)
    }

    /// A text of exactly `bytes` bytes.
    pub fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let word = self.below(WORDS.len() as u64) as usize;
            text.push_str(WORDS[word]);
            // Real texts contain ids and amounts.
            if word.is_multiple_of(NUMBER_AFTER_WORD) {
                text.push_str(&format!(" {}", self.below(100_000)));
            }
            text.push(' ');
        }
        text.truncate(bytes);
        text
    }

    /// A JSON object of about `bytes` bytes.
    pub fn json(&mut self, key: &str, bytes: usize) -> String {
        let rank = self.below(1_000);
        let rest = format!("{{\"{key}\":\"\",\"rank\":{rank},\"ok\":true}}").len();
        let text = self.text(bytes.saturating_sub(rest));
        format!("{{\"{key}\":\"{text}\",\"rank\":{rank},\"ok\":true}}")
    }
}

/// An id in the protocol's form.
fn id_bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_depends_on_the_seed_only() {
        let made = |seed, ids| {
            let mut random = SeededRandom::new(seed, ids);
            (
                random.id(1_700_000_000_000),
                random.json("k", 200),
                random.below(10),
            )
        };
        assert_eq!(made(7, IdVersion::V7), made(7, IdVersion::V7));
        assert_ne!(made(7, IdVersion::V7), made(8, IdVersion::V7));
        assert_ne!(made(7, IdVersion::V7).0, made(7, IdVersion::V4).0);
    }

    #[test]
    fn ids_have_their_version_and_texts_their_size() {
        let mut random = SeededRandom::new(1, IdVersion::V7);
        let id = Uuid::from_slice(&random.id(1_700_000_000_000)).unwrap();
        assert_eq!(id.get_version_num(), 7);
        let mut random = SeededRandom::new(1, IdVersion::V4);
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
