//! The reason why one event of a batch was refused.

/// Why an event was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code for programs.
    pub code: RefusalCode,
    /// The reason for people. It names the field and never repeats its content.
    pub reason: String,
}

/// The code of a refusal, as in `runtraced.v1.RefusalCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum RefusalCode {
    MissingField,
    InvalidId,
    UnknownEnumValue,
    InvalidJson,
    JsonTooDeep,
    NumberOutOfRange,
    TimeOutOfRange,
    IdConflict,
    DeadLettered,
    FieldTooLong,
    PermissionDenied,
    RunGone,
}

impl RefusalCode {
    /// The name in `ingest_dead_letters.code` and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::InvalidId => "invalid_id",
            Self::UnknownEnumValue => "unknown_enum_value",
            Self::InvalidJson => "invalid_json",
            Self::JsonTooDeep => "json_too_deep",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::IdConflict => "id_conflict",
            Self::DeadLettered => "dead_lettered",
            Self::FieldTooLong => "field_too_long",
            Self::PermissionDenied => "permission_denied",
            Self::RunGone => "run_gone",
        }
    }
}

impl Refusal {
    /// A refusal with a code and a reason.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}
