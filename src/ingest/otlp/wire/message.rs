//! The messages of OTLP that are mapped, with their texts where they came: in the
//! request. The numbers are those of `opentelemetry/proto/{common,trace,logs}/v1`.
//! Fields that say nothing of what an agent did are left out.

use super::fields::{Content, Malformed, Message};

/// `AnyValue` without its wrapper; one that holds nothing is `None` where it stands.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    String(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<Option<Value<'a>>>),
    Kvlist(Vec<KeyValue<'a>>),
    Bytes(&'a [u8]),
}

/// An attribute, or an entry of a map.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct KeyValue<'a> {
    pub key: &'a str,
    pub value: Option<Value<'a>>,
}

/// Who sent a request's spans or log records.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Resource<'a> {
    pub attributes: Vec<KeyValue<'a>>,
}

/// The instrumentation that made them.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct InstrumentationScope<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub attributes: Vec<KeyValue<'a>>,
}

/// An `ExportTraceServiceRequest` or an `ExportLogsServiceRequest`: they are alike
/// down to the records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Export<'a> {
    /// `ResourceSpans` or `ResourceLogs`.
    pub resources: Vec<OfResource<'a>>,
}

/// The records of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct OfResource<'a> {
    pub resource: Option<Resource<'a>>,
    /// `ScopeSpans` or `ScopeLogs`.
    pub scopes: Vec<OfScope<'a>>,
}

/// The records of one scope.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct OfScope<'a> {
    pub scope: Option<InstrumentationScope<'a>>,
    /// Spans or log records, none of them read yet: one at a time is in memory.
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
    pub events: Vec<Event<'a>>,
    pub dropped_events_count: u32,
    pub links: Vec<Link<'a>>,
    pub dropped_links_count: u32,
    pub status: Option<Status<'a>>,
}

/// Something that happened during a span.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Event<'a> {
    pub time_unix_nano: u64,
    pub name: &'a str,
    pub attributes: Vec<KeyValue<'a>>,
}

/// Another span that a span has to do with.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Link<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub attributes: Vec<KeyValue<'a>>,
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Status<'a> {
    pub message: &'a str,
    pub code: i32,
}

impl<'a> Span<'a> {
    /// Becomes the span of these bytes. It keeps the memory of its attributes.
    ///
    /// # Errors
    /// When they are no span.
    pub fn read_anew(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Self {
            attributes,
            ..Self::default()
        };
        self.merge(bytes)
    }
}

impl Status<'_> {
    /// `STATUS_CODE_ERROR`.
    pub const ERROR: i32 = 2;
}

/// A log record.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct LogRecord<'a> {
    pub time_unix_nano: u64,
    pub observed_time_unix_nano: u64,
    pub body: Option<Value<'a>>,
    pub attributes: Vec<KeyValue<'a>>,
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub event_name: &'a str,
}

impl<'a> Message<'a> for Option<Value<'a>> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        *self = Some(match number {
            1 => Value::String(content.text()?),
            2 => Value::Bool(content.varint()? != 0),
            3 => Value::Int(content.varint()?.cast_signed()),
            4 => Value::Double(f64::from_bits(content.fixed64()?)),
            5 => {
                let mut list = List(match self.take() {
                    Some(Value::Array(values)) => values,
                    _ => Vec::new(),
                });
                list.merge(content.bytes()?)?;
                Value::Array(list.0)
            }
            6 => {
                let mut list = List(match self.take() {
                    Some(Value::Kvlist(entries)) => entries,
                    _ => Vec::new(),
                });
                list.merge(content.bytes()?)?;
                Value::Kvlist(list.0)
            }
            7 => Value::Bytes(content.bytes()?),
            8 => {
                // An index into a table that only profiles carry.
                content.varint()?;
                *self = None;
                return Ok(());
            }
            _ => return Ok(()),
        });
        Ok(())
    }
}

/// A message that is a list and nothing else: `ArrayValue`, `KeyValueList`.
#[derive(Default)]
struct List<T>(Vec<T>);

impl<'a, T: Message<'a>> Message<'a> for List<T> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        if number == 1 {
            self.0.push(content.message()?);
        }
        Ok(())
    }
}

impl<'a> Message<'a> for KeyValue<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        match number {
            1 => self.key = content.text()?,
            2 => self.value.merge(content.bytes()?)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Resource<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        if number == 1 {
            self.attributes.push(content.message()?);
        }
        Ok(())
    }
}

impl<'a> Message<'a> for InstrumentationScope<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        match number {
            1 => self.name = content.text()?,
            2 => self.version = content.text()?,
            3 => self.attributes.push(content.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Export<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        if number == 1 {
            self.resources.push(content.message()?);
        }
        Ok(())
    }
}

impl<'a> Message<'a> for OfResource<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
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

impl<'a> Message<'a> for OfScope<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        match number {
            1 => self.scope.get_or_insert_default().merge(content.bytes()?)?,
            2 => self.records.push(content.bytes()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Span<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
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

impl<'a> Message<'a> for Event<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        match number {
            1 => self.time_unix_nano = content.fixed64()?,
            2 => self.name = content.text()?,
            3 => self.attributes.push(content.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Link<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        match number {
            1 => self.trace_id = content.bytes()?,
            2 => self.span_id = content.bytes()?,
            4 => self.attributes.push(content.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Status<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
        match number {
            2 => self.message = content.text()?,
            3 => self.code = content.uint32()?.cast_signed(),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for LogRecord<'a> {
    fn field(&mut self, number: u32, content: Content<'a>) -> Result<(), Malformed> {
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
