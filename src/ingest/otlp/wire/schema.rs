//! The protocol's descriptors, laid out for walking messages fast.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind as Reflected, MessageDescriptor};

/// Requests by signal, and what is counted in each.
const TRACES: &str = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
const LOGS: &str = "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest";
const METRICS: &str = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest";
const RECORDS: [&str; 6] = [
    "opentelemetry.proto.trace.v1.Span",
    "opentelemetry.proto.logs.v1.LogRecord",
    "opentelemetry.proto.metrics.v1.NumberDataPoint",
    "opentelemetry.proto.metrics.v1.HistogramDataPoint",
    "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint",
    "opentelemetry.proto.metrics.v1.SummaryDataPoint",
];
const ANY_VALUE: &str = "opentelemetry.proto.common.v1.AnyValue";

/// What one element of a list is counted as, beside its text. That is more than it takes
/// where one span is read at a time; what becomes of it takes memory too.
const RECORD_BYTES: usize = 1024;
const ELEMENT_BYTES: usize = 192;

/// The descriptors cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the descriptors of OTLP cannot be used: {0}")]
pub struct SchemaError(String);

/// One message of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(usize);

/// Every message that a request can hold.
#[derive(Debug)]
pub struct Schema {
    messages: Vec<Message>,
    /// `ExportTraceServiceRequest`.
    pub traces: MessageId,
    /// `ExportLogsServiceRequest`.
    pub logs: MessageId,
    /// `ExportMetricsServiceRequest`.
    pub metrics: MessageId,
}

#[derive(Debug)]
pub(super) struct Message {
    /// By number, which OTLP keeps small.
    fields: Vec<Option<Field>>,
    numbers: HashMap<String, u32>,
    /// A span, a log record or a data point.
    pub record: bool,
    /// What an element of a list of it costs.
    pub element_bytes: usize,
    /// The one message that nests in itself.
    pub any_value: bool,
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

/// How a value is written, on the wire and in JSON.
#[derive(Debug)]
pub(super) enum Kind {
    Message(MessageId),
    Text,
    /// Ids, which OTLP writes in hex where protobuf's JSON has base64.
    Hex,
    Base64,
    Bool,
    Enum(HashMap<String, i32>),
    Int,
    /// Zigzag.
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
    /// Reads the descriptors that come with the protocol's types.
    ///
    /// # Errors
    /// When they are not what is expected: a fault of the build.
    pub fn new() -> Result<Self, SchemaError> {
        let pool = DescriptorPool::decode(opentelemetry_proto::DESCRIPTORS)
            .map_err(|error| SchemaError(error.to_string()))?;
        let mut builder = Builder::default();
        let mut request = |name: &str| {
            pool.get_message_by_name(name)
                .map(|message| builder.add(&message))
                .ok_or_else(|| SchemaError(format!("{name} is missing")))
        };
        let (traces, logs, metrics) = (request(TRACES)?, request(LOGS)?, request(METRICS)?);
        Ok(Self {
            messages: builder.finish(),
            traces,
            logs,
            metrics,
        })
    }

    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0]
    }
}

impl Message {
    pub fn field(&self, number: u32) -> Option<&Field> {
        self.fields.get(number as usize)?.as_ref()
    }

    pub fn field_named(&self, json_name: &str) -> Option<&Field> {
        self.field(*self.numbers.get(json_name)?)
    }
}

/// Messages refer to each other in circles, so each has its id before its fields.
#[derive(Default)]
struct Builder {
    ids: HashMap<String, MessageId>,
    found: Vec<MessageDescriptor>,
}

impl Builder {
    fn add(&mut self, message: &MessageDescriptor) -> MessageId {
        if let Some(id) = self.ids.get(message.full_name()) {
            return *id;
        }
        let id = MessageId(self.found.len());
        self.ids.insert(message.full_name().to_owned(), id);
        self.found.push(message.clone());
        for field in message.fields() {
            if let Reflected::Message(inner) = field.kind() {
                self.add(&inner);
            }
        }
        id
    }

    fn finish(mut self) -> Vec<Message> {
        let found = std::mem::take(&mut self.found);
        found.iter().map(|message| self.message(message)).collect()
    }

    fn message(&self, message: &MessageDescriptor) -> Message {
        let mut fields = Vec::new();
        let mut numbers = HashMap::new();
        for field in message.fields() {
            let number = field.number();
            let at = number as usize;
            if fields.len() <= at {
                fields.resize_with(at + 1, || None);
            }
            numbers.insert(field.json_name().to_owned(), number);
            fields[at] = Some(Field {
                number,
                kind: self.kind(&field),
                repeated: field.is_list(),
            });
        }
        let name = message.full_name();
        let record = RECORDS.contains(&name);
        Message {
            fields,
            numbers,
            record,
            element_bytes: if record { RECORD_BYTES } else { ELEMENT_BYTES },
            any_value: name == ANY_VALUE,
        }
    }

    fn kind(&self, field: &FieldDescriptor) -> Kind {
        match field.kind() {
            // Every message was added before; a missing one is text, which is skipped.
            Reflected::Message(inner) => self
                .ids
                .get(inner.full_name())
                .map_or(Kind::Text, |id| Kind::Message(*id)),
            Reflected::String => Kind::Text,
            Reflected::Bytes if field.name().ends_with("_id") => Kind::Hex,
            Reflected::Bytes => Kind::Base64,
            Reflected::Bool => Kind::Bool,
            Reflected::Enum(values) => Kind::Enum(
                values
                    .values()
                    .map(|value| (value.name().to_owned(), value.number()))
                    .collect(),
            ),
            Reflected::Int32 | Reflected::Int64 => Kind::Int,
            Reflected::Sint32 | Reflected::Sint64 => Kind::Sint,
            Reflected::Uint32 | Reflected::Uint64 => Kind::Uint,
            Reflected::Fixed32 => Kind::Fixed32,
            Reflected::Fixed64 => Kind::Fixed64,
            Reflected::Sfixed32 => Kind::Sfixed32,
            Reflected::Sfixed64 => Kind::Sfixed64,
            Reflected::Float => Kind::Float,
            Reflected::Double => Kind::Double,
        }
    }
}
