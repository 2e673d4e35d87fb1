//! The origin of a span: its resource and its instrumentation scope.

use serde_json::json;

use super::dialects::Dialect;
use super::fit::FieldFitter;
use super::value;
use crate::event::Json;
use crate::ingest::otlp::wire::{AnyValue, InstrumentationScope, Resource};

/// The facts that all spans of one scope share.
pub struct SpanOrigin<'a> {
    /// The name of the scope.
    pub scope: &'a str,
    /// The name of the service, unless it is an SDK's default.
    pub service: Option<&'a str>,
    /// Resource and scope, for the metadata of the run.
    pub metadata: Option<Json>,
}

impl<'a> SpanOrigin<'a> {
    /// Reads a resource and a scope.
    pub fn read(
        resource: Option<&'a Resource<'a>>,
        scope: Option<&'a InstrumentationScope<'a>>,
        fit: &mut FieldFitter,
    ) -> Self {
        let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
        let service = attributes
            .iter()
            .find(|attribute| attribute.key == "service.name");
        let service = service.and_then(|attribute| match attribute.value.as_ref()? {
            AnyValue::String(name) => Some(*name),
            _ => None,
        });
        // SDKs without a configured name send "unknown_service:python".
        let service =
            service.filter(|name| !name.is_empty() && !name.starts_with("unknown_service"));
        let scope_name = scope.map_or("", |scope| scope.name);
        let mut metadata = json!({});
        if !attributes.is_empty() {
            metadata["resource"] = value::object(attributes);
        }
        if let Some(scope) = scope.filter(|scope| !scope.name.is_empty()) {
            metadata["scope"] = json!({"name": scope.name, "version": scope.version});
            if !scope.attributes.is_empty() {
                metadata["scope"]["attributes"] = value::object(&scope.attributes);
            }
        }
        let has_metadata = metadata
            .as_object()
            .is_some_and(|object| !object.is_empty());
        Self {
            scope: scope_name,
            service,
            metadata: has_metadata.then(|| fit.object(&metadata)).flatten(),
        }
    }

    /// The framework, for `agent_type`. It is taken from the scope's name
    /// (`openinference.instrumentation.langchain` is `langchain`), else from the
    /// dialect.
    pub fn framework(&self, dialect: Dialect) -> Option<String> {
        const PREFIXES: [&str; 6] = [
            "openinference.instrumentation.",
            "@arizeai/openinference-instrumentation-",
            "opentelemetry.instrumentation.genai.",
            "opentelemetry.instrumentation.",
            "@traceloop/instrumentation-",
            "io.opentelemetry.",
        ];
        if let Some(name) = PREFIXES
            .iter()
            .find_map(|prefix| self.scope.strip_prefix(prefix))
        {
            let name = name.trim_end_matches(".v1").trim_end_matches("_v2");
            return Some(name.replace('_', "-"));
        }
        match dialect {
            Dialect::Unknown | Dialect::GenAi | Dialect::OpenInference | Dialect::OpenLlmetry => {
                let first = self.scope.split(['.', '/']).find(|part| !part.is_empty());
                first
                    .filter(|_| dialect != Dialect::Unknown)
                    .map(str::to_owned)
            }
            known => Some(known.as_str().replace('_', "-")),
        }
    }
}
