//! Where a span comes from: the resource and the instrumentation.

use serde_json::json;

use super::dialects::Dialect;
use super::text::Fit;
use super::value;
use crate::event::Json;
use crate::ingest::otlp::wire::{InstrumentationScope, Resource, Value};

/// What all spans of one scope have in common.
pub struct Origin<'a> {
    /// The instrumentation's name.
    pub scope: &'a str,
    /// The service's name, where the resource has one worth the name.
    pub service: Option<&'a str>,
    /// Resource and scope, for the run's metadata.
    pub metadata: Option<Json>,
}

impl<'a> Origin<'a> {
    /// Reads resource and scope.
    pub fn read(
        resource: Option<&'a Resource<'a>>,
        scope: Option<&'a InstrumentationScope<'a>>,
        fit: &mut Fit,
    ) -> Self {
        let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
        let service = attributes
            .iter()
            .find(|attribute| attribute.key == "service.name");
        let service = service.and_then(|attribute| match attribute.value.as_ref()? {
            Value::String(name) => Some(*name),
            _ => None,
        });
        // SDKs that were told no name say "unknown_service:python".
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
        let said = metadata
            .as_object()
            .is_some_and(|object| !object.is_empty());
        Self {
            scope: scope_name,
            service,
            metadata: said.then(|| fit.object(&metadata)).flatten(),
        }
    }

    /// The framework, for `agent_type`: `openinference.instrumentation.langchain`
    /// is `langchain`; where the scope does not say, the dialect does.
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
