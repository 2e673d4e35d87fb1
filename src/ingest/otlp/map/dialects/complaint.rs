//! What is wrong with a dialect file, and where.

use std::ops::Range;

use super::file::PlacedText;

/// The text of a dialect file.
#[derive(Clone, Debug)]
pub struct DialectText {
    /// The path, for messages.
    pub file: String,
    /// The content.
    pub text: String,
}

/// What is wrong with a dialect file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {reason}")]
pub struct DialectError {
    /// The path of the file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// What is wrong, with its place as byte offsets.
#[derive(Debug)]
pub struct Complaint {
    /// Its place in the file.
    pub span: Range<usize>,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Complaint {
    /// A complaint about a part of a file.
    pub fn at(span: &Range<usize>, reason: String) -> Self {
        let span = span.clone();
        Self { span, reason }
    }

    /// A complaint about a text in a file.
    pub fn of(text: &PlacedText, reason: String) -> Self {
        Self::at(&text.span(), reason)
    }

    /// The error of the file that has this text.
    pub fn in_file(self, text: &DialectText) -> DialectError {
        let before = text.text.get(..self.span.start).unwrap_or_default();
        DialectError {
            file: text.file.clone(),
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            reason: self.reason,
        }
    }
}
