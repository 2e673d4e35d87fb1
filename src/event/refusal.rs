//! Why one event was refused, while its neighbours were not.

/// One refused event's code, for programs, and reason, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: names the field, never repeats its content.
    pub reason: String,
}

/// As `runtraced.v1.RefusalCode`.
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
}

impl RefusalCode {
    /// The name used in `ingest_dead_letters.code` and metrics.
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
        }
    }
}

impl Refusal {
    /// A refusal for `reason`.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}
