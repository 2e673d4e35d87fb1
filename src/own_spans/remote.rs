//! The span of a client that a request continues.

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, SpanId, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The span of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteParent {
    /// Its trace, which the request continues.
    pub trace: TraceId,
    /// Its id.
    pub span: SpanId,
}

impl RemoteParent {
    /// Reads the header `traceparent` of W3C Trace Context. `None`: it is not valid.
    pub(super) fn read(header: &str) -> Option<Self> {
        let propagator = TraceContextPropagator::new();
        let context = propagator.extract_with_context(&Context::new(), &OnlyHeader(header));
        let span = context.span();
        let found = span.span_context();
        found.is_valid().then(|| Self {
            trace: found.trace_id(),
            span: found.span_id(),
        })
    }
}

/// The only header that is looked at.
struct OnlyHeader<'h>(&'h str);

impl Extractor for OnlyHeader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        key.eq_ignore_ascii_case("traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_header_names_a_parent() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let parent = RemoteParent::read(text).unwrap();
        assert_eq!(parent.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span.to_string(), "00f067aa0ba902b7");
        for odd in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "\u{e9}",
        ] {
            assert_eq!(RemoteParent::read(odd), None, "{odd}");
        }
    }
}
