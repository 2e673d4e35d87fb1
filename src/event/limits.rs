//! How large the fields of one event may be.

use super::MAX_JSON_DEPTH;

/// Limits of a door. What is in the spool was within those of its time, and is
/// held to [`FieldLimits::MOST`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLimits {
    /// Of a text or a JSON text.
    pub bytes: usize,
    /// Levels of JSON, at most [`MAX_JSON_DEPTH`].
    pub json_depth: usize,
}

impl FieldLimits {
    /// What no door may exceed.
    pub const MOST: Self = Self {
        bytes: usize::MAX,
        json_depth: MAX_JSON_DEPTH,
    };
}
