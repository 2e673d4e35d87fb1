//! Decodes and maps the bytes of a request.

use super::map::{map_logs, map_traces};
use super::wire::{
    ConvertedJson, MalformedProtobuf, OtlpJsonError, ScanError, Schema, WireRepairs,
    json_to_protobuf, repair, scan,
};
use super::{MapOptions, Mapped, Signal, SpanOutcome};

/// The encoding of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// Why a request can never be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is not the JSON of a request.
    #[error("the body is not valid OTLP JSON: {0}")]
    Json(#[from] OtlpJsonError),
    /// The body is not protobuf, or takes too much memory.
    #[error("cannot decode the body: {0}")]
    Scan(#[from] ScanError),
    /// The body is protobuf, but a field has the wrong type.
    #[error("the body is not valid OTLP protobuf")]
    Protobuf(#[from] MalformedProtobuf),
    /// Nothing in the body would be stored, and OTLP has none of its fields.
    #[error(
        "the body holds no {record}, only fields that OTLP does not have; it must be \
         an Export{service}ServiceRequest: {layout}"
    )]
    NoRecords {
        /// What the body lacks.
        record: &'static str,
        /// The part of the name of the request.
        service: &'static str,
        /// The fields that lead to the records.
        layout: &'static str,
    },
}

/// A decoded and mapped request.
#[derive(Debug)]
pub struct Decoded {
    /// The result of the mapping.
    pub mapped: Mapped,
    /// The number of spans, log records or data points in the request.
    pub records: u64,
    /// The parts that were replaced so that the request could be read.
    pub repairs: WireRepairs,
}

impl Decoded {
    /// Whether it holds only spans of daemons about their own work.
    #[must_use]
    pub fn is_of_daemons(&self) -> bool {
        self.records > 0 && self.mapped.of_daemons == self.records
    }
}

/// Decodes and maps a request. `structure_limit_bytes` limits the memory of its
/// lists, apart from its bytes and their text.
///
/// # Errors
/// If the request can never be decoded.
pub fn decode(
    schema: &Schema,
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    options: &MapOptions,
    structure_limit_bytes: usize,
) -> Result<Decoded, DecodeError> {
    let request = signal.request_message(schema);
    let json: ConvertedJson;
    let (wire, json_repairs, mut unknown_fields) = match encoding {
        Encoding::Protobuf => (body, WireRepairs::default(), 0),
        Encoding::Json => {
            json = json_to_protobuf(schema, request, body)?;
            (&*json.wire, json.repairs, json.unknown_fields)
        }
    };
    let counts = scan(schema, request, wire, structure_limit_bytes)?;
    unknown_fields += counts.unknown_fields;
    if counts.records == 0 && unknown_fields > 0 {
        require_records(signal)?;
    }
    let mapper = RequestMapper {
        schema,
        signal,
        wire,
        too_deep: counts.too_deep,
    };
    let (mapped, repairs) = match signal {
        Signal::Traces => mapper.map(|wire| map_traces(wire, options))?,
        Signal::Logs => mapper.map(|wire| map_logs(wire, options))?,
        // Metrics are only counted: nothing stores them.
        Signal::Metrics => (ignored_metrics(counts.records), WireRepairs::default()),
    };
    if mapped.overflowed {
        let limit = options.max_events_bytes;
        return Err(ScanError::TooLarge { limit }.into());
    }
    Ok(Decoded {
        mapped,
        records: counts.records,
        repairs: json_repairs.and(repairs),
    })
}

/// The error for a body that holds no record, only fields that OTLP does not have.
/// Metrics are not stored, so nothing of them is lost.
fn require_records(signal: Signal) -> Result<(), DecodeError> {
    let (service, layout) = match signal {
        Signal::Traces => (
            "Trace",
            "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": []}]}]}",
        ),
        Signal::Logs => (
            "Logs",
            "{\"resourceLogs\": [{\"scopeLogs\": [{\"logRecords\": []}]}]}",
        ),
        Signal::Metrics => return Ok(()),
    };
    Err(DecodeError::NoRecords {
        record: signal.record(),
        service,
        layout,
    })
}

fn ignored_metrics(count: u64) -> Mapped {
    let mut mapped = Mapped::default();
    mapped
        .outcomes
        .insert(("".into(), SpanOutcome::Ignored("metrics")), count);
    mapped
}

struct RequestMapper<'a> {
    schema: &'a Schema,
    signal: Signal,
    wire: &'a [u8],
    too_deep: bool,
}

impl RequestMapper<'_> {
    /// Maps the request. If it cannot be read, repairs and maps it again.
    fn map(
        &self,
        map: impl Fn(&[u8]) -> Result<Mapped, MalformedProtobuf>,
    ) -> Result<(Mapped, WireRepairs), DecodeError> {
        if !self.too_deep
            && let Ok(mapped) = map(self.wire)
        {
            return Ok((mapped, WireRepairs::default()));
        }
        let request = self.signal.request_message(self.schema);
        let (repaired, repairs) =
            repair(self.schema, request, self.wire).ok_or(ScanError::Malformed)?;
        if repairs == WireRepairs::default() {
            // Nothing was repaired, so a second attempt would fail as well.
            return Err(MalformedProtobuf.into());
        }
        Ok((map(&repaired)?, repairs))
    }
}
