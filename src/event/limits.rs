//! Size limits of the fields of one event.

use super::json::MAX_JSON_DEPTH;

/// The limits of an endpoint. Spooled events passed them when they were received, so only
/// [`FieldLimits::MAX`] applies when they are replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLimits {
    /// Bytes of a text or JSON text.
    pub bytes: usize,
    /// Levels of JSON, at most [`MAX_JSON_DEPTH`].
    pub json_depth: usize,
    /// Whether JSON is refused that is far larger in Postgres than its text.
    pub limit_json_size: bool,
}

impl FieldLimits {
    /// The largest limits that an endpoint can have.
    pub const MAX: Self = Self {
        bytes: usize::MAX,
        json_depth: MAX_JSON_DEPTH,
        limit_json_size: false,
    };
}
