//! Why a text is not an event.

/// Why a text is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {reason}")]
pub struct EventJsonError {
    /// The line in the text, from 1. 0 if the error has no position.
    pub line: usize,
    /// The column in the line, in bytes from 1. 0 if the error has no position.
    pub column: usize,
    /// The reason, for people.
    pub reason: String,
}

impl EventJsonError {
    /// An error without a position.
    pub(super) fn without_position(reason: impl Into<String>) -> Self {
        Self {
            line: 0,
            column: 0,
            reason: reason.into(),
        }
    }
}

impl From<serde_json::Error> for EventJsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let position = format!(" at line {line} column {column}");
        let reason = text.strip_suffix(&position).unwrap_or(&text).to_owned();
        Self {
            line,
            column,
            reason,
        }
    }
}
