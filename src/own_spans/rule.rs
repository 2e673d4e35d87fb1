//! Which work is told: a share of all, and everything that was slow or failed.

use std::time::Duration;

use opentelemetry::trace::SpanKind;
use opentelemetry::{SpanId, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _};

use super::work::FinishedWork;

/// Decides about work that has ended, so it knows how that went.
#[derive(Debug)]
pub struct TailRule {
    share: Sampler,
    slow: Duration,
}

impl TailRule {
    /// Keeps a share of all traces, from 0 to 1, and work that took as long as `slow`.
    #[must_use]
    pub fn new(share: f64, slow: Duration) -> Self {
        Self {
            share: Sampler::TraceIdRatioBased(share),
            slow,
        }
    }

    /// Whether a trace is in the share. The id alone decides, so other services that keep the
    /// same share by the same rule keep the same traces.
    pub(super) fn draws(&self, trace: TraceId) -> bool {
        let drawn = self
            .share
            .should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        drawn.decision == SamplingDecision::RecordAndSample
    }

    /// The same by the id of a span.
    pub(super) fn draws_span(&self, span: SpanId) -> bool {
        let bits = u64::from_be_bytes(span.to_bytes());
        self.draws(TraceId::from(u128::from(bits)))
    }

    /// How long work must take to be told.
    pub(super) fn told_after(&self, sampled: bool) -> Duration {
        if sampled { Duration::ZERO } else { self.slow }
    }

    pub(super) fn keeps(&self, work: &FinishedWork) -> bool {
        work.ids.sampled
            || work.always
            || work.failure.is_some()
            || work.end.duration_since(work.begin) >= self.told_after(false)
            || work.parts.iter().any(|part| part.failure.is_some())
    }
}
