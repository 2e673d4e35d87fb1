//! The origin of a span: its resource and its instrumentation scope.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::dialects::{Dialect, Dialects};
use super::fit::FieldFitter;
use super::{tags, value};
use crate::event::Json;
use crate::ingest::otlp::wire::{AnyValue, InstrumentationScope, Resource};
use crate::own_spans::INSTANCE_KEY;

/// Each span of a scope reads the names of its origin, so they are cut to this length. The
/// metadata of the run has them whole.
const MAX_NAME_BYTES: usize = 1_024;

/// The facts that all scopes of a resource share.
pub struct ResourceFacts<'a> {
    service: Option<&'a str>,
    instance: Option<&'a str>,
    service_key: u64,
    customer: Option<String>,
    /// The attributes, if there are any.
    metadata: Option<Value>,
}

/// Resource and scope of a service, for the metadata of the run.
#[derive(Clone, Debug)]
pub struct OriginMetadata {
    /// A number that stands for the service. Another service has another one.
    pub service_key: u64,
    /// The order of the texts among those of the request. Spans are compared by it: the texts
    /// may be long, and all spans of a scope share one.
    pub order: usize,
    /// The text.
    pub json: Arc<Json>,
}

/// The facts that all spans of one scope share.
pub struct SpanOrigin<'a> {
    /// The name of the scope.
    pub scope: &'a str,
    /// The name of the service, unless it is an SDK's default.
    pub service: Option<&'a str>,
    /// The process that made the spans.
    pub instance: Option<&'a str>,
    /// The customer that the resource names.
    pub customer: Option<String>,
    /// Resource and scope, for the metadata of the run.
    pub metadata: Option<OriginMetadata>,
    /// The framework that the name of the scope names.
    named_framework: OnceCell<Option<String>>,
}

impl<'a> ResourceFacts<'a> {
    /// Reads a resource.
    pub fn read(resource: Option<&'a Resource<'a>>) -> Self {
        let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
        let text = |key: &str| {
            let found = attributes.iter().find(|attribute| attribute.key == key);
            match found?.value.as_ref()? {
                AnyValue::String(text) => Some(*text),
                _ => None,
            }
        };
        let service = text("service.name");
        // SDKs without a configured name send "unknown_service:python".
        let service =
            service.filter(|name| !name.is_empty() && !name.starts_with("unknown_service"));
        let mut hasher = DefaultHasher::new();
        service.hash(&mut hasher);
        Self {
            service: service.map(cut),
            instance: text(INSTANCE_KEY),
            service_key: hasher.finish(),
            customer: tags::customer_of_resource(attributes).map(|name| cut(&name).to_owned()),
            metadata: (!attributes.is_empty()).then(|| value::object(attributes)),
        }
    }

    /// The origin of the spans of one of its scopes.
    pub fn of_scope(
        &self,
        scope: Option<&'a InstrumentationScope<'a>>,
        fit: &mut FieldFitter,
    ) -> SpanOrigin<'a> {
        /// In the order of its keys, as in all JSON of attributes.
        #[derive(Serialize)]
        struct Metadata<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            resource: Option<&'a Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            scope: Option<ScopeMetadata<'a>>,
        }
        #[derive(Serialize)]
        struct ScopeMetadata<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            attributes: Option<Value>,
            name: &'a str,
            version: &'a str,
        }
        let named = scope.filter(|scope| !scope.name.is_empty());
        let metadata = Metadata {
            resource: self.metadata.as_ref(),
            scope: named.map(|scope| ScopeMetadata {
                attributes: (!scope.attributes.is_empty())
                    .then(|| value::object(&scope.attributes)),
                name: scope.name,
                version: scope.version,
            }),
        };
        let is_empty = metadata.resource.is_none() && metadata.scope.is_none();
        let json = (!is_empty).then(|| fit.object(&metadata)).flatten();
        SpanOrigin {
            scope: cut(scope.map_or("", |scope| scope.name)),
            service: self.service,
            instance: self.instance,
            customer: self.customer.clone(),
            metadata: json.map(|json| OriginMetadata {
                service_key: self.service_key,
                order: 0,
                json: Arc::new(json),
            }),
            named_framework: OnceCell::new(),
        }
    }
}

/// Numbers the metadata of the origins of a request by their text.
pub fn set_order<'o, 'a: 'o>(origins: impl Iterator<Item = &'o mut SpanOrigin<'a>>) {
    let mut sorted: Vec<_> = origins
        .filter_map(|origin| origin.metadata.as_mut())
        .collect();
    sorted.sort_by(|one, other| one.json.as_str().cmp(other.json.as_str()));
    for (order, metadata) in sorted.into_iter().enumerate() {
        metadata.order = order;
    }
}

impl SpanOrigin<'_> {
    /// The bytes of its metadata.
    pub fn metadata_bytes(&self) -> usize {
        let metadata = self.metadata.as_ref();
        metadata.map_or(0, |metadata| metadata.json.as_str().len())
    }

    /// The framework, for `agent_type`, as the dialect says it: a word, or the
    /// name that stands in the scope (`openinference.instrumentation.langchain`
    /// is `langchain`).
    pub fn framework<'d>(
        &'d self,
        dialect: &'d Dialect,
        dialects: &Dialects,
    ) -> Option<Cow<'d, str>> {
        match dialect.agent_type.as_str() {
            "" => None,
            "$scope" => {
                let in_scope = || framework_in_scope(self.scope, dialects);
                let named = self.named_framework.get_or_init(in_scope).as_deref();
                let own = || (!dialect.is_convention()).then(|| dialect.name.replace('_', "-"));
                named.map(Cow::Borrowed).or_else(|| own().map(Cow::Owned))
            }
            "$1" => Some(dialect.matches_scope(self.scope)?.replace('_', "-").into()),
            word => Some(word.into()),
        }
    }
}

/// The last word of a scope's name that says which framework it is:
/// `org.springframework.ai.tracing` is `springframework`, `@mastra/otel` is `mastra`.
/// Versions and the words that all scopes have say nothing.
fn framework_in_scope(scope: &str, dialects: &Dialects) -> Option<String> {
    const PREFIXES: [&str; 2] = ["openinference-instrumentation-", "instrumentation-"];
    let words = || {
        let parts = scope.split(['.', '/', ':']);
        let bare = parts.map(|part| part.trim_start_matches('@').split(' ').next());
        let named = bare.flatten().map(|word| {
            let mut stripped = PREFIXES.iter().filter_map(|it| word.strip_prefix(it));
            stripped.next().unwrap_or(word)
        });
        named.filter(|word| !word.is_empty())
    };
    let is_version = |word: &str| {
        let digits = word.strip_prefix('v').unwrap_or(word);
        digits.chars().all(|c| c.is_ascii_digit())
    };
    let meaningful = |word: &&str| {
        let lower = word.to_lowercase();
        !dialects.is_scope_noise(&lower) && !is_version(&lower)
    };
    let word = words().rfind(meaningful).or_else(|| words().next_back())?;
    let word = word.trim_end_matches("_v2").to_lowercase();
    Some(word.replace('_', "-"))
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_BYTES)]
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;

    use super::*;
    use crate::ingest::otlp::map::map_traces;
    use crate::ingest::otlp::wire::KeyValue;
    use crate::ingest::otlp::{MapOptions, Mapped};

    const KIB: usize = 1 << 10;

    /// The scopes of one resource with a long attribute. Each has a span of the trace with this
    /// number, or none.
    fn mapped(scopes: &[Option<u8>]) -> Mapped {
        let span = |trace: &u8| {
            serde_json::json!({
                "traceId": format!("{:032x}", u32::from(*trace) + 1),
                "spanId": "051581bf3cb55c13", "name": "s",
                "startTimeUnixNano": "1767225600000000000",
                "endTimeUnixNano": "1767225601000000000",
            })
        };
        let scopes: Vec<_> = scopes
            .iter()
            .map(|trace| serde_json::json!({"spans": trace.iter().map(span).collect::<Vec<_>>()}))
            .collect();
        let long =
            serde_json::json!({"key": "long", "value": {"stringValue": "x".repeat(100 * KIB)}});
        let request = serde_json::json!({"resourceSpans": [
            {"resource": {"attributes": [long]}, "scopeSpans": scopes},
        ]});
        let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
        let options = MapOptions {
            max_events_bytes: 1_000 * KIB,
            ..MapOptions::default()
        };
        map_traces(&request.encode_to_vec(), &options).unwrap()
    }

    fn weight(mapped: &Mapped) -> usize {
        let weights = mapped.events.iter().map(|(_, event)| event.weight_bytes());
        weights.sum()
    }

    #[test]
    fn a_long_resource_counts_for_each_scope_and_each_run() {
        let few = mapped(&[Some(1), Some(1), Some(2)]);
        assert!(!few.overflowed && weight(&few) > 200 * KIB);
        let scopes_of_a_run = mapped(&[Some(1); 50]);
        assert!(scopes_of_a_run.overflowed);
        // Nothing reads the origin of no span.
        assert!(!mapped(&[None; 50]).overflowed);
    }

    #[test]
    fn runs_that_share_a_long_resource_are_copied_up_to_the_limit() {
        let span = |trace: u8| {
            let trace_id = [trace + 1; 16].to_vec();
            let times = 1_767_225_600_000_000_000;
            opentelemetry_proto::tonic::trace::v1::Span {
                trace_id,
                span_id: vec![1; 8],
                start_time_unix_nano: times,
                end_time_unix_nano: times,
                ..Default::default()
            }
        };
        let mut request = ExportTraceServiceRequest::default();
        let long = serde_json::json!({"attributes": [
            {"key": "long", "value": {"stringValue": "x".repeat(100 * KIB)}},
        ]});
        request.resource_spans.push(Default::default());
        request.resource_spans[0].resource = serde_json::from_value(long).unwrap();
        request.resource_spans[0]
            .scope_spans
            .push(Default::default());
        request.resource_spans[0].scope_spans[0].spans = (0..200).map(span).collect();
        let options = MapOptions {
            max_events_bytes: 1_000 * KIB,
            ..MapOptions::default()
        };
        let mapped = map_traces(&request.encode_to_vec(), &options).unwrap();
        assert!(mapped.overflowed);
        assert!(weight(&mapped) < 1_200 * KIB, "{}", weight(&mapped));
    }

    #[test]
    fn origins_are_compared_by_the_order_of_their_texts() {
        let mut fit = FieldFitter::new(1 << 20);
        let resources: Vec<_> = ["c", "a", "b", "a"]
            .into_iter()
            .map(|text| Resource {
                attributes: vec![KeyValue {
                    key: "k",
                    value: Some(AnyValue::String(text)),
                }],
            })
            .collect();
        let origins = resources.iter().map(|resource| {
            let resource = ResourceFacts::read(Some(resource));
            resource.of_scope(None, &mut fit)
        });
        let mut origins: Vec<_> = origins.collect();
        set_order(origins.iter_mut());
        let order = |at: usize| origins[at].metadata.as_ref().unwrap().order;
        assert!(order(1).max(order(3)) < order(2) && order(2) < order(0));
        let text = origins[0].metadata.as_ref().unwrap().json.as_str();
        assert_eq!(text, r#"{"resource":{"k":"c"}}"#);
    }

    #[test]
    fn a_framework_is_a_word() {
        let dialects = Dialects::built_in();
        for (scope, want) in [
            ("agent", Some("agent")),
            ("com.acme.agents", Some("acme")),
            ("org.springframework.boot", Some("springframework")),
            ("@mastra/otel", Some("mastra")),
            ("github.com/acme/agent_kit/v2", Some("agent-kit")),
            ("autogen SingleThreadedAgentRuntime", Some("autogen")),
            ("autogen-core", Some("autogen-core")),
            ("opentelemetry.sdk", Some("sdk")),
            (
                "openinference.instrumentation.openai_agents",
                Some("openai-agents"),
            ),
            (
                "@arizeai/openinference-instrumentation-openai",
                Some("openai"),
            ),
            (
                "opentelemetry.instrumentation.genai.anthropic",
                Some("anthropic"),
            ),
            ("opentelemetry.instrumentation.openai_v2", Some("openai")),
            ("", None),
        ] {
            let found = framework_in_scope(scope, &dialects);
            assert_eq!(found.as_deref(), want, "{scope}");
        }
    }
}
