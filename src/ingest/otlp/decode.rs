//! From the bytes of a request to what the mapping makes of it.

use super::map::{map_logs, map_traces};
use super::wire::{
    JsonError, Malformed, ScanError, Schema, WireRepairs, json_to_wire, repair, scan,
};
use super::{MapOptions, Mapped, Signal, SpanOutcome};

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// Why a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON, or not that of a request.
    #[error("the body is not OTLP's JSON: {0}")]
    Json(#[from] JsonError),
    /// It is not the protobuf of a request, or takes too much memory.
    #[error("the body cannot be read: {0}")]
    Scan(#[from] ScanError),
    /// Its fields have the wrong types.
    #[error("the body is not OTLP's protobuf")]
    Protobuf(#[from] Malformed),
}

/// A request, mapped.
#[derive(Debug)]
pub struct Decoded {
    /// What the mapping made of it.
    pub mapped: Mapped,
    /// Its spans, log records or data points.
    pub records: u64,
    /// What had to be replaced before it could be read.
    pub repairs: WireRepairs,
}

/// Reads and maps a request. What it holds in memory, beside its bytes and
/// their text, is bounded by `structure_limit_bytes`.
///
/// # Errors
/// When it can never be read.
pub fn decode(
    schema: &Schema,
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    options: &MapOptions,
    structure_limit_bytes: usize,
) -> Result<Decoded, DecodeError> {
    let request = signal.request(schema);
    let (json, json_repairs);
    let mut wire = body;
    (json, json_repairs) = match encoding {
        Encoding::Protobuf => (Vec::new(), WireRepairs::default()),
        Encoding::Json => json_to_wire(schema, request, body)?,
    };
    if encoding == Encoding::Json {
        wire = &json;
    }
    let extent = scan(schema, request, wire, structure_limit_bytes)?;
    let reader = Reader {
        schema,
        signal,
        wire,
        too_deep: extent.too_deep,
    };
    let (mapped, repairs) = match signal {
        Signal::Traces => reader.map(|wire| map_traces(wire, options))?,
        Signal::Logs => reader.map(|wire| map_logs(wire, options))?,
        // They have nowhere to go, so they are not built either.
        Signal::Metrics => (ignored_metrics(extent.records), WireRepairs::default()),
    };
    if mapped.overflowed {
        let limit = options.max_events_bytes;
        return Err(ScanError::TooLarge { limit }.into());
    }
    Ok(Decoded {
        mapped,
        records: extent.records,
        repairs: json_repairs.and(repairs),
    })
}

fn ignored_metrics(count: u64) -> Mapped {
    let mut mapped = Mapped::default();
    mapped
        .fates
        .insert(("", SpanOutcome::Ignored("metrics")), count);
    mapped
}

struct Reader<'a> {
    schema: &'a Schema,
    signal: Signal,
    wire: &'a [u8],
    too_deep: bool,
}

impl Reader<'_> {
    /// Maps, and what cannot be read is repaired first.
    fn map(
        &self,
        map: impl Fn(&[u8]) -> Result<Mapped, Malformed>,
    ) -> Result<(Mapped, WireRepairs), DecodeError> {
        if !self.too_deep
            && let Ok(mapped) = map(self.wire)
        {
            return Ok((mapped, WireRepairs::default()));
        }
        let request = self.signal.request(self.schema);
        let (repaired, repairs) =
            repair(self.schema, request, self.wire).ok_or(ScanError::Malformed)?;
        if repairs == WireRepairs::default() {
            // Nothing that a second attempt would read otherwise.
            return Err(Malformed.into());
        }
        Ok((map(&repaired)?, repairs))
    }
}
