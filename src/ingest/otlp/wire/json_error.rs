//! Says where the JSON of a request is wrong: the field, the line and the column.

use std::fmt;

use super::json_reader::JsonFault;

/// The bytes are not the JSON of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpJsonError {
    /// The syntax that was expected.
    pub expected: &'static str,
    /// The field with the fault, such as `resourceSpans[0].scopeSpans`. Empty if
    /// the fault is in no field. It names only fields that OTLP has.
    pub field: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
}

impl fmt::Display for OtlpJsonError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "expected {}", self.expected)?;
        if !self.field.is_empty() {
            write!(to, " in {}", self.field)?;
        }
        write!(to, " (line {}, column {})", self.line, self.column)
    }
}

impl std::error::Error for OtlpJsonError {}

/// A fault with the path to it, from the inside out.
#[derive(Debug)]
pub(super) struct FaultInField {
    fault: JsonFault,
    path: Vec<PathPart>,
}

#[derive(Debug)]
enum PathPart {
    Field(String),
    Index(usize),
}

impl From<JsonFault> for Box<FaultInField> {
    fn from(fault: JsonFault) -> Self {
        let path = Vec::new();
        Self::new(FaultInField { fault, path })
    }
}

impl FaultInField {
    pub fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path.push(PathPart::Field(name.to_owned()));
        self
    }

    pub fn at_index(mut self: Box<Self>, index: usize) -> Box<Self> {
        self.path.push(PathPart::Index(index));
        self
    }

    /// Finds the line and the column in the input.
    pub fn located(&self, input: &[u8]) -> OtlpJsonError {
        let mut field = String::new();
        for part in self.path.iter().rev() {
            match part {
                PathPart::Index(index) => field.push_str(&format!("[{index}]")),
                PathPart::Field(name) => {
                    if !field.is_empty() {
                        field.push('.');
                    }
                    field.push_str(name);
                }
            }
        }
        let before = &input[..self.fault.offset.min(input.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        OtlpJsonError {
            expected: self.fault.expected,
            field,
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: before.len() - line_start.map_or(0, |at| at + 1) + 1,
        }
    }
}
