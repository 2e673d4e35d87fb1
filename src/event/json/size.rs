//! An estimate of what a JSON text becomes in Postgres.
//!
//! Two things make it much larger than its text. The parser of `jsonb` builds a tree: the
//! three bytes `{},` take 640 bytes in it. And the text of a number is written without its
//! exponent, for example when a merge compares two values: `1e131071` has 131,072 digits.

use super::{JsonError, MAX_FRACTION_DIGITS, MAX_INTEGER_DIGITS};

/// Bytes of the tree, measured with PostgreSQL 15. A key counts as a scalar.
const OBJECT_BYTES: usize = 640;
const ARRAY_BYTES: usize = 260;
const NUMBER_BYTES: usize = 110;
const SCALAR_BYTES: usize = 56;

/// The tree may have this many bytes per byte of text, and [`FREE_TREE_BYTES`] more. Lists
/// of numbers or words need less.
const TREE_BYTES_PER_BYTE: usize = 12;
/// Enough for 1 MB of objects of two small numbers, or for 5 MB of messages of a few words.
const FREE_TREE_BYTES: usize = 64 << 20;

/// Without exponents, the numbers may have this many digits more per byte of text, and
/// [`FREE_DIGITS`] more.
const DIGITS_PER_BYTE: usize = 8;
/// Enough for a dozen of the largest or smallest `f64`.
const FREE_DIGITS: usize = 4_096;

/// What is known so far about the size of a JSON text in Postgres.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoredSize {
    tree_bytes: usize,
    /// Digits that numbers have beyond those in the text.
    more_digits: usize,
    number_out_of_range: bool,
}

/// A number as it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number {
    pub integer_digits: usize,
    pub fraction_digits: usize,
    exponent: i64,
    exponent_digits: usize,
}

impl Number {
    /// Sets the exponent. A huge one keeps its sign and stays out of range.
    pub fn set_exponent(&mut self, negative: bool, digits: &[u8]) {
        const HUGE: i64 = 1 << 40;
        let value = digits.iter().fold(0_i64, |value, digit| {
            (value * 10 + i64::from(digit - b'0')).min(HUGE)
        });
        self.exponent = if negative { -value } else { value };
        self.exponent_digits = digits.len();
    }
}

impl StoredSize {
    pub fn object(&mut self) {
        self.tree_bytes += OBJECT_BYTES;
    }

    pub fn array(&mut self) {
        self.tree_bytes += ARRAY_BYTES;
    }

    /// Counts a string, a key or a word.
    pub fn scalar(&mut self) {
        self.tree_bytes += SCALAR_BYTES;
    }

    pub fn number(&mut self, number: &Number) {
        self.tree_bytes += NUMBER_BYTES;
        let length = |digits: usize| i64::try_from(digits).unwrap_or(i64::MAX >> 2);
        let integer = (length(number.integer_digits) + number.exponent).max(1);
        let fraction = (length(number.fraction_digits) - number.exponent).max(0);
        if integer > MAX_INTEGER_DIGITS || fraction > MAX_FRACTION_DIGITS {
            self.number_out_of_range = true;
            return;
        }
        let written = number.integer_digits + number.fraction_digits + number.exponent_digits;
        let digits = usize::try_from(integer + fraction).unwrap_or(usize::MAX);
        self.more_digits += digits.saturating_sub(written);
    }

    /// Checks the size of a text of `text_bytes` bytes.
    pub fn check(&self, text_bytes: usize) -> Result<(), JsonError> {
        if self.number_out_of_range {
            return Err(JsonError::NumberOutOfRange);
        }
        if self.more_digits > DIGITS_PER_BYTE * text_bytes + FREE_DIGITS {
            return Err(JsonError::LongNumbers);
        }
        if self.tree_bytes > TREE_BYTES_PER_BYTE * text_bytes + FREE_TREE_BYTES {
            return Err(JsonError::TooManyValues);
        }
        Ok(())
    }
}
