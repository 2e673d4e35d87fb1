//! The OTLP messages that the mapping reads. Their texts are slices of the request.
//!
//! Field numbers are those of `opentelemetry/proto/{common,trace,logs}/v1`.
//! Fields that say nothing about an agent's work are left out.

use super::fields::{FieldContent, MalformedProtobuf, WireMessage};

/// The content of an `AnyValue`. An empty one is `None` in the message around it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum AnyValue<'a> {
    String(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<Option<AnyValue<'a>>>),
    Kvlist(Vec<KeyValue<'a>>),
    Bytes(&'a [u8]),
}

/// An attribute, or an entry of a map.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct KeyValue<'a> {
    pub key: &'a str,
    pub value: Option<AnyValue<'a>>,
}

/// The source of spans or log records.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Resource<'a> {
    pub attributes: Vec<KeyValue<'a>>,
}

/// The instrumentation that made spans or log records.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct InstrumentationScope<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub attributes: Vec<KeyValue<'a>>,
}

/// An `ExportTraceServiceRequest` or an `ExportLogsServiceRequest`. Both have
/// the same layout down to the records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportRequest<'a> {
    /// `ResourceSpans` or `ResourceLogs`.
    pub resources: Vec<ResourceRecords<'a>>,
}

/// The records of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct ResourceRecords<'a> {
    pub resource: Option<Resource<'a>>,
    /// `ScopeSpans` or `ScopeLogs`.
    pub scopes: Vec<ScopeRecords<'a>>,
}

/// The records of one scope.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct ScopeRecords<'a> {
    pub scope: Option<InstrumentationScope<'a>>,
    /// Spans or log records, not read yet: only one at a time is in memory.
    pub records: Vec<&'a [u8]>,
}

/// A span.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Span<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_span_id: &'a [u8],
    pub flags: u32,
    pub name: &'a str,
    pub kind: i32,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes_count: u32,
    pub events: Vec<SpanEvent<'a>>,
    pub dropped_events_count: u32,
    pub links: Vec<SpanLink<'a>>,
    pub dropped_links_count: u32,
    pub status: Option<SpanStatus<'a>>,
}

/// An event within a span.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct SpanEvent<'a> {
    pub time_unix_nano: u64,
    pub name: &'a str,
    pub attributes: Vec<KeyValue<'a>>,
}

/// A reference from a span to another span.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct SpanLink<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub attributes: Vec<KeyValue<'a>>,
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct SpanStatus<'a> {
    pub message: &'a str,
    pub code: i32,
}

impl<'a> Span<'a> {
    /// `SPAN_KIND_INTERNAL`: the span stays within a process.
    pub const KIND_INTERNAL: i32 = 1;
    /// `SPAN_KIND_SERVER`: the span answers a request.
    pub const KIND_SERVER: i32 = 2;
    /// `SPAN_KIND_CLIENT`: the span waits for another process.
    pub const KIND_CLIENT: i32 = 3;
    /// The flags `CONTEXT_HAS_IS_REMOTE` and `CONTEXT_IS_REMOTE` together: the
    /// parent is in another process.
    pub const REMOTE_PARENT_FLAGS: u32 = 0x300;

    /// Replaces this span by the span of these bytes. Reuses the allocation of
    /// the attributes.
    ///
    /// # Errors
    /// If the bytes do not encode a span.
    pub fn reset_and_read(&mut self, bytes: &'a [u8]) -> Result<(), MalformedProtobuf> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Self {
            attributes,
            ..Self::default()
        };
        self.merge(bytes)
    }
}

impl SpanStatus<'_> {
    /// `STATUS_CODE_OK`.
    pub const OK: i32 = 1;
    /// `STATUS_CODE_ERROR`.
    pub const ERROR: i32 = 2;
}

/// A log record.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct LogRecord<'a> {
    pub time_unix_nano: u64,
    pub observed_time_unix_nano: u64,
    pub body: Option<AnyValue<'a>>,
    pub attributes: Vec<KeyValue<'a>>,
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub event_name: &'a str,
}

impl<'a> WireMessage<'a> for Option<AnyValue<'a>> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        *self = Some(match number {
            1 => AnyValue::String(content.text()?),
            2 => AnyValue::Bool(content.varint()? != 0),
            3 => AnyValue::Int(content.varint()?.cast_signed()),
            4 => AnyValue::Double(f64::from_bits(content.fixed64()?)),
            5 => {
                let mut list = RepeatedField(match self.take() {
                    Some(AnyValue::Array(values)) => values,
                    _ => Vec::new(),
                });
                list.merge(content.bytes()?)?;
                AnyValue::Array(list.0)
            }
            6 => {
                let mut list = RepeatedField(match self.take() {
                    Some(AnyValue::Kvlist(entries)) => entries,
                    _ => Vec::new(),
                });
                list.merge(content.bytes()?)?;
                AnyValue::Kvlist(list.0)
            }
            7 => AnyValue::Bytes(content.bytes()?),
            8 => {
                // An index into a string table, which only profiles have.
                content.varint()?;
                *self = None;
                return Ok(());
            }
            _ => return Ok(()),
        });
        Ok(())
    }
}

/// A message with one repeated field: `ArrayValue`, `KeyValueList`.
#[derive(Default)]
struct RepeatedField<T>(Vec<T>);

impl<'a, T: WireMessage<'a>> WireMessage<'a> for RepeatedField<T> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        if number == 1 {
            self.0.push(content.message()?);
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for KeyValue<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self.key = content.text()?,
            2 => self.value.merge(content.bytes()?)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for Resource<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        if number == 1 {
            self.attributes.push(content.message()?);
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for InstrumentationScope<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self.name = content.text()?,
            2 => self.version = content.text()?,
            3 => self.attributes.push(content.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for ExportRequest<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        if number == 1 {
            self.resources.push(content.message()?);
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for ResourceRecords<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self
                .resource
                .get_or_insert_default()
                .merge(content.bytes()?)?,
            2 => self.scopes.push(content.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for ScopeRecords<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self.scope.get_or_insert_default().merge(content.bytes()?)?,
            2 => self.records.push(content.bytes()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for Span<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self.trace_id = content.bytes()?,
            2 => self.span_id = content.bytes()?,
            4 => self.parent_span_id = content.bytes()?,
            5 => self.name = content.text()?,
            6 => self.kind = content.uint32()?.cast_signed(),
            7 => self.start_time_unix_nano = content.fixed64()?,
            8 => self.end_time_unix_nano = content.fixed64()?,
            9 => self.attributes.push(content.message()?),
            10 => self.dropped_attributes_count = content.uint32()?,
            11 => self.events.push(content.message()?),
            12 => self.dropped_events_count = content.uint32()?,
            13 => self.links.push(content.message()?),
            14 => self.dropped_links_count = content.uint32()?,
            15 => self
                .status
                .get_or_insert_default()
                .merge(content.bytes()?)?,
            16 => self.flags = content.fixed32()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for SpanEvent<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self.time_unix_nano = content.fixed64()?,
            2 => self.name = content.text()?,
            3 => self.attributes.push(content.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for SpanLink<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self.trace_id = content.bytes()?,
            2 => self.span_id = content.bytes()?,
            4 => self.attributes.push(content.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for SpanStatus<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            2 => self.message = content.text()?,
            3 => self.code = content.uint32()?.cast_signed(),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> WireMessage<'a> for LogRecord<'a> {
    fn field(&mut self, number: u32, content: FieldContent<'a>) -> Result<(), MalformedProtobuf> {
        match number {
            1 => self.time_unix_nano = content.fixed64()?,
            5 => self.body.merge(content.bytes()?)?,
            6 => self.attributes.push(content.message()?),
            9 => self.trace_id = content.bytes()?,
            10 => self.span_id = content.bytes()?,
            11 => self.observed_time_unix_nano = content.fixed64()?,
            12 => self.event_name = content.text()?,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
