//! The descriptors of OTLP in a form that is fast to walk.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind as Reflected, MessageDescriptor};

/// The request message of each signal.
const TRACES: &str = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
const LOGS: &str = "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest";
const METRICS: &str = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest";
/// The messages that count as records: spans, log records, data points.
const RECORDS: [&str; 6] = [
    "opentelemetry.proto.trace.v1.Span",
    "opentelemetry.proto.logs.v1.LogRecord",
    "opentelemetry.proto.metrics.v1.NumberDataPoint",
    "opentelemetry.proto.metrics.v1.HistogramDataPoint",
    "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint",
    "opentelemetry.proto.metrics.v1.SummaryDataPoint",
];
const ANY_VALUE: &str = "opentelemetry.proto.common.v1.AnyValue";

/// The estimated memory of a record without its text. It includes the events
/// that the mapping makes, because a record alone takes less.
const RECORD_BYTES: usize = 1024;
/// The estimated memory of any other list element without its text.
const ELEMENT_BYTES: usize = 192;

/// The descriptors of the protocol are unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the descriptors of OTLP: {0}")]
pub struct SchemaError(String);

/// Identifies a message of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(usize);

/// The layout of every message that a request can hold.
#[derive(Debug)]
pub struct Schema {
    messages: Vec<MessageSchema>,
    /// `ExportTraceServiceRequest`.
    pub traces: MessageId,
    /// `ExportLogsServiceRequest`.
    pub logs: MessageId,
    /// `ExportMetricsServiceRequest`.
    pub metrics: MessageId,
}

#[derive(Debug)]
pub(super) struct MessageSchema {
    /// Indexed by field number. OTLP uses small numbers.
    fields: Vec<Option<FieldSchema>>,
    /// By the names that JSON may use: `resourceSpans` and `resource_spans`.
    numbers_by_name: HashMap<String, u32>,
    /// Whether it is a span, a log record or a data point.
    pub record: bool,
    /// The estimated memory of one list element, without its text.
    pub element_bytes: usize,
    /// Whether it is `AnyValue`, the only message that nests in itself.
    pub any_value: bool,
}

#[derive(Debug)]
pub(super) struct FieldSchema {
    pub number: u32,
    /// The name in OTLP's JSON.
    pub name: String,
    pub kind: FieldKind,
    pub repeated: bool,
}

/// How a field is encoded in protobuf and in JSON.
#[derive(Debug)]
pub(super) enum FieldKind {
    Message(MessageId),
    Text,
    /// A trace or span id. OTLP's JSON writes ids in hex.
    Hex,
    /// Other bytes.
    Base64,
    Bool,
    Enum(HashMap<String, i32>),
    Int,
    /// A zigzag-encoded integer.
    Sint,
    Uint,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
}

impl Schema {
    /// Reads the descriptors that are compiled into the program.
    ///
    /// # Errors
    /// If a request message is missing, which is a bug of the build.
    pub fn new() -> Result<Self, SchemaError> {
        let pool = DescriptorPool::decode(opentelemetry_proto::DESCRIPTORS)
            .map_err(|error| SchemaError(error.to_string()))?;
        let mut builder = SchemaBuilder::default();
        let mut request = |name: &str| {
            pool.get_message_by_name(name)
                .map(|message| builder.add(&message))
                .ok_or_else(|| SchemaError(format!("message {name} is missing")))
        };
        let (traces, logs, metrics) = (request(TRACES)?, request(LOGS)?, request(METRICS)?);
        Ok(Self {
            messages: builder.finish(),
            traces,
            logs,
            metrics,
        })
    }

    pub(super) fn message(&self, id: MessageId) -> &MessageSchema {
        &self.messages[id.0]
    }
}

impl MessageSchema {
    pub fn field(&self, number: u32) -> Option<&FieldSchema> {
        self.fields.get(number as usize)?.as_ref()
    }

    pub fn field_named(&self, name: &str) -> Option<&FieldSchema> {
        self.field(*self.numbers_by_name.get(name)?)
    }
}

/// Assigns ids before it builds fields, because messages refer to each other
/// in cycles.
#[derive(Default)]
struct SchemaBuilder {
    ids: HashMap<String, MessageId>,
    descriptors: Vec<MessageDescriptor>,
}

impl SchemaBuilder {
    fn add(&mut self, message: &MessageDescriptor) -> MessageId {
        if let Some(id) = self.ids.get(message.full_name()) {
            return *id;
        }
        let id = MessageId(self.descriptors.len());
        self.ids.insert(message.full_name().to_owned(), id);
        self.descriptors.push(message.clone());
        for field in message.fields() {
            if let Reflected::Message(inner) = field.kind() {
                self.add(&inner);
            }
        }
        id
    }

    fn finish(mut self) -> Vec<MessageSchema> {
        let descriptors = std::mem::take(&mut self.descriptors);
        descriptors
            .iter()
            .map(|message| self.message(message))
            .collect()
    }

    fn message(&self, message: &MessageDescriptor) -> MessageSchema {
        let mut fields = Vec::new();
        let mut numbers_by_name = HashMap::new();
        for field in message.fields() {
            let number = field.number();
            let at = number as usize;
            if fields.len() <= at {
                fields.resize_with(at + 1, || None);
            }
            numbers_by_name.insert(field.json_name().to_owned(), number);
            numbers_by_name.insert(field.name().to_owned(), number);
            fields[at] = Some(FieldSchema {
                number,
                name: field.json_name().to_owned(),
                kind: self.kind(&field),
                repeated: field.is_list(),
            });
        }
        let name = message.full_name();
        let record = RECORDS.contains(&name);
        MessageSchema {
            fields,
            numbers_by_name,
            record,
            element_bytes: if record { RECORD_BYTES } else { ELEMENT_BYTES },
            any_value: name == ANY_VALUE,
        }
    }

    fn kind(&self, field: &FieldDescriptor) -> FieldKind {
        match field.kind() {
            // `add` has seen every message. Text is a safe fallback, because it is skipped.
            Reflected::Message(inner) => self
                .ids
                .get(inner.full_name())
                .map_or(FieldKind::Text, |id| FieldKind::Message(*id)),
            Reflected::String => FieldKind::Text,
            Reflected::Bytes if field.name().ends_with("_id") => FieldKind::Hex,
            Reflected::Bytes => FieldKind::Base64,
            Reflected::Bool => FieldKind::Bool,
            Reflected::Enum(values) => FieldKind::Enum(
                values
                    .values()
                    .map(|value| (value.name().to_owned(), value.number()))
                    .collect(),
            ),
            Reflected::Int32 | Reflected::Int64 => FieldKind::Int,
            Reflected::Sint32 | Reflected::Sint64 => FieldKind::Sint,
            Reflected::Uint32 | Reflected::Uint64 => FieldKind::Uint,
            Reflected::Fixed32 => FieldKind::Fixed32,
            Reflected::Fixed64 => FieldKind::Fixed64,
            Reflected::Sfixed32 => FieldKind::Sfixed32,
            Reflected::Sfixed64 => FieldKind::Sfixed64,
            Reflected::Float => FieldKind::Float,
            Reflected::Double => FieldKind::Double,
        }
    }
}
