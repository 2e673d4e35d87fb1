//! The origin of a span: its resource and its instrumentation scope.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::json;

use super::dialects::Dialect;
use super::fit::FieldFitter;
use super::{tags, value};
use crate::event::Json;
use crate::ingest::otlp::wire::{AnyValue, InstrumentationScope, Resource};

/// The facts that all spans of one scope share.
pub struct SpanOrigin<'a> {
    /// The name of the scope.
    pub scope: &'a str,
    /// The name of the service, unless it is an SDK's default.
    pub service: Option<&'a str>,
    /// A number that stands for the service. Another service has another one.
    pub service_key: u64,
    /// The customer that the resource names.
    pub customer: Option<String>,
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
        let mut hasher = DefaultHasher::new();
        service.hash(&mut hasher);
        Self {
            scope: scope_name,
            service,
            service_key: hasher.finish(),
            customer: tags::customer_of_resource(attributes),
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
            Dialect::Unknown => None,
            Dialect::GenAi | Dialect::OpenInference | Dialect::OpenLlmetry => {
                meaningful_word(self.scope)
            }
            known => Some(known.as_str().replace('_', "-")),
        }
    }
}

/// The last word of a scope's name that says which framework it is:
/// `org.springframework.ai.tracing` is `springframework`, `@mastra/otel` is `mastra`.
fn meaningful_word(scope: &str) -> Option<String> {
    const GENERIC: [&str; 32] = [
        "ai",
        "agents",
        "boot",
        "com",
        "core",
        "dev",
        "diagnostics",
        "experimental",
        "github",
        "instrumentation",
        "internal",
        "io",
        "js",
        "lib",
        "main",
        "net",
        "node",
        "observability",
        "openinference",
        "opentelemetry",
        "org",
        "otel",
        "python",
        "sdk",
        "src",
        "telemetry",
        "trace",
        "tracer",
        "tracing",
        "ts",
        "utils",
        "version",
    ];
    let words = || {
        let parts = scope.split(['.', '/', ':']);
        let bare = parts.map(|part| part.trim_start_matches('@').split(' ').next());
        bare.flatten().filter(|word| !word.is_empty())
    };
    let is_version = |word: &str| {
        let digits = word.strip_prefix('v').unwrap_or(word);
        digits.chars().all(|c| c.is_ascii_digit())
    };
    let meaningful = |word: &&str| {
        let lower = word.to_lowercase();
        !GENERIC.contains(&lower.as_str()) && !is_version(&lower)
    };
    let word = words()
        .filter(meaningful)
        .last()
        .or_else(|| words().last())?;
    Some(word.to_lowercase().replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_is_a_word() {
        for (scope, want) in [
            ("agent", Some("agent")),
            ("com.acme.agents", Some("acme")),
            ("org.springframework.boot", Some("springframework")),
            ("@mastra/otel", Some("mastra")),
            ("github.com/acme/agent_kit/v2", Some("agent-kit")),
            ("autogen SingleThreadedAgentRuntime", Some("autogen")),
            ("autogen-core", Some("autogen-core")),
            ("opentelemetry.sdk", Some("sdk")),
            ("", None),
        ] {
            assert_eq!(meaningful_word(scope).as_deref(), want, "{scope}");
        }
    }
}
