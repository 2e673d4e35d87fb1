//! What a reader of values must know, and what it counts.

use std::cell::Cell;

/// What the JSON text of a `…_json` field means if it is a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonStrings {
    /// JSON text, always. So everything that was written can be read back.
    Text,
    /// JSON text of an object, an array, a string or null; any other text is a string.
    Plain,
}

/// How an event is read, and what was replaced in it.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) strings: JsonStrings,
    /// Lone surrogates outside of JSON text.
    pub(super) surrogates: &'a Cell<u64>,
}
