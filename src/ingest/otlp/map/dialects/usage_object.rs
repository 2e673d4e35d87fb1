//! The usage objects of providers: which object it is, where its counts lie, and
//! whether they contain each other.

use serde_json::Value;

use super::complaint::Complaint;
use super::file::{CountingRules, FileUsageObject, Texts};
use super::source::JsonPath;

/// A count in a usage object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UsagePart {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    Reasoning,
}

/// The usage object of a provider.
#[derive(Debug)]
pub struct UsageObject {
    /// Its fields say so only if the provider itself wrote the object.
    of_provider: bool,
    /// The preference of its dialect: the lowest is tried first.
    pub preference: u16,
    /// The paths that tell it from others.
    has: Vec<JsonPath>,
    /// By part: where it lies, the best place first.
    parts: [Vec<JsonPath>; 6],
    /// Whether its counts contain each other.
    pub counting: CountingRules,
}

impl UsageObject {
    /// Checks and reads a usage object of a file.
    pub fn compile(
        file: toml::Spanned<FileUsageObject>,
        preference: u16,
    ) -> Result<Self, Complaint> {
        let span = file.span();
        let file = file.into_inner();
        let paths = |texts: &Texts| -> Result<Vec<JsonPath>, Complaint> {
            let read = texts.iter().map(JsonPath::parse);
            read.collect::<Result<_, _>>()
                .map_err(|reason| Complaint::at(&span, reason))
        };
        let has = paths(&file.has)?;
        if has.is_empty() {
            return Err(Complaint::at(
                &span,
                "a usage object needs `has`".to_owned(),
            ));
        }
        Ok(Self {
            of_provider: file.of_provider,
            preference,
            has,
            parts: [
                paths(&file.input)?,
                paths(&file.output)?,
                paths(&file.total)?,
                paths(&file.cache_read)?,
                paths(&file.cache_write)?,
                paths(&file.reasoning)?,
            ],
            counting: CountingRules {
                cached: file.cached,
                reasoned: file.reasoned,
            },
        })
    }

    /// Whether a value is this object. `of_provider`: the provider wrote it.
    pub fn is(&self, value: &Value, of_provider: bool) -> bool {
        (of_provider || !self.of_provider) && self.has.iter().all(|path| path.find(value).is_some())
    }

    /// The first value of a part that is there.
    pub fn part<'v>(&self, part: UsagePart, value: &'v Value) -> Option<&'v Value> {
        self.parts[part as usize]
            .iter()
            .find_map(|path| path.find(value))
    }
}
