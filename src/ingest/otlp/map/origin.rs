//! The origin of a span: its resource and its instrumentation scope.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::json;

use super::dialects::{Dialect, Dialects};
use super::fit::FieldFitter;
use super::{tags, value};
use crate::event::Json;
use crate::ingest::otlp::wire::{AnyValue, InstrumentationScope, Resource};

/// Each span of a scope reads the names of its origin, so they are cut to this length. The
/// metadata of the run has them whole.
const MAX_NAME_BYTES: usize = 1_024;

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
    pub metadata: Option<Arc<Json>>,
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
            scope: cut(scope_name),
            service: service.map(cut),
            service_key: hasher.finish(),
            customer: tags::customer_of_resource(attributes).map(|name| cut(&name).to_owned()),
            metadata: has_metadata
                .then(|| fit.object(&metadata))
                .flatten()
                .map(Arc::new),
        }
    }

    /// The framework, for `agent_type`, as the dialect says it: a word, or the
    /// name that stands in the scope (`openinference.instrumentation.langchain`
    /// is `langchain`).
    pub fn framework(&self, dialect: &Dialect, dialects: &Dialects) -> Option<String> {
        match dialect.agent_type.as_str() {
            "" => None,
            "$scope" => {
                let named = framework_in_scope(self.scope, dialects);
                named.or_else(|| (!dialect.is_convention()).then(|| dialect.name.replace('_', "-")))
            }
            "$1" => Some(dialect.matches_scope(self.scope)?.replace('_', "-")),
            word => Some(word.to_owned()),
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
    use super::*;

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
