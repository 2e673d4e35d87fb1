//! What is told of a request: its client's span, and how it was answered.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue};
use tonic::{Code, Status};

use crate::histograms::IngestEndpoint;
use crate::own_spans::{OwnSpans, RemoteParent, WorkSpan};
use crate::pipeline::{BatchOutcome, Durability};

/// A request with these headers begins.
pub(super) fn begin_request(
    spans: &OwnSpans,
    endpoint: IngestEndpoint,
    headers: &HeaderMap,
) -> WorkSpan {
    spans.request(endpoint, parent_of(spans, headers))
}

/// The client's span that the headers of a request name.
pub(super) fn parent_of(spans: &OwnSpans, headers: &HeaderMap) -> Option<RemoteParent> {
    spans.parent(|| {
        let header: &HeaderValue = headers.get("traceparent")?;
        header.to_str().ok()
    })
}

/// Ends the span of a request that was answered, with an error or without one. `word` says
/// which error it was, in one word.
pub(super) fn end_answered<T, E, W: Into<Cow<'static, str>>>(
    span: WorkSpan,
    answer: &Result<T, E>,
    word: impl FnOnce(&E) -> W,
) {
    span.end(answer.as_ref().err().map(word));
}

/// The word for a code of gRPC.
pub(super) fn code_word(code: Code) -> String {
    format!("{code:?}")
}

/// Ends the span of a request that is answered with an error. Returns the error.
pub(super) fn end_refused(span: WorkSpan, status: Status) -> Status {
    span.end(Some(code_word(status.code())));
    status
}

/// Ends the span of a request that is settled.
pub(super) fn end_settled(mut span: WorkSpan, outcome: &BatchOutcome) {
    note_settled(&mut span, outcome);
    span.end(None::<&str>);
}

/// Notes that the events of a request are settled, and what became of them.
pub(super) fn note_settled(span: &mut WorkSpan, outcome: &BatchOutcome) {
    span.lap("settle");
    span.fact(
        "runtraced.durability",
        match outcome.durability {
            Durability::Committed => "committed",
            Durability::Spooled => "spooled",
        },
    );
    span.count("runtraced.refused", outcome.refused.len());
}
