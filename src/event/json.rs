//! JSON text that Postgres accepts, checked in one pass without building a tree.
//!
//! The grammar is RFC 8259 with a limit on depth. The scanner does not recurse, so
//! hostile nesting costs nothing. It repairs valid JSON that `jsonb` cannot store
//! (`\u0000`, lone surrogates). It refuses text that would become far larger in Postgres
//! than it is on the wire.

mod scanner;
mod size;

use self::scanner::{JsonScanner, repair};
use super::contents::{ContentRule, Cut, CutValue};
use super::text::Repairs;

/// The deepest nesting that is accepted. The parser of Postgres recurses; with the default
/// `max_stack_depth` it fails somewhere above 5,000 levels.
pub const MAX_JSON_DEPTH: usize = 512;

/// The most digits of a `numeric` before the decimal point.
const MAX_INTEGER_DIGITS: i64 = 131_072;
/// The most digits of a `numeric` after the decimal point.
const MAX_FRACTION_DIGITS: i64 = 16_383;
/// Text of this length is small in Postgres, whatever serde writes: a few dozen kilobytes.
const ALWAYS_SMALL_BYTES: usize = 512;
/// Text of this length is small if no number has an exponent: it has few values.
const SMALL_BYTES: usize = 64 << 10;

/// JSON text that Postgres accepts as `jsonb`.
#[derive(Clone, Debug)]
pub struct Json {
    text: String,
    /// How the value is stored, if not as it is. It depends on the text alone.
    cut: Option<Box<Cut>>,
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Json {}

/// Why a text is not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("is not JSON (at byte {offset})")]
    Invalid {
        /// Where it stops being JSON.
        offset: usize,
    },
    /// Nested too deep.
    #[error("is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// JSON with a number that `numeric` cannot hold.
    #[error(
        "holds a number with more than {MAX_INTEGER_DIGITS} digits before the point or {MAX_FRACTION_DIGITS} after it"
    )]
    NumberOutOfRange,
    /// JSON with numbers that are far longer without their exponents.
    #[error("holds numbers that are too long without their exponents")]
    LongNumbers,
    /// JSON with so many values that it takes far more memory than its text.
    #[error("holds too many values for its length")]
    TooManyValues,
    /// JSON of another kind where an object is required.
    #[error("is not a JSON object")]
    NotAnObject,
}

impl Json {
    /// Checks a JSON text, and repairs it if Postgres could not store it.
    ///
    /// # Errors
    /// When the text is not JSON, is nested too deep, or is too large in Postgres.
    pub fn new(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::with_limits(MAX_JSON_DEPTH, true, text, repairs)
    }

    /// Like [`Json::new`], with other limits: at most `max_depth` levels, if that is less
    /// than [`MAX_JSON_DEPTH`]; and any size in Postgres if `limit_size` is false.
    ///
    /// # Errors
    /// As [`Json::new`].
    pub fn with_limits(
        max_depth: usize,
        limit_size: bool,
        text: String,
        repairs: &mut Repairs,
    ) -> Result<Self, JsonError> {
        let scanner = JsonScanner::scan(&text, max_depth.min(MAX_JSON_DEPTH))?;
        if limit_size {
            scanner.size.check(text.len())?;
        }
        let found = scanner.repairs;
        if found == Repairs::default() {
            return Ok(Self::checked(text));
        }
        repairs.nuls += found.nuls;
        repairs.surrogates += found.surrogates;
        Ok(Self::checked(repair(&text)))
    }

    /// Serializes a value. The caller limits the depth. Short output of serde needs no
    /// check, except for NUL in strings. The caller reuses `scratch`, so that the result
    /// is allocated once, with its exact size.
    ///
    /// # Errors
    /// When the value cannot be serialized, or is too large in Postgres.
    pub(crate) fn from_value(
        value: &(impl serde::Serialize + ?Sized),
        scratch: &mut Vec<u8>,
        repairs: &mut Repairs,
    ) -> Result<Self, JsonError> {
        let not_serializable = JsonError::Invalid { offset: 0 };
        scratch.clear();
        serde_json::to_writer(&mut *scratch, value).map_err(|_| not_serializable)?;
        let text = std::str::from_utf8(scratch).map_err(|_| not_serializable)?;
        let is_small = text.len() <= ALWAYS_SMALL_BYTES
            || text.len() <= SMALL_BYTES && !may_have_exponent(text.as_bytes());
        if !is_small || text.contains("\\u0000") {
            return Self::new(text.to_owned(), repairs);
        }
        Ok(Self::checked(text.to_owned()))
    }

    /// Like [`Json::new`], but accepts only an object.
    ///
    /// # Errors
    /// As [`Json::new`], and when the text is another kind of value.
    pub fn object(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::new(text, repairs)?.into_object()
    }

    /// Returns `self` if it is an object.
    ///
    /// # Errors
    /// When it is another kind of value.
    pub fn into_object(self) -> Result<Self, JsonError> {
        if self.text.trim_start().starts_with('{') {
            Ok(self)
        } else {
            Err(JsonError::NotAnObject)
        }
    }

    /// JSON that was made from other JSON by replacing whole strings and values by strings.
    /// So it needs no check.
    pub(crate) fn with_replaced_values(text: String) -> Self {
        Self::checked(text)
    }

    fn checked(text: String) -> Self {
        Self { text, cut: None }
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Cuts the value into contents if the rule says so.
    pub fn cut_contents(&mut self, rule: ContentRule) {
        self.cut = Cut::of(&self.text, rule).map(Box::new);
    }

    /// The contents of the value, if it was cut.
    #[must_use]
    pub fn contents(&self) -> Option<CutValue<'_>> {
        let cut = self.cut.as_deref()?;
        Some(CutValue::new(&self.text, cut))
    }

    /// The JSON text that a row holds: the value, or a reference to its contents.
    #[must_use]
    pub fn stored(&self) -> &str {
        self.cut.as_ref().map_or(&self.text, |cut| cut.reference())
    }

    /// The approximate memory of the value and its cut in bytes.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let cut = self.cut.as_ref().map_or(0, |cut| cut.weight_bytes());
        self.text.len() + cut
    }
}

/// Whether a digit is before an `e`, as in a number with an exponent. Looks at all of the
/// text, because a loop without a way out is several times faster.
fn may_have_exponent(text: &[u8]) -> bool {
    let pairs = text.iter().zip(text.get(1..).unwrap_or_default());
    pairs.fold(false, |found, (digit, e)| {
        found | (digit.is_ascii_digit() & (*e == b'e'))
    })
}

#[cfg(test)]
mod tests;
