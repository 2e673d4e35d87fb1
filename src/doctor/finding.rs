//! What a check found.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is to be done.
    Ok,
    /// The daemon runs, but not as well or as safely as it could.
    Warning,
    /// The daemon does not start, or does not write.
    Failure,
}

impl Severity {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "warning",
            Self::Failure => "FAILURE",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// How it ended.
    pub severity: Severity,
    /// What is so.
    pub found: String,
    /// What to do; empty if nothing.
    pub advice: String,
}

/// Nothing is to be done.
pub(super) fn fine(check: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        check,
        severity: Severity::Ok,
        found: found.into(),
        advice: String::new(),
    }
}

/// The daemon runs all the same.
pub(super) fn warning(
    check: &'static str,
    found: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        check,
        severity: Severity::Warning,
        found: found.into(),
        advice: advice.into(),
    }
}

/// The daemon does not start or does not write.
pub(super) fn failure(
    check: &'static str,
    found: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        check,
        severity: Severity::Failure,
        found: found.into(),
        advice: advice.into(),
    }
}
